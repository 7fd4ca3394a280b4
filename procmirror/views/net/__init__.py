"""The views of /proc/PID/net, one row each."""

from __future__ import annotations

from procmirror.view import View
from procmirror.views.net import tcp, udp, unix

VIEWS: tuple[View, ...] = (
    View("net/tcp", list[tcp.Tcp], tcp.decode, text=tcp.text),
    View("net/tcp6", list[tcp.Tcp], tcp.decode, text=tcp.text),
    View("net/udp", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/udp6", list[udp.Datagram], udp.decode, text=udp.text),
    View("net/unix", list[unix.Unix], unix.decode, text=unix.text),
)
