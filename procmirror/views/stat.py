"""/proc/stat: what the CPUs did since the boot (proc_stat(5), fs/proc/stat.c).

CPUs that are offline have no line. The columns of a CPU grew: steal with Linux 2.6.11, guest
2.6.24, guest_nice 2.6.33. `intr` has one number for every interrupt that the machine could have,
nearly all 0.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import zip_longest
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.bounds import may_exceed
from procmirror.decoding.shapes import counter, lines, number
from procmirror.decoding.table import Row
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
    user: Annotated[float | None, counted("User mode, guests included", "seconds")]
    nice: Annotated[
        float | None, counted("User mode with low priority, such guests included", "seconds")
    ]
    system: Annotated[float | None, counted("Kernel mode", "seconds")]
    idle: Annotated[float | None, counted("Nothing to do", "seconds")]
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

    cpu: Annotated[Times | None, doc("The sum of all CPUs")]
    cpus: Annotated[list[Times], doc("Each CPU that is online")]
    intr: Annotated[int | None, counted("Interrupts served, unnumbered ones included")]
    intr_by_number: Annotated[
        dict[int, int] | None, counted("Interrupts by number; those that never came are left out")
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
    """The lines by their names; ValueError if none has its form."""
    split = list(map(_split, lines(raw)))
    found = Row([name for name, _ in split], [rest for _, rest in split])
    names = [name for name in found.names() if name.startswith("cpu")]
    cpus = {name: found.tried(name, _reader(name, machine)) for name in names}
    intr, softirq = found.tried("intr", _numbers), found.tried("softirq", _numbers)
    made = Stat(
        btime=found.tried("btime", lambda word: date(counter(word))),
        cpu=cpus.pop("cpu", None),
        cpus=[one for one in cpus.values() if one],
        intr=intr[0] if intr else None,
        intr_by_number=None
        if intr is None
        else {number: count for number, count in enumerate(intr[1:]) if count},
        softirq=softirq[0] if softirq else None,
        softirq_by_name=_named(softirq[1:]) if softirq else None,
        **{name: found.tried(name, counter) for name in _COUNTERS},
        extra=found.extra(),
    )
    found.settle()
    return made


_COUNTERS = ("ctxt", "processes", "procs_running", "procs_blocked")


def _split(line: bytes) -> tuple[str, bytes]:
    name, _, rest = line.partition(b" ")
    return decoded(name), rest


def _numbers(rest: bytes) -> list[int]:
    return list(map(number, rest.split()))


def _reader(name: str, machine: Machine) -> Callable[[bytes], Times]:
    return lambda rest: _times(name, rest, machine)


def _times(name: str, rest: bytes, machine: Machine) -> Times:
    every = rest.split()
    cpu = number(name[3:]) if name[3:] else None
    if len(every) == len(MODES) and not may_exceed(rest):
        with suppress(ValueError):
            whole: list[Any] = [int(ticks) / machine.ticks for ticks in every]
            return Times(cpu, *whole)
    words = Row(MODES, every)
    spent = {
        mode: words.tried(mode, lambda ticks: counter(ticks) / machine.ticks) for mode in MODES
    }
    words.settle()
    return Times(cpu=cpu, **spent, extra=words.extra())


def _named(counts: list[int]) -> dict[str, int]:
    names = zip_longest(SOFTIRQS, range(len(counts)))
    return {
        name or str(number): count for (name, number), count in zip(names, counts, strict=False)
    }


# So that all modes stand in 80 columns.
_SHORT = {"system": "sys"}


def text(stat: Stat, _: Machine) -> str:
    """Where the time of each CPU went, in percent of its time; then the counters."""
    every = [*filter(None, [stat.cpu]), *stat.cpus]
    shown = [mode for mode in MODES if any(getattr(one, mode) is not None for one in every)]
    rows = [("all" if one.cpu is None else one.cpu, *_shares(one, shown)) for one in every]
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
