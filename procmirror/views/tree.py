"""tree: every process that the requester may see, below its parent (pstree(1)).

Source: /proc/PID/status and cmdline of each process.

A process whose parent is not visible stands at the top. One that is being made or ends during the
walk may be left out, and its children then stand at the top.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Each, Machine, Reading, Record, doc
from procmirror.views.pid import cmdline, status, status_fast
from procmirror.views.pid.process import command_line

FILES = ("status", "cmdline")
# A branch is drawn no further to the right than this: the command has to stay on the screen.
DEEPEST = 24


class Process(Record, frozen=True, kw_only=True):
    """A process in the tree; parents come before their children."""

    pid: Annotated[int, doc("Process id")]
    ppid: Annotated[int, doc("Process id of the parent; 0: none that is visible")]
    depth: Annotated[int, doc("How many ancestors are visible; 0 at the top")]
    children: Annotated[list[int], doc("Process ids of its children")]
    comm: Annotated[str, doc("Its name")]
    state: Annotated[str, doc("Letter of its state, as in stat.json")]
    uid: Annotated[int, doc("Effective user id")]
    user: Annotated[str | None, doc("Name of the effective user")]
    threads: Annotated[int, doc("Threads of the process")]
    VmRSS: Annotated[int | None, doc("Resident memory; null for a process without any", "bytes")]
    cmdline: Annotated[
        list[str] | None, doc("Its arguments as in cmdline.json; null if they cannot be read")
    ]


@dataclass(frozen=True, slots=True)
class _Found:
    told: status.Status
    arguments: list[str] | None


def join(reading: Reading, machine: Machine) -> Each:
    """The processes, each parent before its children, children in the order of their numbers."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    return Each(numbers, lambda number: _found(number, reading, machine), FILES, arrange=arranged)


def _found(number: str, reading: Reading, machine: Machine) -> _Found | None:
    try:
        told = status_fast.decode(reading.read(f"{number}/status"), machine)
    except OSError:
        return None
    try:
        return _Found(told, cmdline.decode(reading.read(f"{number}/cmdline"), machine))
    except OSError:
        return _Found(told, None)


def arranged(found: Iterable[_Found]) -> Iterator[Process]:
    """The processes in the order of the tree.

    Parents that were read at different moments may form a circle; its processes come last, from
    the lowest number on.
    """
    known = {one.told.Pid: one for one in found}
    children: dict[int, list[int]] = defaultdict(list)
    for pid in sorted(known):
        parent = known[pid].told.PPid
        children[parent if parent in known and parent != pid else 0].append(pid)
    seen: set[int] = set()
    tops = [*children[0], *sorted(known)]
    for top in tops:
        waiting = [(top, 0)]
        while waiting:
            pid, depth = waiting.pop()
            if pid in seen:
                continue
            seen.add(pid)
            waiting += [(child, depth + 1) for child in reversed(children[pid])]
            yield _process(known[pid], depth, children[pid])


def _process(found: _Found, depth: int, children: list[int]) -> Process:
    told = found.told
    return Process(
        pid=told.Pid,
        ppid=told.PPid,
        depth=depth,
        children=children,
        comm=told.Name,
        state=told.State[:1],
        uid=told.Uid.effective,
        user=told.Uid.effective_name,
        threads=told.Threads,
        VmRSS=told.VmRSS,
        cmdline=found.arguments,
    )


def text(processes: Iterable[Process], machine: Machine) -> str:
    """One process a line, its command below that of its parent and further to the right."""
    rows = [
        (
            one.pid,
            one.user or one.uid,
            one.state,
            "-" if one.VmRSS is None else size(one.VmRSS),
            _branch(one.depth) + command_line(one.cmdline, one.comm, machine),
        )
        for one in processes
    ]
    return columns(rows, ("PID", "USER", "S", "RSS", "COMMAND"), right=(0, 3))


def _branch(depth: int) -> str:
    """Two blanks a level; beyond the deepest that is drawn, the level as a number."""
    return "  " * depth if depth <= DEEPEST else "  " * DEEPEST + f"({depth}) "
