"""The views of /proc/PID/net, one row each."""

from __future__ import annotations

from procmirror.view import View
from procmirror.views.net import (
    anycast6,
    connector,
    dev_mcast,
    igmp,
    igmp6,
    ip6_flowlabel,
    mcfilter,
    netlink,
    packet,
    protocols,
    ptype,
    raw,
    sockstat,
    tcp,
    udp,
    unix,
)

VIEWS: tuple[View, ...] = (
    View("net/anycast6", list[anycast6.Anycast], anycast6.decode),
    View("net/connector", list[connector.Callback], connector.decode),
    View("net/dev_mcast", list[dev_mcast.LinkAddress], dev_mcast.decode),
    View("net/icmp", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/icmp6", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/igmp", list[igmp.Interface], igmp.decode),
    View("net/igmp6", list[igmp6.Group], igmp6.decode),
    View("net/ip6_flowlabel", list[ip6_flowlabel.FlowLabel], ip6_flowlabel.decode),
    View("net/mcfilter", list[mcfilter.Source], mcfilter.decode),
    View("net/mcfilter6", list[mcfilter.Source], mcfilter.decode),
    View("net/netlink", list[netlink.Netlink], netlink.decode, text=netlink.text),
    View("net/packet", list[packet.Packet], packet.decode, text=packet.text),
    View("net/protocols", list[protocols.SocketProtocol], protocols.decode),
    View("net/ptype", list[ptype.Handler], ptype.decode),
    View("net/raw", list[raw.Raw], raw.decode, text=raw.text),
    View("net/raw6", list[raw.Raw], raw.decode, text=raw.text),
    View("net/sockstat", dict[str, sockstat.Counts], sockstat.decode),
    View("net/sockstat6", dict[str, sockstat.Counts], sockstat.decode),
    View("net/tcp", list[tcp.Tcp], tcp.decode, text=tcp.text),
    View("net/tcp6", list[tcp.Tcp], tcp.decode, text=tcp.text),
    View("net/udp", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/udp6", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/udplite", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/udplite6", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/unix", list[unix.Unix], unix.decode, text=unix.text),
)
