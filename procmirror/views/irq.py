"""/proc/irq/: which CPUs each interrupt may come to, and how many of it nobody handled.

Source: kernel/irq/proc.c, Documentation/core-api/irq/irq-affinity.rst; uptime, which tells whether
a time can be right.

One joined view, for the names are numbers and drivers. Each directory is an interrupt; a driver
that handles it has a directory of its own in there. `smp_affinity`, which has the same CPUs as a
mask, is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from msgspec import UNSET, field

from procmirror.decoding.parts import Parts
from procmirror.decoding.shapes import cpu_mask, lines, number, numbers, record_with_extra
from procmirror.decoding.text import columns, decoded, ranges
from procmirror.decoding.view import Extra, Incomplete, Machine, Reading, Record, doc
from procmirror.views import uptime

_FILES = {
    *("affinity_hint", "effective_affinity", "effective_affinity_list", "node"),
    *("smp_affinity", "smp_affinity_list", "spurious"),
}


class Spurious(Record, frozen=True):
    """How many calls nobody handled: too many, and the kernel turns the interrupt off."""

    count: Annotated[int | None, doc("Calls; counted anew after each hundred thousand")] = None
    unhandled: Annotated[
        int | None,
        doc("Those that no driver handled, each within a tenth of a second after the one before"),
    ] = None
    last_unhandled: Annotated[
        float | None,
        doc(
            "When the last of these was, since the boot (modulo 49.7 days); null: never, or, with "
            "the printed number in `extra`, not known. Of a kernel with HZ=300 it may be 16.6 days "
            "too late",
            "seconds",
        ),
    ] = None
    extra: Extra = UNSET


class Irq(Record, frozen=True):
    """One interrupt."""

    irq: Annotated[int, doc("Its number, as in interrupts")]
    devices: Annotated[list[str], doc("What the drivers that handle it call themselves")]
    smp_affinity: Annotated[list[int] | None, doc("CPUs that it may come to")]
    effective_affinity: Annotated[
        list[int] | None, doc("CPUs that the controller sends it to; null where it does not say")
    ]
    affinity_hint: Annotated[
        list[int] | None, doc("CPUs that the driver proposes to irqbalance(1); empty: none")
    ]
    node: Annotated[int | None, doc("Its NUMA node; null for none")]
    spurious: Annotated[Spurious | None, doc("How many calls nobody handled")]
    incomplete: Annotated[
        list[Incomplete], doc("What of it could not be read or decoded; empty if all could")
    ] = field(default_factory=list)


def join(reading: Reading, machine: Machine) -> Iterator[Irq]:
    """The interrupts by their numbers."""
    found = sorted(int(name) for name in reading.names("irq") if name.isdecimal())
    return (_irq(one, reading, machine) for one in found)


def _irq(irq: int, reading: Reading, machine: Machine) -> Irq:
    parts = Parts(reading, machine, f"irq/{irq}")

    def now() -> float | None:
        return parts.made("uptime", lambda: uptime.decode(reading.read("uptime"), machine).uptime)

    return Irq(
        irq=irq,
        devices=[name for name in parts.names("") or () if name not in _FILES],
        smp_affinity=parts.file("/smp_affinity_list", _list),
        effective_affinity=parts.file("/effective_affinity_list", _list),
        affinity_hint=parts.file("/affinity_hint", _mask),
        node=parts.file("/node", _node),
        spurious=parts.file("/spurious", lambda raw, _: _spurious(raw, now)),
        incomplete=parts.incomplete,
    )


def _list(raw: bytes, _: Machine) -> list[int]:
    return numbers(raw.strip())


def _mask(raw: bytes, _: Machine) -> list[int]:
    return cpu_mask(decoded(raw))


def _node(raw: bytes, _: Machine) -> int | None:
    node = number(raw)
    return None if node == -1 else node


def _spurious(raw: bytes, now: Callable[[], float | None]) -> Spurious:
    """The lines of the file; `now` tells the seconds since the boot, None if they are not known."""
    values: dict[str, Any] = dict(
        decoded(line.strip()).split(None, 1) for line in lines(raw) if line.strip()
    )
    last, _, unit = values.get("last_unhandled", "").partition(" ")
    if unit == "ms" and last.isdecimal():
        seconds = _since_boot(number(last))
        if seconds is None or _has_been(seconds, now()):
            values["last_unhandled"] = seconds
    return record_with_extra(Spurious, values)


def _since_boot(milliseconds: int) -> float | None:
    """Seconds from the kernel's clock of ticks, which begins five minutes before its 32 bits end.

    It is INITIAL_JIFFIES in include/linux/jiffies.h. Where a thousand is no multiple of the ticks
    in a second (HZ=300) it begins elsewhere, and the time is 16.6 days too late.
    """
    return (milliseconds + 300_000) % (1 << 32) / 1000 if milliseconds else None


def _has_been(seconds: float, now: float | None) -> bool:
    """Whether a time since the boot is not later than now; true if now is not known."""
    # Other than the uptime, ticks may not follow the corrections of the clock.
    return now is None or seconds <= now * 1.001 + 1


def text(irqs: Iterator[Irq], _: Machine) -> str:
    """One interrupt a line."""
    rows = [
        (
            one.irq,
            _cpus(one.smp_affinity),
            _cpus(one.effective_affinity),
            one.node,
            one.spurious and one.spurious.unhandled,
            ", ".join(one.devices),
        )
        for one in irqs
    ]
    header = ("IRQ", "CPUS", "EFFECTIVE", "NODE", "UNHANDLED", "WHAT")
    return columns(rows, header, right=(0, 3, 4)) if rows else "no interrupts\n"


def _cpus(cpus: list[int] | None) -> str:
    return "?" if cpus is None else ranges(cpus)
