"""machine: one page about the machine, and the processes that explain its load.

Source: uptime, loadavg, stat, meminfo, pressure/, diskstats, version, sys/kernel/tainted,
self/net/dev, self/net/tcp and tcp6, and status of each process that the requester may see, stat of
its further threads as far as these are not too many, wchan of those that are blocked.

Each part is read by itself. A part that cannot be read or decoded is null, and `incomplete` names
it with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, NamedTuple, TypeAlias, TypeVar

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import bits
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Each, Incomplete, Machine, Reading, Record, doc
from procmirror.kernel.taint import reasons
from procmirror.views import diskstats, loadavg, meminfo, pressure, uptime
from procmirror.views import stat as system_stat
from procmirror.views.net import dev, inet, tcp
from procmirror.views.pid import status, status_fast, wchan

Told = TypeVar("Told")
Made = TypeVar("Made")
# How many processes of a kind are named.
NAMED = 5
# How many threads are looked at, of processes that have more than one.
MOST_THREADS = 8192
# The states of threads that the load counts.
_LOADING = frozenset("RD")


class Processor(Record, frozen=True):
    """How the processors spent the time since the boot."""

    cpus: Annotated[int, doc("Processors that are online")]
    user: Annotated[float, doc("Running programs, nice ones included", "percent")]
    system: Annotated[float, doc("Running the kernel, interrupts included", "percent")]
    iowait: Annotated[float, doc("Idle while a task waited for I/O", "percent")]
    steal: Annotated[float, doc("Taken by the hypervisor for others", "percent")]
    idle: Annotated[float, doc("Idle", "percent")]


class Memory(Record, frozen=True):
    """Main memory and swap; null for what is not known."""

    total: Annotated[int | None, doc("Usable memory", "bytes")]
    available: Annotated[int | None, doc("What new programs can have without swapping", "bytes")]
    used: Annotated[int | None, doc("The rest: total less available", "bytes")]
    swap_total: Annotated[int | None, doc("Swap space", "bytes")]
    swap_used: Annotated[int | None, doc("Swap space in use", "bytes")]


class Waiting(Record, frozen=True):
    """The share of the last ten seconds in which tasks waited for a resource."""

    some: Annotated[float | None, doc("At least one task waited", "percent")]
    full: Annotated[float | None, doc("All tasks that were not idle waited", "percent")]


class Named(Record, frozen=True):
    """A process, or one of its threads."""

    pid: Annotated[int, doc("Process id")]
    comm: Annotated[str, doc("Its name")]
    tid: Annotated[int, doc("Thread id; that of the process for its first thread")]
    thread: Annotated[str | None, doc("Name of the thread; null for the first")]
    uid: Annotated[int | None, doc("Its effective user")]
    user: Annotated[str | None, doc("Name of that user; null without one")]
    ppid: Annotated[int, doc("Process id of its parent")]
    VmRSS: Annotated[int | None, doc("Resident memory; null without any", "bytes")]
    waits_for: Annotated[
        str | None,
        doc("What a blocked thread waits for; null where that is not told, and for others"),
    ]


class Processes(Record, frozen=True):
    """The processes that the requester may see."""

    visible: Annotated[int, doc("How many there are")]
    threads: Annotated[int, doc("Their threads")]
    states: Annotated[dict[str, int], doc("How many main threads are in each state, by its letter")]
    runnable: Annotated[list[Named], doc("Threads that run or wait for a processor (R)")]
    blocked: Annotated[list[Named], doc("Threads in uninterruptible sleep (D)")]
    zombies: Annotated[list[Named], doc("Processes that ended and whose parent did not wait (Z)")]
    largest: Annotated[list[Named], doc("The five with the most resident memory")]


class Traffic(Record, frozen=True):
    """What a disk or an interface moved since the boot."""

    name: Annotated[str, doc("Name of the disk or interface")]
    read: Annotated[int, doc("Read from the disk, or received", "bytes")]
    written: Annotated[int, doc("Written to the disk, or sent", "bytes")]


class Summary(Record, frozen=True, kw_only=True):
    """The machine; null for what could not be read."""

    kernel: Annotated[str | None, doc("Release of the kernel")]
    tainted: Annotated[list[str] | None, doc("Why the kernel is tainted; empty if it is not")]
    uptime: Annotated[float | None, doc("Since the boot", "seconds")]
    load: Annotated[
        list[float] | None,
        doc("Tasks running or in uninterruptible sleep: averages of 1, 5 and 15 minutes"),
    ]
    cpu: Annotated[Processor | None, doc("Processors, since the boot")]
    memory: Annotated[Memory | None, doc("Memory and swap")]
    pressure: Annotated[
        dict[str, Waiting], doc("Pressure by resource: `cpu`, `memory`, `io`, `irq`")
    ]
    processes: Annotated[Processes, doc("The processes that the requester may see")]
    disks: Annotated[list[Traffic] | None, doc("Whole disks that were used")]
    interfaces: Annotated[
        list[Traffic] | None,
        doc("Interfaces of the requester's network namespace that were used, but `lo`"),
    ]
    listeners: Annotated[
        list[str] | None,
        doc("Addresses on which TCP listens in the requester's network namespace"),
    ]
    incomplete: Annotated[list[Incomplete], doc("Parts that could not be read or decoded")]


def join(reading: Reading, machine: Machine) -> Each:
    """One record, made of all processes and of the files of the machine."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    return Each(
        numbers,
        lambda number: _facts(number, reading, machine),
        ("status",),
        arrange=partial(_summary, reading, machine),
    )


