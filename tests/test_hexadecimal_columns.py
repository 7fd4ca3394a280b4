"""Columns that the kernel prints in hexadecimal, with digits beyond 9 (get_tcp4_sock, net/ipv4/tcp_ipv4.c)."""

from __future__ import annotations

from procmirror.decoding.view import Machine
from procmirror.views.net import tcp

HEADER = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
ROW = (
    b"  10: 0100007F:ABCD 0200007F:00FE 0B 0000000A:000000FF 01:000003E8 0000000C  1000        0 "
    b"4321 2 00000000deadbeef 20 4 30 10 -1"
)


def test_ports_queues_timers_and_retransmissions_are_hexadecimal_and_ids_are_not() -> None:
    (found,) = tcp.decode(HEADER + b"\n" + ROW + b"\n", Machine())
    assert (found.local_address, found.local_port) == ("127.0.0.1", 0xABCD)
    assert (found.rem_address, found.rem_port) == ("127.0.0.2", 0xFE)
    assert (found.st, found.tx_queue, found.rx_queue) == ("CLOSING", 10, 255)
    assert (found.tm_when, found.retrnsmt) == (10.0, 12)
    assert (found.sl, found.uid, found.inode, found.ref) == (10, 1000, 4321, 2)
