"""/proc/net/dev: what each interface received and sent.

Source: dev_seq_printf_stats, net/core/net-procfs.c, proc_pid_net(5).

The header names the columns, in two groups divided by `|`; a name of an interface has no colon and
no blank. Some columns are sums: `drop` of what was dropped and missed, `frame` and `carrier` of
four kinds of errors each.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.reasons import LineError, expected, found
from procmirror.decoding.shapes import lines, record_with_extra
from procmirror.decoding.table import rows
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Record, counted, doc


class Received(Record, frozen=True):
    """What came in."""

    bytes: Annotated[int, counted("Received", "bytes")]
    packets: Annotated[int, counted("Received", "packets")]
    errs: Annotated[int, counted("Errors the driver found")]
    drop: Annotated[int, counted("Dropped, or missed by the hardware", "packets")]
    fifo: Annotated[int, counted("FIFO overruns")]
    frame: Annotated[int, counted("Errors of length, overrun, CRC or framing")]
    compressed: Annotated[int, counted("Compressed", "packets")]
    multicast: Annotated[int, counted("Multicast", "packets")]
    extra: Extra = UNSET


class Sent(Record, frozen=True):
    """What went out."""

    bytes: Annotated[int, counted("Sent", "bytes")]
    packets: Annotated[int, counted("Sent", "packets")]
    errs: Annotated[int, counted("Errors the driver found")]
    drop: Annotated[int, counted("Dropped before they were sent", "packets")]
    fifo: Annotated[int, counted("FIFO underruns")]
    colls: Annotated[int, counted("Collisions")]
    carrier: Annotated[int, counted("Errors of carrier, abort, window or heartbeat")]
    compressed: Annotated[int, counted("Compressed", "packets")]
    extra: Extra = UNSET


class Interface(Record, frozen=True):
    """One interface."""

    interface: Annotated[str, doc("Its name")]
    receive: Annotated[Received | None, doc("What came in; null if the driver keeps no statistics")]
    transmit: Annotated[Sent | None, doc("What went out; null if the driver keeps no statistics")]


def decode(raw: bytes, _: Machine) -> list[Interface]:
    """The interfaces in the kernel's order."""
    header = [*lines(raw)[1:2], b""][0].split(b"|")
    if len(header) != 3 or header[0].strip() != b"face":
        raise LineError(2, f"expected the header face |… |…, found {found(b'|'.join(header))}")
    receive, transmit = header[1].split(), header[2].split()
    return rows(raw, lambda line: _interface(line, receive, transmit), 2)


def _interface(line: bytes, receive: list[bytes], transmit: list[bytes]) -> Interface:
    name, colon, rest = line.rpartition(b":")
    words, wanted = rest.split(), len(receive) + len(transmit)
    if rest.strip() == b"No statistics available.":
        return Interface(decoded(name.strip()), None, None)
    if not colon or len(words) != wanted:
        raise expected(f"a name and {wanted} counters", line)
    came, went = _group(receive, words[: len(receive)]), _group(transmit, words[len(receive) :])
    return Interface(
        decoded(name.strip()), record_with_extra(Received, came), record_with_extra(Sent, went)
    )


def _group(names: list[bytes], words: list[bytes]) -> dict[str, str]:
    return {decoded(name): decoded(word) for name, word in zip(names, words, strict=True)}


def text(interfaces: list[Interface], _: Machine) -> str:
    """One interface a line; what is seldom not 0 at the end, by name."""
    header = (
        *("INTERFACE", "RECEIVED", "PACKETS", "ERRS", "DROP"),
        *("SENT", "PACKETS", "ERRS", "DROP", "OTHER"),
    )
    return columns(map(_row, interfaces), header, right=range(1, 9))


def _row(one: Interface) -> list[object]:
    into, out = one.receive, one.transmit
    if into is None or out is None:
        return [one.interface, *["-"] * 8, "no statistics"]
    seldom = [
        (f"rx {name}", getattr(into, name)) for name in ("fifo", "frame", "compressed", "multicast")
    ]
    seldom += [
        (f"tx {name}", getattr(out, name)) for name in ("fifo", "colls", "carrier", "compressed")
    ]
    other = ", ".join(f"{name} {count}" for name, count in seldom if count)
    main = [
        cell for way in (into, out) for cell in (size(way.bytes), way.packets, way.errs, way.drop)
    ]
    return [one.interface, *main, other]
