"""machine.txt: the page about the machine."""

from __future__ import annotations

from typing import Any

from procmirror.decoding.text import duration, page, size
from procmirror.decoding.view import Machine
from procmirror.kernel import tasks
from procmirror.views.machine import NAMED, Named, Processes, Summary, Waiting


def text(found: Summary, _: Machine) -> str:
    """One page; a line for each part, and what could not be read at the end."""
    rows = [*_about(found), *_resources(found), *_tasks(found.processes), *_moved(found)]
    rows += [("missing", f"{one.part} ({one.reason})") for one in found.incomplete]
    return page(rows)


Rows = list[tuple[str, Any]]


def _about(found: Summary) -> Rows:
    taints = found.tainted
    return [
        ("kernel", found.kernel),
        *(("tainted", taint) for taint in taints or ["no"] * (taints is not None)),
        ("up", found.uptime is not None and duration(found.uptime)),
        ("load", found.load and " ".join(f"{load:.2f}" for load in found.load)),
    ]


def _resources(found: Summary) -> Rows:
    cpu, memory = found.cpu, found.memory
    return [
        (
            "processors",
            cpu
            and f"{cpu.cpus} since the boot: {cpu.user}% user, {cpu.system}% system, "
            f"{cpu.iowait}% I/O wait, {cpu.steal}% steal, {cpu.idle}% idle",
        ),
        (
            "memory",
            memory
            and f"{size(memory.used)} used, {size(memory.available)} available "
            f"of {size(memory.total)}",
        ),
        (
            "swap",
            memory
            and memory.swap_total
            and f"{size(memory.swap_used)} used of {size(memory.swap_total)}",
        ),
        (
            "pressure",
            ", ".join(
                f"{resource} {_pressure(waiting)}" for resource, waiting in found.pressure.items()
            ),
        ),
    ]


def _pressure(waiting: Waiting) -> str:
    some = "-" if waiting.some is None else f"{waiting.some:.1f}%"
    return some if waiting.full is None else f"{some} (all tasks {waiting.full:.1f}%)"


def _tasks(found: Processes) -> Rows:
    states = ", ".join(
        f"{count} {tasks.STATES.get(letter, letter)}" for letter, count in found.states.items()
    )
    return [
        ("processes", f"{found.visible} visible with {found.threads} threads"),
        ("states", states),
        ("runnable", _names(found.runnable)),
        ("blocked", _names(found.blocked)),
        ("zombies", _names(found.zombies, parents=True)),
        *(("largest", f"{size(one.VmRSS)} {one.comm}({one.pid})") for one in found.largest),
    ]


def _names(found: list[Named], *, parents: bool = False) -> str:
    words = [
        f"{one.comm}({one.pid})" + (f" of parent {one.ppid}" if parents else "")
        for one in found[:NAMED]
    ]
    more = len(found) - NAMED
    return ", ".join([*words, f"and {more} more"] if more > 0 else words)


def _moved(found: Summary) -> Rows:
    return [
        *(
            ("disk", f"{one.name}: {size(one.read)} read, {size(one.written)} written")
            for one in found.disks or []
        ),
        *(
            ("interface", f"{one.name}: {size(one.read)} received, {size(one.written)} sent")
            for one in found.interfaces or []
        ),
        ("listening", ", ".join(found.listeners or [])),
    ]
