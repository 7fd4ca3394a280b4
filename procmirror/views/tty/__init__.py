"""/proc/tty: the terminals' drivers and line disciplines (proc_tty(5))."""
