"""/proc/net/tcp and tcp6: the TCP sockets of a network namespace.

Source: proc_pid_net(5), net/ipv4/tcp_ipv4.c, net/ipv6/tcp_ipv6.c.

The last five columns are missing in rows of connections that have no full socket: SYN_RECV and
TIME_WAIT. MPTCP subflows stand here too.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import extra_by_position
from procmirror.decoding.text import columns, duration
from procmirror.decoding.view import Extra, Machine, doc
from procmirror.views.net import inet

_NO_TAIL: dict[str, Any] = dict.fromkeys(
    ("rto", "ato", "quick", "pingpong", "snd_cwnd", "ssthresh", "fastopen_queue")
)


class Tcp(inet.Socket, frozen=True):
    """One TCP socket."""

    accept_queue: Annotated[
        int | None, doc("Connections that wait for accept(2); null unless it listens")
    ]
    rto: Annotated[float | None, doc("Retransmission timeout", "seconds")]
    ato: Annotated[float | None, doc("Delay of acknowledgements, predicted", "seconds")]
    quick: Annotated[int | None, doc("Acknowledgements still to be sent at once")]
    pingpong: Annotated[
        bool | None, doc("Whether the session is interactive and acknowledgements wait for data")
    ]
    snd_cwnd: Annotated[int | None, doc("Congestion window, in segments")]
    ssthresh: Annotated[
        int | None,
        doc("Slow start threshold, in segments; null before it is known, and for a listener"),
    ]
    fastopen_queue: Annotated[
        int | None, doc("Longest queue of TCP Fast Open requests; null unless it listens")
    ]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Tcp]:
    """The sockets, listening ones first as the kernel lists them."""
    return inet.rows(raw, lambda words: _tcp(words, machine))


def _tcp(words: list[bytes], machine: Machine) -> Tcp:
    fields = inet.common(words, machine)
    if fields["st"] == "LISTEN":
        waiting, fields["rx_queue"] = fields["rx_queue"], None
        return Tcp(**fields, accept_queue=waiting, **_tail(words, machine, listens=True))
    tail = _tail(words, machine, listens=False) if len(words) > 12 else _NO_TAIL
    return Tcp(**fields, accept_queue=None, **tail)


def _tail(words: list[bytes], machine: Machine, *, listens: bool) -> dict[str, Any]:
    rto, ato, quick_pingpong, window, threshold = map(int, words[12:17])
    if (rto | ato | quick_pingpong | window) >> 64 or not -1 <= threshold < 1 << 64:
        raise expected("numbers of 0 to 64 bits", b" ".join(words[12:17]))
    return {
        "rto": rto / machine.ticks,
        "ato": ato / machine.ticks,
        "quick": quick_pingpong >> 1,
        "pingpong": bool(quick_pingpong & 1),
        "snd_cwnd": window,
        "ssthresh": None if listens or threshold == -1 else threshold,
        "fastopen_queue": threshold if listens else None,
        "extra": extra_by_position(words, 17),
    }


def text(sockets: list[Tcp], _: Machine) -> str:
    """One socket a line, as `ss -tan` has them, with the timer that runs."""
    rows = [(*_cells(one), _timer(one)) for one in sockets]
    return columns(rows, (*inet.HEADER, "TIMER"), right=(1, 2))


def _cells(tcp: Tcp) -> tuple[str, ...]:
    state, received, *rest = inet.cells(tcp)
    return state, received if tcp.accept_queue is None else str(tcp.accept_queue), *rest


def _timer(tcp: Tcp) -> str:
    if tcp.tr is None:
        return ""
    tries = tcp.retrnsmt or tcp.timeout
    return f"{tcp.tr} {duration(tcp.tm_when)}" + (f", try {tries}" if tries else "")
