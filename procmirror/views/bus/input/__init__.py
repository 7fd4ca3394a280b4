"""/proc/bus/input: the input devices and what handles them (drivers/input/input.c)."""
