"""/proc/driver: files that drivers made."""
