"""Names for the numbers of sockets.

Source: include/net/tcp_states.h, include/linux/net.h and the uapi headers named below.
"""

from __future__ import annotations

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

# include/uapi/linux/if_ether.h: ETH_P_*; below 0x600 the kernel's own, above it what stands in an
# Ethernet frame.
ETHERTYPES = {
    0x0001: "ETH_P_802_3",
    0x0002: "ETH_P_AX25",
    0x0003: "ETH_P_ALL",
    0x0004: "ETH_P_802_2",
    0x0005: "ETH_P_SNAP",
    0x0006: "ETH_P_DDCMP",
    0x0007: "ETH_P_WAN_PPP",
    0x0008: "ETH_P_PPP_MP",
    0x0009: "ETH_P_LOCALTALK",
    0x000C: "ETH_P_CAN",
    0x000D: "ETH_P_CANFD",
    0x000E: "ETH_P_CANXL",
    0x0010: "ETH_P_PPPTALK",
    0x0011: "ETH_P_TR_802_2",
    0x0015: "ETH_P_MOBITEX",
    0x0016: "ETH_P_CONTROL",
    0x0017: "ETH_P_IRDA",
    0x0018: "ETH_P_ECONET",
    0x0019: "ETH_P_HDLC",
    0x001A: "ETH_P_ARCNET",
    0x001B: "ETH_P_DSA",
    0x001C: "ETH_P_TRAILER",
    0x0060: "ETH_P_LOOP",
    0x00F5: "ETH_P_PHONET",
    0x00F6: "ETH_P_IEEE802154",
    0x00F7: "ETH_P_CAIF",
    0x00F8: "ETH_P_XDSA",
    0x00F9: "ETH_P_MAP",
    0x00FA: "ETH_P_MCTP",
    0x0200: "ETH_P_PUP",
    0x0201: "ETH_P_PUPAT",
    0x0800: "ETH_P_IP",
    0x0805: "ETH_P_X25",
    0x0806: "ETH_P_ARP",
    0x08FF: "ETH_P_BPQ",
    0x0A00: "ETH_P_IEEEPUP",
    0x0A01: "ETH_P_IEEEPUPAT",
    0x22EB: "ETH_P_ERSPAN2",
    0x22F0: "ETH_P_TSN",
    0x4305: "ETH_P_BATMAN",
    0x6000: "ETH_P_DEC",
    0x6001: "ETH_P_DNA_DL",
    0x6002: "ETH_P_DNA_RC",
    0x6003: "ETH_P_DNA_RT",
    0x6004: "ETH_P_LAT",
    0x6005: "ETH_P_DIAG",
    0x6006: "ETH_P_CUST",
    0x6007: "ETH_P_SCA",
    0x6558: "ETH_P_TEB",
    0x8035: "ETH_P_RARP",
    0x809B: "ETH_P_ATALK",
    0x80F3: "ETH_P_AARP",
    0x8100: "ETH_P_8021Q",
    0x8137: "ETH_P_IPX",
    0x86DD: "ETH_P_IPV6",
    0x8808: "ETH_P_PAUSE",
    0x8809: "ETH_P_SLOW",
    0x883E: "ETH_P_WCCP",
    0x8847: "ETH_P_MPLS_UC",
    0x8848: "ETH_P_MPLS_MC",
    0x884C: "ETH_P_ATMMPOA",
    0x8863: "ETH_P_PPP_DISC",
    0x8864: "ETH_P_PPP_SES",
    0x886C: "ETH_P_LINK_CTL",
    0x8884: "ETH_P_ATMFATE",
    0x888E: "ETH_P_PAE",
    0x8892: "ETH_P_PROFINET",
    0x8899: "ETH_P_REALTEK",
    0x88A2: "ETH_P_AOE",
    0x88A4: "ETH_P_ETHERCAT",
    0x88A8: "ETH_P_8021AD",
    0x88B5: "ETH_P_802_EX1",
    0x88BE: "ETH_P_ERSPAN",
    0x88C7: "ETH_P_PREAUTH",
    0x88CA: "ETH_P_TIPC",
    0x88CC: "ETH_P_LLDP",
    0x88E3: "ETH_P_MRP",
    0x88E5: "ETH_P_MACSEC",
    0x88E7: "ETH_P_8021AH",
    0x88F5: "ETH_P_MVRP",
    0x88F7: "ETH_P_1588",
    0x88F8: "ETH_P_NCSI",
    0x88FB: "ETH_P_PRP",
    0x8902: "ETH_P_CFM",
    0x8906: "ETH_P_FCOE",
    0x890D: "ETH_P_TDLS",
    0x8914: "ETH_P_FIP",
    0x8915: "ETH_P_IBOE",
    0x8917: "ETH_P_80221",
    0x892F: "ETH_P_HSR",
    0x894F: "ETH_P_NSH",
    0x9000: "ETH_P_LOOPBACK",
    0x9100: "ETH_P_QINQ1",
    0x9200: "ETH_P_QINQ2",
    0x9300: "ETH_P_QINQ3",
    0xDADA: "ETH_P_EDSA",
    0xDADB: "ETH_P_DSA_8021Q",
    0xE001: "ETH_P_DSA_A5PSW",
    0xED3E: "ETH_P_IFE",
    0xFBFB: "ETH_P_AF_IUCV",
}

