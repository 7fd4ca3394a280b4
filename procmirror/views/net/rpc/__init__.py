"""/proc/net/rpc: the statistics of remote procedure calls, one file a program.

Source: net/sunrpc/stats.c.
"""
