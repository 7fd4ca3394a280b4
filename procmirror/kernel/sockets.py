"""Names for the numbers of sockets (include/net/tcp_states.h, include/linux/net.h and the uapi headers named below)."""

from __future__ import annotations

# include/net/tcp_states.h; every inet family uses them, a datagram socket is CLOSE until it is connected.
TCP_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "NEW_SYN_RECV",
    13: "BOUND_INACTIVE",
}

# get_tcp4_sock in net/ipv4/tcp_ipv4.c: which timer of a TCP socket runs.
TCP_TIMERS = {1: "retransmit", 2: "keepalive", 3: "timewait", 4: "persist"}

# enum sock_type in include/linux/net.h.
TYPES = {1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket", 6: "dccp", 10: "packet"}

# enum socket_state in include/uapi/linux/net.h: of the BSD socket, which net/unix shows.
STATES = {0: "FREE", 1: "UNCONNECTED", 2: "CONNECTING", 3: "CONNECTED", 4: "DISCONNECTING"}

# The one flag of net/unix: __SO_ACCEPTCON in include/uapi/linux/net.h, the socket listens.
FLAGS = {0x10000: "SO_ACCEPTCON"}

# include/uapi/linux/in.h and in6.h, in the lower-case spelling of /etc/protocols.
IP_PROTOCOLS = {
    0: "ip",
    1: "icmp",
    2: "igmp",
    4: "ipencap",
    6: "tcp",
    8: "egp",
    12: "pup",
    17: "udp",
    22: "idp",
    29: "tp",
    33: "dccp",
    41: "ipv6",
    43: "ipv6-route",
    44: "ipv6-frag",
    46: "rsvp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    59: "ipv6-nonxt",
    60: "ipv6-opts",
    89: "ospf",
    92: "mtp",
    94: "beetph",
    98: "encap",
    103: "pim",
    108: "comp",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
    135: "mh",
    136: "udplite",
    137: "mpls",
    143: "ethernet",
    255: "raw",
}
