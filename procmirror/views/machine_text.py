"""machine.txt: the page about the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from procmirror.decoding.text import duration, one_of_many, page, size
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
            and (
                f"{size(memory.swap_used)} used of {size(memory.swap_total)}"
                if memory.swap_total
                else "none"
            ),
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
        ("runnable", _some(map(_name, found.runnable))),
        ("blocked", _some(map(_blocked, found.blocked))),
        ("zombies", _some(f"{_name(one)} of parent {one.ppid}" for one in found.zombies)),
        *(("largest", f"{size(one.VmRSS)} {one.comm}({one.pid})") for one in found.largest),
    ]


def _some(names: Iterable[str], more_in: str = "") -> str:
    """The first names, and how many more there are."""
    words = list(names)
    more = len(words) - NAMED
    return ", ".join([*words[:NAMED], *([f"and {more} more{more_in}"] if more > 0 else [])])


def _name(one: Named) -> str:
    process = f"{one_of_many(one.comm)}({one.pid})"
    if one.tid == one.pid:
        return process
    return f"{one_of_many(one.thread or '?')}({one.tid}) of {process}"


def _blocked(one: Named) -> str:
    return f"{_name(one)}: {one_of_many(one.waits_for)}" if one.waits_for else _name(one)


def _openness(address: str) -> tuple[bool, int]:
    """What others may reach first, then by port."""
    host, _, port = address.rpartition(":")
    return host.startswith(("127.", "[::1]")), int(port) if port.isdecimal() else 0


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
        ("listening", _some(sorted(found.listeners or [], key=_openness), " (sockets.txt)")),
    ]
