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

from msgspec import field

from procmirror.decoding.parts import Parts
from procmirror.decoding.shares import Shares
from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Each, Incomplete, Machine, Reading, Record, doc
from procmirror.views.pid import cmdline, status, status_fast
from procmirror.views.pid.process import command_line, missing, owned_by

FILES = ("status", "cmdline")
# A branch is drawn no further to the right than this: the command has to stay on the screen.
DEEPEST = 24


class Process(Record, frozen=True, kw_only=True):
    """A process in the tree; parents come before their children."""

    pid: Annotated[int, doc("Process id")]
    ppid: Annotated[int, doc("Process id of the parent; 0: none that is visible")]
    depth: Annotated[int, doc("How many ancestors are visible; 0 at the top")]
    children: Annotated[list[int], doc("Process ids of its children")]
    comm: Annotated[str | None, doc("Its name")]
    state: Annotated[str | None, doc("Letter of its state, as in stat.json")]
    uid: Annotated[int | None, doc("Effective user id")]
    user: Annotated[str | None, doc("Name of the effective user")]
    threads: Annotated[int | None, doc("Threads of the process")]
    VmRSS: Annotated[int | None, doc("Resident memory; null for a process without any", "bytes")]
    cmdline: Annotated[
        list[str] | None, doc("Its arguments as in cmdline.json; null if they cannot be read")
    ]
    incomplete: Annotated[
        list[Incomplete],
        doc("Why status or cmdline could not be read or decoded; empty if they could"),
    ] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Found:
    pid: int
    told: status.Status | None
    arguments: list[str] | None
    incomplete: list[Incomplete]

    @property
    def parent(self) -> int:
        return self.told.PPid if self.told else 0


def join(reading: Reading, machine: Machine) -> Each:
    """The processes, each parent before its children, children in the order of their numbers."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    shares = Shares()
    return Each(
        numbers, lambda number: _found(number, reading, machine, shares), FILES, arrange=arranged
    )


def _found(number: str, reading: Reading, machine: Machine, shares: Shares) -> _Found | None:
    parts = Parts(reading, machine, f"{number}/")
    told = parts.file("status", status_fast.decode)
    if told is None and parts.hidden:
        return None
    uid, _ = status.owner(told)
    arguments = parts.file("cmdline", cmdline.decode, most=shares.most_arguments(uid))
    shares.take(uid, arguments or ())
    return _Found(told.Pid if told else int(number), told, arguments, parts.incomplete)


def arranged(found: Iterable[_Found]) -> Iterator[Process]:
    """The processes in the order of the tree.

    Parents that were read at different moments may form a circle; its processes come last, from
    the lowest number on.
    """
    known = {one.pid: one for one in found}
    children: dict[int, list[int]] = defaultdict(list)
    for pid in sorted(known):
        parent = known[pid].parent
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
    uid, user = status.owner(told)
    return Process(
        pid=found.pid,
        ppid=found.parent,
        depth=depth,
        children=children,
        comm=told.Name if told else None,
        state=told.State[:1] if told and told.State else None,
        uid=uid,
        user=user,
        threads=told.Threads if told else None,
        VmRSS=told.VmRSS if told else None,
        cmdline=found.arguments,
        incomplete=found.incomplete,
    )


def text(processes: Iterable[Process], machine: Machine) -> str:
    """One process a line, its command below that of its parent and further to the right."""
    rows = [
        (
            one.pid,
            owned_by(one.uid, one.user),
            one.state or "?",
            "-" if one.VmRSS is None else size(one.VmRSS),
            _branch(one.depth)
            + command_line(one.cmdline, one.comm or "?", machine)
            + missing(one.incomplete),
        )
        for one in processes
    ]
    return columns(rows, ("PID", "USER", "S", "RSS", "COMMAND"), right=(0, 3))


def _branch(depth: int) -> str:
    """Two blanks a level; beyond the deepest that is drawn, the level as a number."""
    return "  " * depth if depth <= DEEPEST else "  " * DEEPEST + f"({depth}) "
