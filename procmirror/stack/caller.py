"""The process whose system call is explained.

It gives the memory, descriptors, threads and children that the requester may see.

What may not be read, or does not exist any more, is missing from the answer and never an error. The
memory is the caller's own and may hold anything: every read is bounded, and so is their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from itertools import islice

from procmirror.decoding.proc_files import socket_inode, status_value
from procmirror.decoding.text import decoded, one_of_many, printable
from procmirror.decoding.view import Machine, Reading
from procmirror.kernel.signals import names as signal_names
from procmirror.stack.sockets import Sockets
from procmirror.stack.waiting_process import MOST_NUMBER

AT_FDCWD = -100
_PAGE = 4096
_STRING = 256
_THREADS = 64
# So many threads or children are asked for their numbers in an inner pid namespace.
_LOOKED_AT = 4096
# The bytes that the arguments of one call may take to read: the longest poll set that is shown has
# 512 bytes.
_BUDGET = 8192
# Integers in memory are read as the architectures of this byte order store them.
_LITTLE_ENDIAN = (
    "x86_64",
    "i386",
    "i486",
    "i586",
    "i686",
    "aarch64",
    "armv",
    "riscv",
    "loongarch",
    "ppc64le",
)


class Caller:
    """A process behind a `Reading` of its directory or of one of its threads'.

    It remembers descriptors, not memory. `looked`: the explanation of the call at hand rests on
    what was looked at besides its registers.
    """

    def __init__(self, reading: Reading, machine: Machine) -> None:
        self._reading = reading
        # The directory of a thread that has memory and files; the first one may have ended.
        self.directory = ""
        self._network = machine.namespaces.get("net", "")
        self._little = machine.architecture.startswith(_LITTLE_ENDIAN)
        self._descriptors: dict[int, str] = {}
        self.sockets = Sockets(reading)
        self._places: tuple[str, str] | None = None
        self._budget = _BUDGET
        self.looked = False

    def begin(self) -> None:
        """Start the next call with a full budget."""
        self._budget = _BUDGET
        self.looked = False

    def memory(self, address: int, size: int) -> bytes:
        """At most `size` bytes from `address`; none if nothing can be read."""
        size = min(size, self._budget)
        if size <= 0 or not 0 < address < 1 << 63 or not self._little:
            return b""
        self._budget -= size
        self.looked = True
        try:
            return self._reading.part(self.directory + "mem", address, size)[:size]
        except OSError:
            return b""

    def numbers(self, address: int, width: int, count: int) -> list[int]:
        """The signed integers of an array, as many of them as are readable."""
        raw = self.memory(address, width * count)
        return [
            int.from_bytes(raw[at : at + width], "little", signed=True)
            for at in range(0, len(raw) - width + 1, width)
        ]

    def string(self, address: int) -> str | None:
        """The string at `address` in quotes, with `…` after a long one.

        Its next page is read only if the string reaches it.
        """
        first = min(_STRING, _PAGE - address % _PAGE)
        raw = self.memory(address, first)
        if b"\0" not in raw and len(raw) == first < _STRING:
            raw += self.memory(address + first, _STRING - first)
        if not raw:
            return None
        text, end, _ = raw.partition(b"\0")
        return quoted(text) + ("" if end else "…")

    def signals(self, address: int) -> str | None:
        """The signals at `address`: `{SIGINT, SIGTERM}`; `~{SIGKILL}` if most of them are set."""
        raw = self.memory(address, 8)
        if len(raw) < 8:
            return None
        mask = int.from_bytes(raw, "little")
        most = mask.bit_count() > 32
        shown = ", ".join(signal_names(mask ^ (2**64 - 1) if most else mask))
        return f"{'~' if most else ''}{{{shown}}}"

    def descriptor(self, number: int) -> str:
        """A descriptor with its target: `3<pipe:[4711]>`, or its bare number."""
        self.looked = True
        if number not in self._descriptors:
            self._descriptors[number] = self._described(number)
        return self._descriptors[number]

    def _described(self, number: int) -> str:
        shown, path = ("AT_FDCWD", "cwd") if number == AT_FDCWD else (str(number), f"fd/{number}")
        if number < 0 and number != AT_FDCWD:
            return shown
        with suppress(OSError):
            link = self._reading.link(self.directory + path)
            inode = socket_inode(link)
            if inode is not None:
                link = self.sockets.described(inode) or link
                link += self._peer(inode) if link.startswith("unix") else ""
            elif link == "anon_inode:[pidfd]":
                link = self._pidfd(number) or link
            return f"{shown}<{printable(link)}>"
        return shown

    def _peer(self, inode: int) -> str:
        """The inode of the other end of a UNIX socket, if the kernel tells it to the requester."""
        ask = getattr(self._reading, "unix_peer", None)
        with suppress(OSError):
            peer = ask(inode, self._network) if ask else None
            return f" -> inode {peer}" if peer else ""
        return ""

    def _pidfd(self, number: int) -> str | None:
        """The process of a pidfd; -1 is one that has been reaped (fdinfo, see proc(5))."""
        for line in self.lines(f"fdinfo/{number}"):
            key, _, value = line.partition(b":")
            if key == b"Pid" and value.strip().lstrip(b"-").isdigit():
                pid = int(value)
                name = self.process(pid)
                return f"process {pid}{f' ({name})' if name else ''}" if pid > 0 else "process gone"
        return None

    def lines(self, path: str) -> list[bytes]:
        """The first thousand lines of a file of the process."""
        self.looked = True
        with suppress(OSError):
            return [line for line, _ in zip(self._reading.lines(path), range(1000), strict=False)]
        return []

    def thread(self, number: int) -> str | None:
        """A living thread by the number that the process has of it: `thread 7 (cat)`.

        None for any other number.
        """
        tasks = self._where[0]
        known = 0 < number <= MOST_NUMBER
        tid = (self._threads.get(number) if self._depth else number) if known else None
        name = self._name(f"{tasks}{tid}") if tid else None
        return None if name is None else f"thread {tid} ({name})"

    @cached_property
    def _threads(self) -> Mapping[int, int]:
        """The threads by their numbers in the pid namespace of the process."""
        tasks = self._where[0]
        with suppress(OSError):
            names = [name for name in self._reading.names(tasks) if name.isdecimal()][:_LOOKED_AT]
            return {self._number(f"{tasks}{name}"): int(name) for name in names}
        return {}

    @cached_property
    def _depth(self) -> int:
        """How many pid namespaces the process is below that of the procfs."""
        return max(len(self._numbers("status")) - 1, 0)

    def _numbers(self, path: str) -> list[int]:
        """NSpid of a status; none where that may not be read, and before Linux 4.1."""
        with suppress(OSError, ValueError):
            return [int(word) for word in status_value(self._reading.read(path), b"NSpid").split()]
        return []

    def _number(self, directory: str) -> int:
        """The number of a process or thread in the pid namespace of this one; 0 if unknown."""
        numbers = self._numbers(f"{directory}/status")
        return numbers[self._depth] if len(numbers) > self._depth else 0

    def process(self, number: int) -> str | None:
        """The name of a process by its pid; None for one that the requester does not see."""
        return self._name(f"{self._where[1]}{number}") if number > 0 else None

    @property
    def processes(self) -> str:
        """The way to the directories of all processes."""
        return self._where[1]

    def children(self, wanted: int = 0) -> tuple[list[str], int]:
        """The children of the process, each with its name if that may be read, or a wanted one.

        And how many more there are. The wanted one is given by the number that the process has of
        it. From a thread's directory, the children of that one thread.
        """
        tasks, processes = self._where
        threads = ["children"]
        if tasks == "task/":
            with suppress(OSError):
                threads = [
                    f"task/{thread}/children" for thread in self._reading.names("task")[:_THREADS]
                ]
        words = [word for path in threads for line in self.lines(path) for word in line.split()]
        numbers = [word.decode() for word in words if word.isdigit()]
        if wanted and self._depth:
            first = (one for one in numbers[:_LOOKED_AT] if self._number(processes + one) == wanted)
            numbers = list(islice(first, 1))
        elif wanted:
            numbers = [number for number in numbers if number == str(wanted)]
        names = [
            f"{number} ({one_of_many(self._name(processes + number) or '?')})"
            for number in numbers[:_THREADS]
        ]
        return names, len(numbers) - len(names)

    @property
    def _where(self) -> tuple[str, str]:
        """The ways to the threads of this process and to other processes.

        A thread's directory has no `task`.
        """
        if self._places is None:
            try:
                self._reading.names("task")
                self._places = ("task/", "../")
            except OSError:
                self._places = ("../", "../../../")
        return self._places

    def _name(self, directory: str) -> str | None:
        self.looked = True
        with suppress(OSError):
            return printable(decoded(self._reading.read(f"{directory}/comm").removesuffix(b"\n")))
        return None


def quoted(raw: bytes) -> str:
    r"""Bytes of the caller in quotes, on one line; a quote inside as `\\"`."""
    return '"' + printable(decoded(raw)).replace('"', '\\"') + '"'
