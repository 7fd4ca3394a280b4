"""The names of network flags and types, as the kernel's headers give them.

Each table names its header.
"""

from __future__ import annotations

# include/uapi/linux/route.h and, from 0x10000 up, include/uapi/linux/ipv6_route.h.
ROUTE_FLAGS = {
    0x1: "RTF_UP",
    0x2: "RTF_GATEWAY",
    0x4: "RTF_HOST",
    0x8: "RTF_REINSTATE",
    0x10: "RTF_DYNAMIC",
    0x20: "RTF_MODIFIED",
    0x40: "RTF_MTU",
    0x80: "RTF_WINDOW",
    0x100: "RTF_IRTT",
    0x200: "RTF_REJECT",
    0x10000: "RTF_DEFAULT",
    0x20000: "RTF_ALLONLINK",
    0x40000: "RTF_ADDRCONF",
    0x80000: "RTF_PREFIX_RT",
    0x100000: "RTF_ANYCAST",
    0x200000: "RTF_NONEXTHOP",
    0x400000: "RTF_EXPIRES",
    0x800000: "RTF_ROUTEINFO",
    0x1000000: "RTF_CACHE",
    0x2000000: "RTF_FLOW",
    0x4000000: "RTF_POLICY",
    0x40000000: "RTF_PCPU",
    0x80000000: "RTF_LOCAL",
}
# The preference of RFC 4191 is not a flag but a number in two bits of them: RTF_PREF of
# ipv6_route.h, ICMPV6_ROUTER_PREF_*.
ROUTE_PREFERENCE_MASK = 0x18000000
ROUTE_PREFERENCES = {0: "medium", 0x08000000: "high", 0x10000000: "invalid", 0x18000000: "low"}

# include/uapi/linux/in_route.h.
ROUTE_CACHE_FLAGS = {
    0x10000: "RTCF_NOTIFY",
    0x20000: "RTCF_DIRECTDST",
    0x40000: "RTCF_REDIRECTED",
    0x80000: "RTCF_TPROXY",
    0x200000: "RTCF_FAST",
    0x400000: "RTCF_MASQ",
    0x800000: "RTCF_SNAT",
    0x1000000: "RTCF_DOREDIRECT",
    0x4000000: "RTCF_DIRECTSRC",
    0x8000000: "RTCF_DNAT",
    0x10000000: "RTCF_BROADCAST",
    0x20000000: "RTCF_MULTICAST",
    0x40000000: "RTCF_REJECT",
    0x80000000: "RTCF_LOCAL",
}

# include/uapi/linux/if_arp.h.
ARP_FLAGS = {
    0x02: "ATF_COM",
    0x04: "ATF_PERM",
    0x08: "ATF_PUBL",
    0x10: "ATF_USETRAILERS",
    0x20: "ATF_NETMASK",
    0x40: "ATF_DONTPUB",
}

# include/uapi/linux/if_addr.h; /proc shows the lower eight bits.
ADDRESS_FLAGS = {
    0x01: "IFA_F_TEMPORARY",
    0x02: "IFA_F_NODAD",
    0x04: "IFA_F_OPTIMISTIC",
    0x08: "IFA_F_DADFAILED",
    0x10: "IFA_F_HOMEADDRESS",
    0x20: "IFA_F_DEPRECATED",
    0x40: "IFA_F_TENTATIVE",
    0x80: "IFA_F_PERMANENT",
}

# The scope of an IPv6 address as /proc shows it, IPV6_ADDR_SCOPE_MASK of include/net/ipv6.h, in the
# words of ip(8).
ADDRESS_SCOPES = {0x00: "global", 0x10: "host", 0x20: "link", 0x40: "site", 0x80: "compatv4"}

# ARPHRD_* of include/uapi/linux/if_arp.h: without the prefix.
HARDWARE_TYPES = {
    0: "netrom",
    1: "ether",
    2: "eether",
    3: "ax25",
    4: "pronet",
    5: "chaos",
    6: "ieee802",
    7: "arcnet",
    8: "appletlk",
    15: "dlci",
    19: "atm",
    23: "metricom",
    24: "ieee1394",
    27: "eui64",
    32: "infiniband",
    256: "slip",
    257: "cslip",
    258: "slip6",
    259: "cslip6",
    260: "rsrvd",
    264: "adapt",
    270: "rose",
    271: "x25",
    272: "hwx25",
    280: "can",
    290: "mctp",
    512: "ppp",
    513: "hdlc",
    516: "lapb",
    517: "ddcmp",
    518: "rawhdlc",
    519: "rawip",
    768: "tunnel",
    769: "tunnel6",
    770: "frad",
    771: "skip",
    772: "loopback",
    773: "localtlk",
    774: "fddi",
    775: "bif",
    776: "sit",
    777: "ipddp",
    778: "ipgre",
    779: "pimreg",
    780: "hippi",
    781: "ash",
    782: "econet",
    783: "irda",
    784: "fcpp",
    785: "fcal",
    786: "fcpl",
    787: "fcfabric",
    800: "ieee802_tr",
    801: "ieee80211",
    802: "ieee80211_prism",
    803: "ieee80211_radiotap",
    804: "ieee802154",
    805: "ieee802154_monitor",
    820: "phonet",
    821: "phonet_pipe",
    822: "caif",
    823: "ip6gre",
    824: "netlink",
    825: "6lowpan",
    826: "vsockmon",
    0xFFFE: "none",
    0xFFFF: "void",
}

# LACP_STATE_* of include/uapi/linux/if_bonding.h: the state of a port in a LACP message.
LACP_STATES = {
    0x01: "LACP_STATE_LACP_ACTIVITY",
    0x02: "LACP_STATE_LACP_TIMEOUT",
    0x04: "LACP_STATE_AGGREGATION",
    0x08: "LACP_STATE_SYNCHRONIZATION",
    0x10: "LACP_STATE_COLLECTING",
    0x20: "LACP_STATE_DISTRIBUTING",
    0x40: "LACP_STATE_DEFAULTED",
    0x80: "LACP_STATE_EXPIRED",
}

# include/uapi/linux/mroute.h.
VIF_FLAGS = {
    0x1: "VIFF_TUNNEL",
    0x2: "VIFF_SRCRT",
    0x4: "VIFF_REGISTER",
    0x8: "VIFF_USE_IFINDEX",
}

# include/uapi/linux/mroute6.h.
MIF_FLAGS = {0x1: "MIFF_REGISTER"}
