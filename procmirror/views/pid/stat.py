"""/proc/PID/stat: one line of numbers about a process or thread.

Source: proc_pid_stat(5), do_task_stat in fs/proc/array.c.

comm is written raw, so it ends at the last `)` and may hold blanks, parentheses and newlines. Linux
2.6.0 had 41 columns, 3.5 has 52. To a requester without ptrace rights the addresses and exit_code
are 0 (startcode and endcode 1). starttime counts from the boot of the requester's time namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, UnsetType

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import extra_by_position, flags, number, scaled, signed
from procmirror.decoding.text import decoded, duration, page, size, told
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel import signals, tasks, terminals

_LAST = 253402300800  # the year 10000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST = -(1 << 63)
_UNLIMITED = (2**64 - 1, 2**32 - 1)  # of 64-bit and 32-bit kernels
# Ticks that no start before the boot looks like, and pages whose bytes have less than 63 bits.
_SOON, _FEW = 1 << 30, 1 << 40

Address = str | None
Words = tuple[str, ...]


class Stat(Record, frozen=True):
    """The columns under their names of proc(5).

    Null where this kernel has none or the requester may not know, and where a column has another
    form: `extra` has that.
    """

    pid: Annotated[int | None, doc("Process id; under task/ the thread's")]
    comm: Annotated[str, doc("Command name")]
    state: Annotated[str, doc("Letter of the state (R, S, D, Z, T, t, I, X, …)")]
    ppid: Annotated[int | None, doc("Process id of the parent")]
    pgrp: Annotated[int | None, doc("Process group")]
    session: Annotated[int | None, doc("Session")]
    tty_nr: Annotated[str | None, doc("Controlling terminal, `major:minor`")]
    tty: Annotated[
        str | None,
        doc("The name of that terminal below /dev: `pts/0`, `tty1`; null for another driver's"),
    ]
    tpgid: Annotated[int | None, doc("Foreground process group of the terminal")]
    flags: Annotated[
        Words | None, doc("Flags of the task; a bit whose meaning changed between kernels as `0x…`")
    ]
    minflt: Annotated[int | None, counted("Page faults that needed no disk")]
    cminflt: Annotated[int | None, counted("The same of children waited for")]
    majflt: Annotated[int | None, counted("Page faults that needed the disk")]
    cmajflt: Annotated[int | None, counted("The same of children waited for")]
    utime: Annotated[float | None, counted("CPU time in user mode, guest time included", "seconds")]
    stime: Annotated[float | None, counted("CPU time in the kernel", "seconds")]
    cutime: Annotated[float | None, counted("User time of children waited for", "seconds")]
    cstime: Annotated[float | None, counted("Kernel time of children waited for", "seconds")]
    priority: Annotated[int | None, doc("20 + nice; under a real-time policy -1 - rt_priority")]
    nice: Annotated[int | None, doc("Nice value, 19 (low) to -20 (high)")]
    num_threads: Annotated[int | None, doc("Threads of the process")]
    itrealvalue: Annotated[float | None, doc("0 since Linux 2.6.17", "seconds")]
    starttime: Annotated[float | None, doc("When it started, after boot", "seconds")]
    started: Annotated[
        str | None,
        doc("starttime as a date (ISO 8601, UTC); null if it is not known when the machine booted"),
    ]
    vsize: Annotated[int | None, doc("Virtual memory", "bytes")]
    rss: Annotated[int | None, doc("Resident memory (inaccurate: see statm)", "bytes")]
    rsslim: Annotated[int | None, doc("Soft limit of resident memory; null: unlimited", "bytes")]
    startcode: Annotated[Address, doc("Where the program's code begins")]
    endcode: Annotated[Address, doc("Where it ends")]
    startstack: Annotated[Address, doc("Bottom of the stack")]
    kstkesp: Annotated[
        Address, doc("Stack pointer; since Linux 4.14 only while it exits or dumps core")
    ]
    kstkeip: Annotated[
        Address, doc("Instruction pointer; since Linux 4.14 only while it exits or dumps core")
    ]
    signal: Annotated[Words | None, doc("Pending signals up to 31 (all are in status)")]
    blocked: Annotated[Words | None, doc("Blocked signals up to 31")]
    sigignore: Annotated[Words | None, doc("Ignored signals up to 31")]
    sigcatch: Annotated[Words | None, doc("Handled signals up to 31")]
    wchan: Annotated[Address, doc("`0x1` for waiting; before Linux 4.4 the address it waits at")]
    nswap: Annotated[int | None, doc("0: not kept")]
    cnswap: Annotated[int | None, doc("0: not kept")]
    exit_signal: Annotated[
        str | None, doc("Signal to the parent at its end; null for a thread that is not the leader")
    ]
    processor: Annotated[int | None, doc("CPU it last ran on")]
    rt_priority: Annotated[int | None, doc("Real-time priority, 1 to 99; 0 under other policies")]
    policy: Annotated[str | None, doc("Scheduling policy")]
    delayacct_blkio_ticks: Annotated[
        float | None, counted("Time it waited for block I/O", "seconds")
    ] = None
    guest_time: Annotated[float | None, counted("CPU time as a virtual CPU", "seconds")] = None
    cguest_time: Annotated[float | None, counted("The same of children waited for", "seconds")] = (
        None
    )
    start_data: Annotated[Address, doc("Where initialised and uninitialised data begin")] = None
    end_data: Annotated[Address, doc("Where they end")] = None
    start_brk: Annotated[Address, doc("Where the heap can begin")] = None
    arg_start: Annotated[Address, doc("Where the arguments begin")] = None
    arg_end: Annotated[Address, doc("Where they end")] = None
    env_start: Annotated[Address, doc("Where the environment begins")] = None
    env_end: Annotated[Address, doc("Where it ends")] = None
    exit_code: Annotated[
        int | None, doc("How it ended, as waitpid(2) tells it; 0 also without the right to know")
    ] = None
    extra: Extra = UNSET


def _plain(number: int, _: Machine) -> int:
    """The number itself; `_all` does not call it."""
    return number


def _device(number: int, _: Machine) -> str | None:
    return "{}:{}".format(*_numbers(number)) if number else None


def _numbers(device: int) -> tuple[int, int]:
    """Major and minor of a device as the kernel tells it to user space."""
    return device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00


@lru_cache(64)
def _terminal(device: int, architecture: str) -> str | None:
    return terminals.name(*_numbers(device), architecture) if device else None


def _foreground(number: int, _: Machine) -> int | None:
    return None if number == -1 else number


@lru_cache(1024)
def _names(mask: int) -> Words:
    return tuple(flags(mask, tasks.FLAGS))


def _flags(number: int, _: Machine) -> Words:
    return _names(number)


def _seconds(number: int, machine: Machine) -> float:
    """Ticks; `_all` divides all of them at once."""
    return number / machine.ticks


def _start(number: int, machine: Machine) -> float:
    """The start after the boot; before it in a time namespace.

    The kernel counts nanoseconds in 64 bits without a sign, and only then ticks.
    """
    if number < _SOON:
        return number / machine.ticks
    most = 2**64 * machine.ticks // 10**9
    return (number - most if most // 2 < number <= most else signed(number)) / machine.ticks


def _pages(number: int, machine: Machine) -> int:
    return (
        number * machine.page_size if 0 <= number < _FEW else scaled(str(number), machine.page_size)
    )


def _limit(number: int, _: Machine) -> int | None:
    return None if number in _UNLIMITED else number


def _address(number: int, _: Machine) -> Address:
    """An address; `_all` writes all of them at once."""
    return hex(number) if number > 1 else None


def _wchan(number: int, _: Machine) -> Address:
    return hex(number) if number else None


def _signals(number: int, _: Machine) -> Words:
    return signals.names(number)


def _exit_signal(number: int, _: Machine) -> str | None:
    return None if number == -1 else signals.name(number)


def _policy(number: int, _: Machine) -> str:
    return tasks.POLICIES.get(number) or str(number)


# From the fourth column on.
_COLUMNS: tuple[tuple[str, Callable[[int, Machine], Any]], ...] = (
    *((name, _plain) for name in ("ppid", "pgrp", "session")),
    ("tty_nr", _device),
    ("tpgid", _foreground),
    ("flags", _flags),
    *((name, _plain) for name in ("minflt", "cminflt", "majflt", "cmajflt")),
    *((name, _seconds) for name in ("utime", "stime", "cutime", "cstime")),
    *((name, _plain) for name in ("priority", "nice", "num_threads")),
    ("itrealvalue", _seconds),
    ("starttime", _start),
    ("vsize", _plain),
    ("rss", _pages),
    ("rsslim", _limit),
    *((name, _address) for name in ("startcode", "endcode", "startstack", "kstkesp", "kstkeip")),
    *((name, _signals) for name in ("signal", "blocked", "sigignore", "sigcatch")),
    ("wchan", _wchan),
    *((name, _plain) for name in ("nswap", "cnswap")),
    ("exit_signal", _exit_signal),
    *((name, _plain) for name in ("processor", "rt_priority")),
    ("policy", _policy),
    *((name, _seconds) for name in ("delayacct_blkio_ticks", "guest_time", "cguest_time")),
    *(
        (name, _address)
        for name in (
            "start_data",
            "end_data",
            "start_brk",
            "arg_start",
            "arg_end",
            "env_start",
            "env_end",
        )
    ),
    ("exit_code", _plain),
)
# Linux 2.6.0 had 41 columns.
_FEWEST = 38
_TTY = 3
# More odd columns than these are no columns: the name does not end where it seems to.
_MOST_ODD = 8
_STARTTIME = [name for name, _ in _COLUMNS].index("starttime")


class _Places(NamedTuple):
    """The places of the columns that are read alike, among the first `count`, and of all others.

    What is a number is in none.
    """

    seconds: list[int]
    addresses: list[int]
    others: list[tuple[int, Callable[[int, Machine], Any]]]


@lru_cache(16)
def _places(count: int) -> _Places:
    every = [(at, read) for at, (_, read) in enumerate(_COLUMNS[:count]) if read is not _plain]
    return _Places(
        [at for at, read in every if read is _seconds],
        [at for at, read in every if read is _address],
        [one for one in every if one[1] not in {_seconds, _address}],
    )


@lru_cache(1024)
def _date(seconds: float) -> str | None:
    """The date of a second since 1970; None beyond the years that a date can have."""
    if not 0 <= seconds < _LAST:
        return None
    return (
        (_EPOCH + timedelta(seconds=seconds))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def decode(raw: bytes, machine: Machine) -> Stat:
    """The columns of the line; comm is what stands between the first `(` and the last `)`."""
    pid, _, rest = raw.partition(b" (")
    comm, _, rest = rest.rpartition(b") ")
    state, *words = rest.split() or [b""]
    if len(words) < _FEWEST:
        found = len(words) + 3 if state else len(raw.split())
        raise ValueError(f"expected {_FEWEST + 3} columns or more, found {found}")
    try:
        return _all((pid, comm, state, words), machine)
    except ValueError:
        return _each((pid, comm, state, words), machine)


# The columns of the line, those after the state in a list.
_Line = tuple[bytes, bytes, bytes, list[bytes]]


def _all(line: _Line, machine: Machine) -> Stat:
    """The record of a line whose columns all have their forms; else ValueError.

    Without a call for each column, as this file is read of every process.
    """
    pid, comm, state, words = line
    values: list[Any] = list(map(int, words[: len(_COLUMNS)]))
    if (max(values) | int(pid)) >> 64 > 0 or min(values) < _LEAST:
        raise expected("numbers of at most 64 bits", b" ".join(words))
    terminal = _terminal(values[_TTY], machine.architecture)
    places = _places(len(values))
    for at in places.seconds:
        values[at] /= machine.ticks
    for at in places.addresses:
        values[at] = hex(value) if (value := values[at]) > 1 else None
    for at, read in places.others:
        values[at] = read(values[at], machine)
    _complete(values, terminal, machine)
    if len(words) > len(_COLUMNS):
        values.append(_newer(line))
    return Stat(int(pid), decoded(comm), decoded(state), *values)


def _complete(values: list[Any], terminal: str | None, machine: Machine) -> None:
    """Insert what is made of two columns: the date of the start, the name of the terminal."""
    start = values[_STARTTIME]
    known = machine.boot_time and start is not None
    values.insert(_STARTTIME + 1, _date(machine.boot_time + start) if known else None)
    values.insert(_TTY + 1, terminal)


def _newer(line: _Line) -> dict[str, str] | UnsetType:
    return extra_by_position((*line[:3], *line[3]), 3 + len(_COLUMNS))


def _each(line: _Line, machine: Machine) -> Stat:
    """The record of a line with columns of another form: these are null, and go into `extra`.

    ValueError if the columns do not seem to begin where they should.
    """
    pid, comm, state, words = line
    odd: dict[str, str] = {}

    def tried(name: str, word: bytes, read: Callable[[int, Machine], Any]) -> Any:
        try:
            return read(number(word), machine)
        except (ValueError, OverflowError):
            odd[name] = decoded(word)
            return None

    number_ = tried("pid", pid, _plain)
    titles = _COLUMNS[: len(words)]
    values: list[Any] = [
        tried(name, word, read) for (name, read), word in zip(titles, words, strict=False)
    ]
    if (odd and decoded(state) not in tasks.STATES) or len(odd) > _MOST_ODD:
        raise expected("NUMBER (NAME) STATE and numbers", b" ".join((state, *words)))
    known = values[_TTY] is not None
    terminal = _terminal(int(words[_TTY]), machine.architecture) if known else None
    _complete(values, terminal, machine)
    values = [number_, decoded(comm), decoded(state), *values]
    named = dict(zip(Stat.__struct_fields__, values, strict=False))
    return Stat(**named, extra={**odd, **(_newer(line) or {})} or UNSET)


def cpu_time(stat: Stat | None) -> float | None:
    """The time on a CPU in both modes; None if it is not known."""
    if stat is None or stat.utime is None or stat.stime is None:
        return None
    return stat.utime + stat.stime


def text(stat: Stat, _: Machine) -> str:
    """What people ask of it, one subject a line."""
    rows = {
        "process": f"{told(stat.pid)} {stat.comm}",
        "state": tasks.STATES.get(stat.state, stat.state),
        "parent": stat.ppid,
        "group": stat.pgrp,
        "session": stat.session,
        "terminal": stat.tty_nr
        and f"{stat.tty or stat.tty_nr}, foreground group {stat.tpgid or 'none'}",
        "started": stat.started,
        "cpu-time": f"{duration(stat.utime)} user, {duration(stat.stime)} system",
        "children-time": f"{duration(stat.cutime)} user, {duration(stat.cstime)} system",
        "as-virtual-CPU": stat.guest_time and duration(stat.guest_time),
        "waited-for-I/O": stat.delayacct_blkio_ticks and duration(stat.delayacct_blkio_ticks),
        "resident": size(stat.rss),
        "virtual": size(stat.vsize),
        "page-faults": f"{told(stat.minflt)} minor, {told(stat.majflt)} major",
        "children-faults": f"{told(stat.cminflt)} minor, {told(stat.cmajflt)} major",
        "threads": stat.num_threads,
        "scheduling": f"{told(stat.policy)}, {_priority(stat)}, last on CPU {told(stat.processor)}",
        "flags": " ".join(stat.flags or ()),
        "ended": _end(stat),
    }
    return page(rows.items())


def _priority(stat: Stat) -> str:
    return (
        f"real-time priority {stat.rt_priority}" if stat.rt_priority else f"nice {told(stat.nice)}"
    )


def _end(stat: Stat) -> str:
    """The words of waitpid(2) for a process that has ended.

    A living one may have an exit code set in advance.
    """
    if stat.state not in {"Z", "X"} or stat.exit_code is None:
        return ""
    if not stat.exit_code & 0x7F:
        return f"with status {stat.exit_code >> 8}"
    dumped = ", core dumped" if stat.exit_code & 0x80 else ""
    return f"by {signals.name(stat.exit_code & 0x7F)}{dumped}"
