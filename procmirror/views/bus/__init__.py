"""/proc/bus: devices by the bus they are on."""