# include/uapi/linux/netlink.h: NETLINK_* without the prefix.
NETLINK_PROTOCOLS = {
    0: "route",
    2: "usersock",
    3: "firewall",
    4: "sock_diag",
    5: "nflog",
    6: "xfrm",
    7: "selinux",
    8: "iscsi",
    9: "audit",
    10: "fib_lookup",
    11: "connector",
    12: "netfilter",
    13: "ip6_fw",
    14: "dnrtmsg",
    15: "kobject_uevent",
    16: "generic",
    18: "scsitransport",
    19: "ecryptfs",
    20: "rdma",
    21: "crypto",
    22: "smc",
}

# The multicast groups of each netlink protocol, group 1 first: rtnetlink.h, sock_diag.h, xfrm.h,
# selinux_netlink.h, audit.h and netfilter/nfnetlink.h of include/uapi/linux, groups of
# lib/kobject_uevent.c and of udev. Those of generic netlink are dynamic.
NETLINK_GROUPS: dict[str, tuple[str, ...]] = {
    "route": (
        "RTNLGRP_LINK",
        "RTNLGRP_NOTIFY",
        "RTNLGRP_NEIGH",
        "RTNLGRP_TC",
        "RTNLGRP_IPV4_IFADDR",
        "RTNLGRP_IPV4_MROUTE",
        "RTNLGRP_IPV4_ROUTE",
        "RTNLGRP_IPV4_RULE",
        "RTNLGRP_IPV6_IFADDR",
        "RTNLGRP_IPV6_MROUTE",
        "RTNLGRP_IPV6_ROUTE",
        "RTNLGRP_IPV6_IFINFO",
        "RTNLGRP_DECnet_IFADDR",
        "RTNLGRP_NOP2",
        "RTNLGRP_DECnet_ROUTE",
        "RTNLGRP_DECnet_RULE",
        "RTNLGRP_NOP4",
        "RTNLGRP_IPV6_PREFIX",
        "RTNLGRP_IPV6_RULE",
        "RTNLGRP_ND_USEROPT",
        "RTNLGRP_PHONET_IFADDR",
        "RTNLGRP_PHONET_ROUTE",
        "RTNLGRP_DCB",
        "RTNLGRP_IPV4_NETCONF",
        "RTNLGRP_IPV6_NETCONF",
        "RTNLGRP_MDB",
        "RTNLGRP_MPLS_ROUTE",
        "RTNLGRP_NSID",
        "RTNLGRP_MPLS_NETCONF",
        "RTNLGRP_IPV4_MROUTE_R",
        "RTNLGRP_IPV6_MROUTE_R",
        "RTNLGRP_NEXTHOP",
    ),
    "sock_diag": (
        "SKNLGRP_INET_TCP_DESTROY",
        "SKNLGRP_INET_UDP_DESTROY",
        "SKNLGRP_INET6_TCP_DESTROY",
        "SKNLGRP_INET6_UDP_DESTROY",
    ),
    "xfrm": (
        "XFRMNLGRP_ACQUIRE",
        "XFRMNLGRP_EXPIRE",
        "XFRMNLGRP_SA",
        "XFRMNLGRP_POLICY",
        "XFRMNLGRP_AEVENTS",
        "XFRMNLGRP_REPORT",
        "XFRMNLGRP_MIGRATE",
        "XFRMNLGRP_MAPPING",
    ),
    "selinux": ("SELNLGRP_AVC",),
    "audit": ("AUDIT_NLGRP_READLOG",),
    "netfilter": (
        "NFNLGRP_CONNTRACK_NEW",
        "NFNLGRP_CONNTRACK_UPDATE",
        "NFNLGRP_CONNTRACK_DESTROY",
        "NFNLGRP_CONNTRACK_EXP_NEW",
        "NFNLGRP_CONNTRACK_EXP_UPDATE",
        "NFNLGRP_CONNTRACK_EXP_DESTROY",
        "NFNLGRP_NFTABLES",
        "NFNLGRP_ACCT_QUOTA",
        "NFNLGRP_NFTRACE",
    ),
    "kobject_uevent": ("kernel", "udev"),
}

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
