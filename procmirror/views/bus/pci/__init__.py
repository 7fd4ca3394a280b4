"""/proc/bus/pci: the PCI devices."""