class _Active(NamedTuple):
    """A thread that counts for the load: its state (R or D), and what it waits for."""

    state: str
    named: Named


_Fact: TypeAlias = status.Status | Incomplete


def _facts(number: str, reading: Reading, machine: Machine) -> list[_Fact] | None:
    parts = Parts(reading, machine)
    told = parts.file(f"{number}/status", status_fast.decode)
    if told is None and parts.hidden:
        return None
    return [*([told] if told else []), *parts.incomplete]


def _active(found: list[status.Status], parts: Parts) -> Iterator[_Active]:
    """The threads of all processes that run or are blocked.

    Who has few threads comes first: one with thousands takes none of the others.
    """
    left, skipped = MOST_THREADS, list[str]()
    for told in sorted(found, key=_threads):
        if (state := _letter(told)) in _LOADING:
            yield _thread(told, str(told.Pid), None, state, parts)
        if (count := _threads(told)) > left:
            skipped.append(str(told.Pid))
        elif count > 1:
            left -= count
            yield from _others(told, parts)
    if skipped:
        words = "too many threads; not looked at are those of "
        parts.incomplete.append(Incomplete("task", words + _enumerated(skipped)))


def _others(told: status.Status, parts: Parts) -> Iterator[_Active]:
    """The threads of one process but the first."""
    for tid in (parts.names(f"{told.Pid}/task") or [])[:MOST_THREADS]:
        if tid.isdecimal() and int(tid) != told.Pid:
            found = parts.file(f"{told.Pid}/task/{tid}/stat", _name_and_state)
            if found and found[1] in _LOADING:
                yield _thread(told, tid, *found, parts)


def _enumerated(pids: list[str]) -> str:
    more = len(pids) - NAMED
    return ", ".join([*pids[:NAMED], *([f"{more} more"] if more > 0 else [])])


def _name_and_state(raw: bytes, _: Machine) -> tuple[str, str]:
    """The second and third column of a stat; the name may have blanks and brackets."""
    begin, end = raw.find(b"("), raw.rfind(b") ")
    if not 0 < begin < end:
        raise expected("TID (NAME) STATE …", raw)
    return decoded(raw[begin + 1 : end]), decoded(raw[end + 2 : end + 3])


def _thread(told: status.Status, tid: str, name: str | None, state: str, parts: Parts) -> _Active:
    known = parts.file(f"{told.Pid}/task/{tid}/wchan", wchan.decode) if state == "D" else None
    waits_for = (known.waits_for or known.symbol) if known else None
    return _Active(state, _named(told, int(tid), name, waits_for))


def _summary(reading: Reading, machine: Machine, found: Iterator[_Fact]) -> Summary:
    told = list(found)
    unread = [one for one in told if isinstance(one, Incomplete)]
    statuses = [one for one in told if isinstance(one, status.Status)]
    parts = Parts(reading, machine)
    # After the walk, which leaves out a process that takes long.
    active = sorted(_active(statuses, parts), key=lambda one: (one.named.pid, one.named.tid))
    processes = _processes(statuses, active)
    load = parts.file("loadavg", loadavg.decode)
    since = parts.file("uptime", uptime.decode)
    return Summary(
        kernel=parts.file("sys/kernel/osrelease", _word),
        tainted=parts.file("sys/kernel/tainted", lambda raw, _: reasons(bits(int(raw)))),
        uptime=None if since is None else since.uptime,
        load=None if load is None else _loads(load),
        cpu=_made(parts, "stat", system_stat.decode, lambda told: _processor(told, parts)),
        memory=_made(parts, "meminfo", meminfo.decode, _memory),
        pressure={
            resource: Waiting(
                stall.some.avg10 if stall.some else None, stall.full.avg10 if stall.full else None
            )
            for resource in ("cpu", "memory", "io", "irq")
            if (stall := _made(parts, f"pressure/{resource}", pressure.decode, _stall))
        },
        processes=processes,
        disks=_made(parts, "diskstats", diskstats.decode, _disks),
        interfaces=_made(parts, "self/net/dev", dev.decode, _interfaces),
        listeners=_together(
            _made(parts, f"self/net/{name}", tcp.decode, _listeners) for name in ("tcp", "tcp6")
        ),
        incomplete=[*unread, *parts.incomplete],
    )


