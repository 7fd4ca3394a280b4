"""What a view is, the shapes of files, text and JSON: pure functions."""
