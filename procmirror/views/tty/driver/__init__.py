"""/proc/tty/driver: what the drivers of terminals tell of their lines."""
