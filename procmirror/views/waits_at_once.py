"""Which threads that were looked at one after the other wait at one moment.

Source: task/TID/status (switches of context, since Linux 2.6.23) and what `waits` reads.

Two processes that send each other requests and answers each wait in turn. A reader that looks at
one and then at the other may see both wait, as if in a deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from procmirror.decoding.proc_files import status_value
from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.view import Machine, Reading
from procmirror.stack.waiting import Wait, wait
from procmirror.views.waits_facts import Facts

_SWITCHES = (b"voluntary_ctxt_switches", b"nonvoluntary_ctxt_switches")
Known: TypeAlias = Mapping[int, tuple[Facts, Wait]]


def at_once(
    stuck: Iterable[int],
    known: Known,
    numbers: Sequence[str],
    reading: Reading,
    machine: Machine,
) -> set[int]:
    """The threads of `stuck` that wait as `known` says, all of them at one moment.

    A thread that is seen to wait twice without a switch of context between waited all the time.
    Threads of a process that has started another one since `numbers` were listed are left out: the
    new process may hold what others wait for.
    """

    def waits(tid: int) -> bool:
        facts, one = known[tid]
        with suppress(OSError, *SURPRISES):
            return one == wait(facts.process, tid, reading, machine)
        return False

    switches = {tid: _switches(known[tid][0].pid, tid, reading) for tid in stuck}
    first = [tid for tid in switches if waits(tid)]
    # The threads that are left in the end wait at this moment.
    busy = _parents(set(reading.names(".")) - set(numbers), reading)
    return {
        tid
        for tid in first
        if known[tid][0].pid not in busy
        and waits(tid)
        and _switches(known[tid][0].pid, tid, reading) == switches[tid]
    }


def _switches(pid: int, tid: int, reading: Reading) -> list[bytes] | None:
    """How often a thread got and gave up a processor; None where that is not told."""
    try:
        told = reading.read(f"{pid}/task/{tid}/status")
        return [status_value(told, key) for key in _SWITCHES]
    except (OSError, ValueError):
        return None


def _parents(names: Iterable[str], reading: Reading) -> set[int]:
    """The parents of processes that are still there."""
    parents = set()
    for name in filter(str.isdecimal, names):
        with suppress(OSError, ValueError):
            parents.add(int(status_value(reading.read(f"{name}/status"), b"PPid")))
    return parents
