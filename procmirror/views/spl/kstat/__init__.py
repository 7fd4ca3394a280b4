"""/proc/spl/kstat: the statistics of ZFS on Linux."""
