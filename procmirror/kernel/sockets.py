"""Names for the numbers of sockets.

Source: include/net/tcp_states.h, include/linux/net.h and the uapi headers named below.
"""

from __future__ import annotations

import re

# include/net/tcp_states.h; every inet family uses them, a datagram socket is CLOSE until it is
# connected.
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

# The methods of a protocol, by the two letters over their column in net/protocols (proto_seq_show
# in net/core/sock.c).
PROTOCOL_METHODS = {
    "cl": "close",
    "co": "connect",
    "di": "disconnect",
    "ac": "accept",
    "io": "ioctl",
    "in": "init",
    "de": "destroy",
    "sh": "shutdown",
    "ss": "setsockopt",
    "gs": "getsockopt",
    "se": "sendmsg",
    "re": "recvmsg",
    "sp": "sendpage",
    "bi": "bind",
    "br": "backlog_rcv",
    "ha": "hash",
    "uh": "unhash",
    "gp": "get_port",
    "em": "enter_memory_pressure",
}

# MAF_* of include/net/if_inet6.h: the state of an IPv6 multicast membership.
MULTICAST_FLAGS = {
    0x01: "MAF_TIMER_RUNNING",
    0x02: "MAF_LAST_REPORTER",
    0x04: "MAF_LOADED",
    0x08: "MAF_NOREPORT",
    0x10: "MAF_GSQUERY",
}

# IPV6_FL_S_* of include/uapi/linux/in6.h: who may use an IPv6 flow label.
FLOW_LABEL_SHARES = {0: "none", 1: "excl", 2: "process", 3: "user", 255: "any"}

# NFPROTO_* of include/uapi/linux/netfilter.h.
NETFILTER_FAMILIES = {
    0: "unspec",
    1: "inet",
    2: "ipv4",
    3: "arp",
    5: "netdev",
    7: "bridge",
    10: "ipv6",
    12: "decnet",
}

# NFULNL_COPY_* and NFQNL_COPY_* of include/uapi/linux/netfilter/nfnetlink_{log,queue}.h: what of a
# packet is sent.
COPY_MODES = {0: "none", 1: "meta", 2: "packet"}

_RELEASE = re.compile(r"(\d{1,4})\.(\d{1,4})")
_QUANTUM = 4096


def memory_unit(release: str, page_size: int) -> int:
    """The bytes in which a kernel counts the memory of sockets (SK_MEM_QUANTUM in net/sock.h).

    They are a page, but 4096 from Linux 4.11 to 5.19; a release that is not known counts as newer.
    """
    match = _RELEASE.match(release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    return _QUANTUM if (4, 11) <= version < (6, 0) else page_size
