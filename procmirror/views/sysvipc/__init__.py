"""/proc/sysvipc: the System V objects of the requester's IPC namespace, one table each.

Source: proc_sysvipc(5), ipc/util.c.
"""
