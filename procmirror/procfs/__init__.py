"""Reading /proc: entries by directory descriptor, sources of views, files behind mappings."""
