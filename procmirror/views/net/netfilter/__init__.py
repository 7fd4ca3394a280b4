"""/proc/net/netfilter: who logs packets and who queues them."""
