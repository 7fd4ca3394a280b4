"""For whom a blocked thread waits, as far as its system call, its memory and /proc tell.

Source: /proc/PID/task/TID/syscall and wchan, /proc/PID/fd, /proc/PID/mem; wait4(2), futex(2),
fcntl(2), pipe(7).

A thread waits for a key: an object that other processes hold (`Held`), processes (`Ended`), a
thread (`Thread`), or the holder of a file lock (`Locked`). Who answers to a key is found out when
all processes are known. What nobody on this machine answers for (a timer, a connection, a
terminal) has no key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from procmirror.decoding.byte_order import ByteOrder
from procmirror.decoding.proc_files import socket_inode
from procmirror.decoding.view import Machine, Reading
from procmirror.kernel.call_values import fcntl_command, futex_command
from procmirror.stack import calls, glibc
from procmirror.stack.arguments import int32
from procmirror.stack.named_file import NamedFile, named_file
from procmirror.stack.shared_memory import is_shared
from procmirror.stack.waiting_process import Process

_LINE = re.compile(rb"(\d{1,10})((?: 0x[0-9a-f]{1,16}){8})\n?")
# The functions of fs/pipe.c in which a thread sleeps; the names differ between kernels.
_PIPE = re.compile(rb"(?:anon_|fifo_)?pipe_(?:read|write)|pipe_wait(?:_readable|_writable)?")
_PIDFD = re.compile(rb"^Pid:\s*(\d{1,10})$", re.MULTILINE)

_FUTEX_WAITS = {"FUTEX_WAIT", "FUTEX_WAIT_BITSET"}
_FUTEX_LOCKS = {"FUTEX_LOCK_PI", "FUTEX_LOCK_PI2"}
_FUTEX_TID_MASK, _FUTEX_WAITERS = 0x3FFFFFFF, 0x80000000
_A_CHILD, ITS_CHILD = "the end of a child", "the end of its child {}"
_END, _RWLOCK = "the end of thread", "a read-write lock held by thread"
# include/uapi/linux/wait.h
_P_ALL, _P_PID, _P_PIDFD = 0, 1, 3
_CLONE_VFORK = 0x4000


@dataclass(frozen=True, slots=True)
class Held:
    """An object that other processes have open: the text of its link, and the access that helps.

    `file` is the object where the text is a name, which may lead to another file elsewhere. Process
    `pid` has it open.
    """

    target: str
    access: str
    file: NamedFile | None = None
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """Processes that have to end: the children of `parent`, or only `pid`."""

    parent: int
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """The child that `parent` has by a number of its own pid namespace.

    Which process that is, is found out when all processes are known (`Ended`).
    """

    parent: int
    number: int


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread."""

    tid: int


@dataclass(frozen=True, slots=True)
class Locked:
    """The holder of the file lock that a process waits for.

    `file` is that of the lock if an open file waits (OFD): no process is named with it.
    """

    pid: int
    file: NamedFile | None = None


Key: TypeAlias = Held | Ended | Child | Thread | Locked


@dataclass(frozen=True, slots=True)
class Wait:
    """One blocked thread: what it waits for in words, its key, and whether the wait has no end.

    `endless` is false for a wait that a timeout ends.
    """

    tid: int
    what: str
    key: Key
    endless: bool = True


@dataclass(frozen=True, slots=True)
class _Blocked:
    """A thread in a system call, and the means to look at its process."""

    process: Process
    tid: int
    name: str
    registers: Sequence[int]
    reading: Reading
    byte_order: ByteOrder

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def place(self) -> str:
        return self.process.place(self.tid)

    def target(self, fd: int) -> str:
        return self.reading.link(f"{self.place}fd/{int32(fd)}")

    def info(self, fd: int) -> bytes:
        return self.reading.read(f"{self.place}fdinfo/{int32(fd)}")

    def words(self, address: int, count: int) -> list[int]:
        raw = self.reading.part(f"{self.place}mem", address, 4 * count)
        starts = range(0, len(raw) - 3, 4)
        return [int.from_bytes(raw[at : at + 4], self.byte_order) for at in starts]


def wait(process: Process, tid: int, reading: Reading, machine: Machine) -> Wait | None:
    """What a thread waits for; None if it runs, or waits for nothing that can be named.

    `reading` is of the root of a procfs. Raises OSError if the kernel does not let the requester
    read the system call.
    """
    match = _LINE.fullmatch(reading.read(f"{process.pid}/task/{tid}/syscall"))
    if match is None:
        return None
    number, (*registers, sp, pc) = int(match[1]), (int(word, 16) for word in match[2].split())
    if not pc:
        return None
    name = calls.named(number, calls.abi(machine.architecture, number, (sp, pc), None))
    explain = _CALLS.get(name or "")
    if name is None or explain is None:
        return None
    with suppress(OSError, ValueError):
        return explain(_Blocked(process, tid, name, registers, reading, machine.byte_order))
    return None


def _stream(call: _Blocked) -> Wait | None:
    """Reading from or writing to a pipe, a FIFO or a socket."""
    reads = call.name in _READS
    target = call.target(call.registers[0])
    if socket_inode(target) is not None:
        what = f"{'data from' if reads else 'room at'} the peer of {target}"
        return Wait(call.tid, what, Held(target, "peer"))
    wchan = call.reading.read(f"{call.pid}/task/{call.tid}/wchan")
    if not target.startswith("pipe:[") and not _PIPE.fullmatch(wchan):
        return None
    what, access = f"{'data in' if reads else 'room in'} {target}", "write" if reads else "read"
    if target.startswith("pipe:["):
        return Wait(call.tid, what, Held(target, access))
    file = named_file(target, call.info(call.registers[0]))
    return Wait(call.tid, what, Held(target, access, file, call.pid))


