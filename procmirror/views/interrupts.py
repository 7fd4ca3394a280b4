"""/proc/interrupts: how often each interrupt came to each CPU.

Source: proc_interrupts(5), show_interrupts in kernel/irq/proc.c.

A header names the CPUs that are online. After the counts a numbered row has the controller, its
number for the interrupt, the trigger and the handler, and after two blanks the devices; the rows of
the architecture have words, some a single count.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.shapes import cpus_of, per_cpu
from procmirror.decoding.table import rows
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Machine, Record, counted, doc

# Only the name of the controller may have blanks in it; the number of the interrupt follows it.
NUMBERED = re.compile(
    r"(?P<chip>\S++(?: \S++)*?)(?: ++(?P<hwirq>\d++))?(?: ++(?P<level>Edge|Level))?"
    r"(?: *+-(?P<handler>\S++))?(?: *+|  ++(?P<devices>\S.*))"
)

# Rows with a single count, that of the machine (arch_show_interrupts): many architectures have
# `ERR`, Arm has `Err`, x86 `MIS` too, PowerPC of old kernels `BAD`.
TOTALS = {"ERR", "Err", "MIS", "BAD"}


class Interrupt(Record, frozen=True):
    """One row."""

    interrupt: Annotated[str, doc("Its number, or the short name of one of the architecture")]
    total: Annotated[int, counted("How often it came, on all CPUs together")]
    cpus: Annotated[
        dict[int, int], counted("How often to each CPU; empty where the kernel has the total only")
    ]
    devices: Annotated[list[str], doc("What the drivers that asked for it call themselves")]
    chip: Annotated[str | None, doc("The interrupt controller")] = None
    hwirq: Annotated[int | None, doc("The controller's number for it")] = None
    level: Annotated[
        str | None, doc("What triggers it, Edge or Level, where the architecture says so")
    ] = None
    handler: Annotated[str | None, doc("How it is handled: edge, fasteoi, …")] = None
    description: Annotated[str | None, doc("What it is, where it is no device's")] = None


def decode(raw: bytes, _: Machine) -> list[Interrupt]:
    """The rows in their order."""
    online = cpus_of(raw)
    return rows(raw, lambda line: _interrupt(*per_cpu(online, line)), 1)


def _interrupt(name: str, total: int, cpus: dict[int, int], after: bytes) -> Interrupt:
    rest = decoded(after)
    # On a machine with one CPU nothing but the name tells whose count it is.
    cpus = {} if name in TOTALS and len(cpus) == 1 else cpus
    match = NUMBERED.fullmatch(rest) if name.isdigit() else None
    if not match:
        return Interrupt(name, total, cpus, [], description=rest or None)
    chip, hwirq, level, handler, devices = match.groups()
    return Interrupt(
        name,
        total,
        cpus,
        devices.split(", ") if devices else [],
        chip,
        int(hwirq) if hwirq else None,
        level,
        handler,
    )


def text(interrupts: list[Interrupt], _: Machine) -> str:
    """The interrupts that came, the most frequent first, with the CPUs that got them."""
    came = sorted((one for one in interrupts if one.total), key=lambda one: -one.total)
    shown = [(one.interrupt, one.total, *busiest(one.cpus), _what(one)) for one in came]
    return columns(shown, ("IRQ", "TOTAL", "CPUS", "BUSIEST", "WHAT"), right=(0, 1, 2, 3))


def _what(one: Interrupt) -> str:
    return one.description or ", ".join(one.devices) or one.chip or ""


def busiest(cpus: dict[int, int]) -> tuple[str, str]:
    """How many CPUs got it, and the one that got most of them with its share."""
    busiest = max(cpus, key=cpus.__getitem__, default=None)
    if busiest is None:
        return "-", "-"
    getting = sum(1 for count in cpus.values() if count)
    share = cpus[busiest] / sum(cpus.values())
    return str(getting), f"{busiest}:{share:.0%}"
