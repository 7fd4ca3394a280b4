"""/proc/net/rpc: the statistics of remote procedure calls, one file a program (net/sunrpc/stats.c)."""
