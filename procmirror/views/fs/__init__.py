"""/proc/fs: files of file systems, as far as those have made any."""
