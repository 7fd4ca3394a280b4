"""/proc/stat: what the CPUs did since the boot (proc_stat(5), fs/proc/stat.c).

CPUs that are offline have no line. The columns of a CPU grew: steal with Linux 2.6.11, guest
2.6.24, guest_nice 2.6.33. `intr` has one number for every interrupt that the machine could have,
nearly all 0.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import counter, lines, surplus
from procmirror.decoding.text import columns, date, decoded, page
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.softirqs import SOFTIRQS

MODES = (
    "user",
    "nice",
    "system",
    "idle",
    "iowait",
    "irq",
    "softirq",
    "steal",
    "guest",
    "guest_nice",
)


class Times(Record, frozen=True):
    """How long a CPU, or all of them, was in each mode."""

    cpu: Annotated[int | None, doc("Number of the CPU; null in the sum of all")]
    user: Annotated[float, counted("User mode, guests included", "seconds")]
    nice: Annotated[float, counted("User mode with low priority, such guests included", "seconds")]
    system: Annotated[float, counted("Kernel mode", "seconds")]
    idle: Annotated[float, counted("Nothing to do", "seconds")]
    iowait: Annotated[
        float | None, counted("Nothing to do while a task waited for I/O; not reliable", "seconds")
    ] = None
    irq: Annotated[float | None, counted("Serving interrupts", "seconds")] = None
    softirq: Annotated[float | None, counted("Serving softirqs", "seconds")] = None
    steal: Annotated[float | None, counted("Taken by the hypervisor for others", "seconds")] = None
    guest: Annotated[float | None, counted("Running a virtual CPU of a guest", "seconds")] = None
    guest_nice: Annotated[
        float | None, counted("The same, for a guest with low priority", "seconds")
    ] = None
    extra: Extra = UNSET


class Stat(Record, frozen=True):
    """The whole file."""

    cpu: Annotated[Times, doc("The sum of all CPUs")]
    cpus: Annotated[list[Times], doc("Each CPU that is online")]
    intr: Annotated[int | None, counted("Interrupts served, unnumbered ones included")]
    intr_by_number: Annotated[
        dict[int, int], counted("Interrupts by number; those that never came are left out")
    ]
    ctxt: Annotated[int | None, counted("Context switches")]
    btime: Annotated[str | None, doc("Time of the boot (ISO 8601)")]
    processes: Annotated[int | None, counted("Processes and threads created")]
    procs_running: Annotated[int | None, doc("Tasks that are runnable now")]
    procs_blocked: Annotated[int | None, doc("Tasks that wait for I/O now")]
    softirq: Annotated[int | None, counted("Softirqs served (since Linux 2.6.31)")] = None
    softirq_by_name: Annotated[
        dict[str, int] | None, counted("Softirqs by name, or number where the name is not known")
    ] = None
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> Stat:
    """The lines by their names."""
    found = {decoded(name): rest for name, _, rest in (line.partition(b" ") for line in lines(raw))}
    cpus = {
        name: _times(name, found.pop(name), machine)
        for name in list(found)
        if name.startswith("cpu")
    }
    intr = [int(count) for count in found.pop("intr", b"").split()]
    softirq = [int(count) for count in found.pop("softirq", b"").split()]
    known = {
        name: counter(found.pop(name)) if name in found else None
        for name in ("ctxt", "processes", "procs_running", "procs_blocked")
    }
    return Stat(
        btime=date(counter(found.pop("btime"))) if "btime" in found else None,
        cpu=cpus.pop("cpu"),
        cpus=list(cpus.values()),
        intr=intr[0] if intr else None,
        intr_by_number={number: count for number, count in enumerate(intr[1:]) if count},
        softirq=softirq[0] if softirq else None,
        softirq_by_name=_named(softirq[1:]) if softirq else None,
        extra={name: decoded(rest) for name, rest in found.items()} or UNSET,
        **known,
    )


def _times(name: str, rest: bytes, machine: Machine) -> Times:
    words = rest.split()
    spent = {
        mode: counter(ticks) / machine.ticks for mode, ticks in zip(MODES, words, strict=False)
    }
    return Times(cpu=int(name[3:]) if name[3:] else None, **spent, extra=surplus(words, len(MODES)))


def _named(counts: list[int]) -> dict[str, int]:
    names = zip_longest(SOFTIRQS, range(len(counts)))
    return {
        name or str(number): count for (name, number), count in zip(names, counts, strict=False)
    }


# So that all modes stand in 80 columns.
_SHORT = {"system": "sys"}


def text(stat: Stat, _: Machine) -> str:
    """Where the time of each CPU went, in percent of its time; then the counters."""
    shown = [mode for mode in MODES if getattr(stat.cpu, mode) is not None]
    rows = [
        ("all" if one.cpu is None else one.cpu, *_shares(one, shown))
        for one in (stat.cpu, *stat.cpus)
    ]
    counters = [
        ("booted", stat.btime),
        (
            "tasks",
            (
                f"{_shown(stat.procs_running)} runnable, {_shown(stat.procs_blocked)} waiting "
                f"for I/O, {_shown(stat.processes)} created since then"
            ),
        ),
        ("switches", _shown(stat.ctxt)),
        ("interrupts", _shown(stat.intr)),
        ("softirqs", _shown(stat.softirq)),
    ]
    return (
        columns(
            rows,
            header=("CPU", *(_SHORT.get(mode, mode).upper() for mode in shown)),
            right=range(1, len(shown) + 1),
        )
        + "\n"
        + page(counters)
    )


def _shares(times: Times, modes: list[str]) -> list[str]:
    """Each mode in percent; guest time is part of user and nice, and so not of the sum."""
    whole = sum(getattr(times, mode) or 0 for mode in MODES[:8]) or 1
    return [f"{(getattr(times, mode) or 0) / whole:.1%}" for mode in modes]


def _shown(count: int | None) -> str:
    return "-" if count is None else str(count)
