"""Names for the numbers the kernel prints, one subject a file, each with its source."""
