"""/proc/sysvipc: the System V objects of the reader's IPC namespace, one table each.

Source: proc_sysvipc(5), ipc/util.c.
"""