def _child(call: _Blocked) -> Wait | None:
    if call.name == "waitid":
        which, wanted = call.registers[0], int32(call.registers[1])
        if which == _P_PIDFD:
            return _pidfd(call, wanted)
        wanted = wanted if which == _P_PID else -1
    else:
        wanted = int32(call.registers[0])
    if wanted <= 0:
        return Wait(call.tid, _A_CHILD, Ended(call.pid))
    if call.process.depth:
        return Wait(call.tid, _A_CHILD, Child(call.pid, wanted))
    return Wait(call.tid, ITS_CHILD.format(wanted), Ended(call.pid, wanted))


def _pidfd(call: _Blocked, fd: int) -> Wait | None:
    match = _PIDFD.search(call.info(fd))
    if match is None:
        return None
    pid = int(match[1])
    return Wait(call.tid, f"the end of process {pid}", Ended(call.pid, pid))


def _poll(call: _Blocked) -> Wait | None:
    """A wait for one pidfd; of several descriptors any may end it."""
    address, count, timeout = call.registers[:3]
    fds = call.words(address, 1) if count == 1 else []
    found = _pidfd(call, int32(fds[0])) if fds else None
    # poll(2) has milliseconds there, ppoll(2) the address of a time.
    endless = int32(timeout) < 0 if call.name == "poll" else timeout == 0
    return found and replace(found, endless=endless)


def _vfork(call: _Blocked) -> Wait | None:
    if call.name == "clone" and not call.registers[0] & _CLONE_VFORK:
        return None
    return Wait(call.tid, "its vfork child to exec or exit", Ended(call.pid))


def _futex(call: _Blocked) -> Wait | None:
    """The owner of a mutex: the kernel's rule for PI futexes, glibc's convention for others."""
    address, operation, expected, timeout = call.registers[:4]
    command = futex_command(operation)
    words = call.words(address, 3)
    if not words:
        return None
    if command in _FUTEX_LOCKS:
        return _owned(call, words[0] & _FUTEX_TID_MASK, "a PI mutex held by thread", timeout)
    if command not in _FUTEX_WAITS or words[0] != expected & 0xFFFFFFFF:
        return None
    return _by_glibc(call, words, timeout)


def _by_glibc(call: _Blocked, words: list[int], timeout: int) -> Wait | None:
    """The owner of a mutex or read-write lock, or a thread that is joined."""
    address, operation = call.registers[:2]
    for start in glibc.rwlock_places(address, words[0]):
        lock = call.words(start, glibc.RWLOCK_WORDS)
        writer = glibc.rwlock_writer(lock, operation)
        if writer and (owned := _owned(call, writer, _RWLOCK, timeout)):
            return owned
    if words[0] & _FUTEX_WAITERS:
        return _mutex(call, words[0] & _FUTEX_TID_MASK, "a robust mutex held by thread", timeout)
    if words[0] > glibc.LOCKED_WITH_WAITERS:
        return _owned(call, words[0], _END, timeout)
    mutex = words[0] == glibc.LOCKED_WITH_WAITERS and len(words) == 3
    if mutex and (owned := _mutex(call, words[2], "a mutex held by thread", timeout)):
        return owned
    place = glibc.thread_id_address(address, operation, words[0])
    joined = call.words(place, 1) if place else []
    return _owned(call, joined[0], _END, timeout) if joined else None


def _mutex(call: _Blocked, owner: int, words: str, timeout: int) -> Wait | None:
    """A wait for the owner of a mutex, of another process too if both share its memory.

    Of a process in an inner pid namespace the owner in another process is not known.
    """
    address, operation = call.registers[:2]
    owned = _owned(call, owner, words, timeout)
    if owned or operation & glibc.PRIVATE or not owner or call.process.depth:
        return owned
    maps = (call.reading.read(f"{place}maps") for place in (call.place, f"{owner}/"))
    if owner == call.tid or not is_shared(address, *maps):
        return None
    return Wait(call.tid, f"{words} {owner}", Thread(owner), endless=not timeout)


def _owned(call: _Blocked, owner: int, words: str, timeout: int) -> Wait | None:
    """A wait for a thread of the same process; any other number has another meaning."""
    tid = call.process.thread(owner)
    if tid is None or tid == call.tid:
        return None
    return Wait(call.tid, f"{words} {tid}", Thread(tid), endless=not timeout)


def _file_lock(call: _Blocked) -> Wait | None:
    fd, command = call.registers[0], "F_SETLKW"
    if call.name.startswith("fcntl"):
        command = fcntl_command(call.registers[1])
    if not command.startswith(("F_SETLKW", "F_OFD_SETLKW")):
        return None
    target, file = call.target(fd), None
    if command.startswith("F_OFD"):
        file = named_file(target, call.info(fd))
    return Wait(call.tid, f"a lock on {target}", Locked(call.pid, file))


_READS = frozenset(["read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg", "splice"])
_WRITES = frozenset(["write", "writev", "send", "sendto", "sendmsg", "sendmmsg"])
_CALLS: dict[str, Callable[[_Blocked], Wait | None]] = {
    **dict.fromkeys(_READS | _WRITES, _stream),
    **dict.fromkeys(("wait4", "waitid", "waitpid"), _child),
    **dict.fromkeys(("poll", "ppoll", "ppoll_time64"), _poll),
    **dict.fromkeys(("vfork", "clone", "clone3"), _vfork),
    **dict.fromkeys(("futex", "futex_time64"), _futex),
    **dict.fromkeys(("flock", "fcntl", "fcntl64"), _file_lock),
}