def _made(
    parts: Parts,
    name: str,
    decode: Callable[[bytes, Machine], Told],
    make: Callable[[Told], Made],
) -> Made | None:
    """What `make` makes of a file; its odd values and lines are noted, and where it fails why."""
    told = parts.file(name, decode)
    return None if told is None else parts.made(name, lambda: make(told))


def _loads(load: loadavg.Loadavg) -> list[float] | None:
    """The three averages; None if one of them is not known."""
    found = [load.load1, load.load5, load.load15]
    known = [one for one in found if one is not None]
    return known if len(known) == len(found) else None


def _stall(found: pressure.Stall) -> pressure.Stall:
    if found.some is None and found.full is None:
        raise ValueError("expected some avg10=… or full avg10=…")
    return found


def _word(raw: bytes, _: Machine) -> str:
    return raw.decode("utf-8", "backslashreplace").strip()


def _together(lists: Iterable[list[str] | None]) -> list[str] | None:
    found = [some for some in lists if some is not None]
    return [word for some in found for word in some] if found else None


def _processor(told: system_stat.Stat, parts: Parts) -> Processor:
    """The shares of the states; a state of another form counts as nothing, and is noted."""
    cpu = told.cpu
    if not cpu or cpu.user is None or cpu.nice is None or cpu.system is None or cpu.idle is None:
        raise ValueError("expected the times of all CPUs")
    parts.odd("stat", cpu)
    # Time of guests is part of user and nice.
    user, system = cpu.user + cpu.nice, cpu.system + (cpu.irq or 0) + (cpu.softirq or 0)
    iowait, steal = cpu.iowait or 0, cpu.steal or 0
    whole = user + system + iowait + steal + cpu.idle or 1
    shares = (round(100 * part / whole, 1) for part in (user, system, iowait, steal, cpu.idle))
    return Processor(len(told.cpus), *shares)


def _memory(told: meminfo.Meminfo) -> Memory:
    # MemAvailable came with Linux 3.14.
    guessed = told.MemAvailable is None and "MemAvailable" not in (told.extra or {})
    available = told.MemFree if guessed else told.MemAvailable
    return Memory(
        told.MemTotal,
        available,
        _less(told.MemTotal, available),
        told.SwapTotal,
        _less(told.SwapTotal, told.SwapFree),
    )


def _less(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else whole - part


def _disks(disks: list[diskstats.Disk]) -> list[Traffic]:
    """Whole disks; the partitions of each follow it."""
    found: list[Traffic] = []
    for disk in disks:
        if not found or not _is_partition(disk.name, found[-1].name):
            found.append(Traffic(disk.name, disk.bytes_read, disk.bytes_written))
    return [disk for disk in found if disk.read or disk.written]


def _is_partition(name: str, disk: str) -> bool:
    """Whether a name is a partition's of a disk: `sda1`, `md1p2` (bdev_name in block/genhd.c)."""
    number = name.removeprefix(disk + "p" * disk[-1:].isdigit())
    return number != name and number.isdecimal()


def _interfaces(interfaces: list[dev.Interface]) -> list[Traffic]:
    return [
        Traffic(one.interface, into.bytes, out.bytes)
        for one in interfaces
        if (into := one.receive) and (out := one.transmit)
        if one.interface != "lo" and (into.bytes or out.bytes)
    ]


def _listeners(sockets: list[tcp.Tcp]) -> list[str]:
    return [inet.shown(one.local_address, one.local_port) for one in sockets if one.st == "LISTEN"]


def _threads(told: status.Status) -> int:
    """How many threads a process has; 1 where that is not known."""
    return 1 if told.Threads is None else told.Threads


def _letter(told: status.Status) -> str:
    """The letter of the state; `?` where it is not known."""
    return (told.State or "?")[:1]


def _processes(found: list[status.Status], active: list[_Active]) -> Processes:
    largest = sorted(found, key=lambda one: -(one.VmRSS or 0))[:NAMED]
    return Processes(
        visible=len(found),
        threads=sum(map(_threads, found)),
        states=dict(Counter(map(_letter, found)).most_common()),
        runnable=[one.named for one in active if one.state == "R"],
        blocked=[one.named for one in active if one.state == "D"],
        # A process whose first thread ended goes on in its other threads.
        zombies=[_named(one) for one in found if _letter(one) == "Z" and _threads(one) < 2],
        largest=[_named(one) for one in largest if one.VmRSS],
    )


def _named(
    told: status.Status, tid: int = 0, thread: str | None = None, waits_for: str | None = None
) -> Named:
    """The record of a process, or of a thread."""
    uid, user = status.owner(told)
    tid = tid or told.Pid
    return Named(told.Pid, told.Name, tid, thread, uid, user, told.PPid, told.VmRSS, waits_for)
