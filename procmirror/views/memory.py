"""memory: the memory of every process that the requester may see, one compact object or line each.

Source: /proc/PID/smaps_rollup, status and cmdline of each process (proc_pid_smaps(5), smem(8)).

smaps_rollup takes the right to trace the process. Where the kernel refuses it, the numbers of
status are shown alone and `incomplete` says why. Processes without memory of their own (kernel
threads and zombies) are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from errno import ESRCH
from typing import Annotated

from msgspec import field

from procmirror.decoding.parts import Parts
from procmirror.decoding.shares import Shares
from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Each, Incomplete, Machine, Reading, Record, doc
from procmirror.views.pid import cmdline, smaps, smaps_rollup, status, status_fast
from procmirror.views.pid.process import command_line, owned_by

FILES = ("status", "smaps_rollup", "cmdline")


class Memory(Record, frozen=True, kw_only=True):
    """The memory of one process; null for what the requester may not read."""

    pid: Annotated[int, doc("Process id")]
    comm: Annotated[str | None, doc("Its name")]
    uid: Annotated[int | None, doc("Effective user id")]
    user: Annotated[str | None, doc("Name of the effective user")]
    cmdline: Annotated[
        list[str] | None, doc("Its arguments as in cmdline.json; null if they cannot be read")
    ]
    VmSize: Annotated[int | None, doc("Virtual memory, from status", "bytes")]
    VmRSS: Annotated[int | None, doc("Resident memory, from status", "bytes")]
    VmSwap: Annotated[int | None, doc("Private memory in swap, from status", "bytes")]
    Rss: Annotated[int | None, doc("Resident memory", "bytes")] = None
    Pss: Annotated[
        int | None,
        doc("Resident memory, each page divided by the processes that share it", "bytes"),
    ] = None
    Uss: Annotated[
        int | None,
        doc(
            "Resident memory that no other process shares, hugetlb pages among it, which Rss and "
            "Pss leave out",
            "bytes",
        ),
    ] = None
    Swap: Annotated[int | None, doc("Memory in swap, shared memory too", "bytes")] = None
    SwapPss: Annotated[
        int | None, doc("Memory in swap, each page divided by the processes that share it", "bytes")
    ] = None
    Locked: Annotated[int | None, doc("Locked memory (mlock(2))", "bytes")] = None
    incomplete: Annotated[
        list[Incomplete],
        doc("Parts that could not be read (EACCES, EBUSY) or decoded; empty if there are none"),
    ] = field(default_factory=list)


def join(reading: Reading, machine: Machine) -> Each:
    """The processes in the order of their numbers."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    shares = Shares()
    return Each(numbers, lambda number: _memory(number, reading, machine, shares), FILES)


def _memory(number: str, reading: Reading, machine: Machine, shares: Shares) -> Memory | None:
    parts = Parts(reading, machine, f"{number}/")
    told = parts.file("status", status_fast.decode)
    if told is None and parts.hidden:
        return None
    if told is not None and told.VmRSS is None:
        return None
    used = parts.file("smaps_rollup", _rollup, needed=True)
    uid, user = status.owner(told)
    arguments = parts.file("cmdline", cmdline.decode, most=shares.most_arguments(uid))
    shares.take(uid, arguments or ())
    return Memory(
        pid=told.Pid if told else int(number),
        comm=told.Name if told else None,
        uid=uid,
        user=user,
        cmdline=arguments,
        VmSize=told.VmSize if told else None,
        VmRSS=told.VmRSS if told else None,
        VmSwap=told.VmSwap if told else None,
        incomplete=parts.incomplete,
        **(_used(used) if used else {}),
    )


def _rollup(raw: bytes, machine: Machine) -> smaps.Smap:
    """The sums of smaps_rollup, ESRCH if the memory was given back meanwhile."""
    if not raw:
        raise ProcessLookupError(ESRCH, "no memory any more")
    return smaps_rollup.decode(raw, machine)


def _used(rollup: smaps.Smap) -> dict[str, int | None]:
    private = [rollup.Private_Clean, rollup.Private_Dirty, rollup.Private_Hugetlb]
    return {
        "Rss": rollup.Rss,
        "Pss": rollup.Pss,
        "Uss": sum(part or 0 for part in private),
        "Swap": rollup.Swap,
        "SwapPss": rollup.SwapPss,
        "Locked": rollup.Locked,
    }


def text(processes: Iterable[Memory], machine: Machine) -> str:
    """One process a line, the largest proportional share first.

    Processes whose smaps_rollup cannot be read come last, by resident memory.
    """
    rows = sorted(processes, key=lambda one: (one.Pss is None, -(one.Pss or one.VmRSS or 0)))
    return columns(
        [_row(one, machine) for one in rows],
        ("PID", "USER", "PSS", "USS", "RSS", "SWAP", "COMMAND"),
        right=(0, 2, 3, 4, 5),
    )


def _row(one: Memory, machine: Machine) -> tuple[object, ...]:
    return (
        one.pid,
        owned_by(one.uid, one.user),
        "?" if one.Pss is None else size(one.Pss),
        "?" if one.Uss is None else size(one.Uss),
        size(one.VmRSS if one.Rss is None else one.Rss),
        size(one.VmSwap if one.Swap is None else one.Swap),
        command_line(one.cmdline, one.comm or "?", machine),
    )
