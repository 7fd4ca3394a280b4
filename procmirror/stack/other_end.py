"""Who has the other end of what a thread reads or writes: a pipe, a FIFO, a socket of this machine.

And who has the file lock that it waits for, and who listens where it connects to.

A descriptor leads to it by the text of its link in /proc/PID/fd. Processes are looked at as far as
the requester may and as the time goes, first the parent, then those with near numbers, which are
related more often than others; the first that is found is named. Others may have the same end.
"""

from __future__ import annotations

import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, partial

from procmirror.decoding.proc_files import socket_inode
from procmirror.decoding.view import Machine
from procmirror.stack import file_locks, file_watches, listener
from procmirror.stack.arguments import int32
from procmirror.stack.caller import Caller
from procmirror.stack.file_locks import FileLock
from procmirror.stack.named_file import Mounts, NamedFile, named_file
from procmirror.stack.syscalls import SystemCall
from procmirror.stack.target import Target
from procmirror.stack.watched import PHRASE, Watched, watched

SECONDS = 0.02  # for all threads of a request
LOCK_SECONDS = 0.2  # besides, where the holder of a lock is looked for: few threads wait so
ASKING_SECONDS = 0.5  # besides, to ask of descriptors whether they are those that are looked for
MOST_DESCRIPTORS = 256  # of one process
MOST_TABLES = 4  # of mounts
_FLAGS = re.compile(rb"^flags:\s*([0-7]{1,12})$", re.MULTILINE)
# By the access mode of open(2): whether it reads and whether it writes.
_MODES = {0: "r", 1: "w", 2: "rw"}
_MOUNT = re.compile(rb"^mnt_id:\s*(\d{1,10})$", re.MULTILINE)
FILE_LOCK = "a file lock"
# The arguments of calls that name the descriptor that is waited for (splice(2), tee(2),
# sendfile(2)).
_READ_FROM = frozenset(("fd", "fd_in", "fdin", "in_fd"))
_WRITTEN_TO = frozenset(("fd", "fd_out", "fdout", "out_fd"))
_MOST_LOCKS = 3  # in the way of one request that are told; of others the number
_ANONYMOUS = "anon_inode:"  # these have no other end
_DATA, _ROOM = re.compile(r"data (?:in a pipe|on a socket)"), re.compile(r"room in a .*")


class OtherEnds:
    """The processes at the other ends, for one request.

    `pid` is the process that waits, `parent` its parent.
    """

    def __init__(self, target: Target, caller: Caller, machine: Machine) -> None:
        self._target, self._caller, self._machine = target, caller, machine
        self._open: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        self._noted = self._descriptors()
        self._left, self._for_locks = SECONDS, LOCK_SECONDS
        self._file: NamedFile | None = None
        self._asking = ASKING_SECONDS
        self._holders: dict[tuple[str, object], str | None] = {}
        self._mounts = Mounts(target.read, MOST_TABLES)
        self._listeners = listener.Listeners(target, caller, machine.namespaces.get("net", ""))
        self._watches = file_watches.FileWatches(target, caller)
        self.pid = self.parent = 0

    def named(self, phrase: str, call: SystemCall) -> str:
        """What to add to a phrase: ` from process 7 (cat)`; empty if nobody is known.

        Of a change in the file system, the files that are watched: `: /etc, 2 more`.
        """
        if phrase.startswith(PHRASE):
            return self._of_set(call)
        if phrase == FILE_LOCK:
            return self._of_lock(call)
        if phrase == listener.PHRASE:
            return self._of_connect(call)
        reads = _DATA.fullmatch(phrase)
        names = _READ_FROM if reads else _WRITTEN_TO
        number = next((int(one.value, 16) for one in call.arguments if one.name in names), None)
        if phrase == file_watches.PHRASE and number is not None:
            files = self._watches.of(int32(number))
            return f": {files}" if files else ""
        if number is None or not (reads or _ROOM.fullmatch(phrase)):
            return ""
        return self._of_descriptor(int32(number), reads=bool(reads))

    def _of_set(self, call: SystemCall) -> str:
        """The descriptors that poll(2) and the like wait for, each with its other end."""
        found, more = watched(call)
        shown = [one.text + self._of_member(one) for one in found]
        shown += [f"{more} more"] if more else []
        return f": {', '.join(shown)}" if shown else ""

    def _of_member(self, one: Watched) -> str:
        """The other end of a pipe, a FIFO or a socket; of what else has a name nobody waits."""
        try:
            named = self._target.link(f"fd/{one.number}").startswith("/")
            if named and not self._is_fifo(one.number):
                return ""
        except OSError:
            return ""
        if files := self._watches.of(one.number):
            return f" ({files})"
        return self._of_descriptor(one.number, reads=one.reads)

    def _is_fifo(self, number: int) -> bool:
        mount = _MOUNT.search(self._target.read(f"fdinfo/{number}"))
        opened = self._target.opened(f"fd/{number}", int(mount[1])) if mount else None
        return opened is not None and stat.S_ISFIFO(opened.mode)

    def _of_descriptor(self, number: int, *, reads: bool) -> str:
        try:
            link, way = self._end(self._target.link(f"fd/{number}"), reads=reads)
            self._file = named_file("", self._target.read(f"fdinfo/{number}"))
        except OSError:
            return ""
        if not link or link.startswith(_ANONYMOUS):
            return ""
        fits = partial(self._has, link, way) if way else _any
        holder = self._holder(link, (way, self._file), fits)
        return f" {'from' if reads else 'to'} {holder}" if holder else ""

    def _of_connect(self, call: SystemCall) -> str:
        """Where a connect(2) leads, and a process that listens there if one socket does."""
        address, inode = self._listeners.of(call)
        holder = self._holder(f"socket:[{inode}]", None, _any) if inode else None
        return (f": {address}" if address else "") + (f", where {holder} listens" if holder else "")

    def _of_lock(self, call: SystemCall) -> str:
        """The holders of the file lock that the process waits for, or what else is known of it."""
        arguments = {one.name: one for one in call.arguments}
        if "fd" not in arguments:
            return ""
        number = int32(int(arguments["fd"].value, 16))
        command = (arguments["cmd"].text or "") if "cmd" in arguments else ""
        of_open_file = command.startswith("F_OFD_")
        try:
            file, link = self._file_of(number), self._target.link(f"fd/{number}")
            if of_open_file and file is None:
                return ""
            found = self._locks.get((-1 if of_open_file else self.pid, file), [])
        except OSError:
            return ""
        told = [self._held(one, link) for one in found[:_MOST_LOCKS]]
        if more := len(found) - len(told):
            told.append(f" of {more} more lock{'s' if more > 1 else ''}")
        return " or".join(told)

    def _held(self, lock: FileLock, link: str) -> str:
        """The holder of a lock: the process that took it, or one that has its open file."""
        if lock.pid > 0 and (name := self._caller.process(lock.pid)) is not None:
            return f" held by process {lock.pid} ({name})"
        kind = " (OFD lock)" if lock.kind == file_locks.OF_OPEN_FILE else ""
        self._left, self._for_locks = self._left + self._for_locks, 0.0
        holder = self._holder(link, lock, partial(self._holds, lock))
        if holder:
            return f" held by {holder}{kind}"
        late = "; there was no time for all processes" if min(self._left, self._asking) <= 0 else ""
        if lock.pid > 0:
            return f" taken by process {lock.pid}, which is not there{late}"
        return f" held by an open file description{kind}{late}"

    def _holds(self, lock: FileLock, place: str, number: str) -> bool:
        try:
            return file_locks.is_held(lock, self._target.read(f"{place}fdinfo/{number}"))
        except OSError:
            return False

    @cached_property
    def _locks(self) -> file_locks.InTheWay:
        return file_locks.in_the_way(self._target.system("locks", file_locks.MOST_LOCKS))

    def _file_of(self, number: int) -> tuple[str, int] | None:
        """Device and inode of a descriptor, as the kernel names them; None if it does not."""
        file = named_file("", self._target.read(f"fdinfo/{number}"))
        where = self._mounts.file_system(file.mount, "") if file else None
        if file is None or where is None or isinstance(file.inode, str):
            return None
        return where.device.decode(), file.inode

    def _end(self, link: str, *, reads: bool) -> tuple[str | None, str]:
        """The link of the other end, and the letter of how it has to be open, if that counts."""
        inode = socket_inode(link)
        if inode is None:
            return link, "w" if reads else "r"
        peer = self._caller.sockets.other_end(inode)
        if peer is None:
            peer = self._target.unix_peer(inode, self._machine.namespaces.get("net", ""))
        return f"socket:[{peer}]" if peer else None, ""

    def _holder(self, link: str, what: object, fits: Callable[[str, str], bool]) -> str | None:
        """A process that has a file open by a descriptor that fits.

        `fits` is asked with the directory of the process and the number of the descriptor, once for
        the same `what`: thousands of threads may wait for it. The process that waits itself only if
        no other one is found.
        """
        if (link, what) not in self._holders:
            self._holders[link, what] = self._searched(link, fits)
        return self._holders[link, what]

    def _searched(self, link: str, fits: Callable[[str, str], bool]) -> str | None:
        itself, seen = False, 0
        while True:
            found = self._open.get(link, ())
            for pid, place, number in found[seen:]:
                if not self._fits(fits, place, number):
                    continue
                if pid != self.pid:
                    return f"process {pid} ({self._caller.process(pid) or '?'})"
                itself = True
            seen = len(found)
            if not self._look():
                return "the process itself" if itself else None

    def _fits(self, fits: Callable[[str, str], bool], place: str, number: str) -> bool:
        """What `fits` says, within the time for that."""
        if fits is _any:
            return True
        if self._asking <= 0:
            return False
        began = self._target.clock()
        answer = fits(place, number)
        self._asking -= self._target.clock() - began
        return answer

    def _has(self, link: str, way: str, place: str, number: str) -> bool:
        """Whether a descriptor is open in a way; of a name also whether it is the same file.

        `place` is the directory of its process.
        """
        try:
            info = self._target.read(f"{place}fdinfo/{number}")
        except OSError:
            return False
        flags = _FLAGS.search(info)
        if flags is None or way not in _MODES.get(int(flags[1], 8) & 3, ""):
            return False
        return not link.startswith("/") or self._is_same(named_file("", info), place)

    def _is_same(self, file: NamedFile | None, place: str) -> bool:
        """Whether a file is the one that is waited for: a name may be another file elsewhere."""
        if file is None or self._file is None:
            return False
        return self._mounts.same(self._file, "", file, place)

    def _look(self) -> bool:
        """Note one more descriptor; False if there is none, or no time."""
        began = self._target.clock()
        found = self._left > 0 and next(self._noted, False)
        self._left -= self._target.clock() - began
        return found

    def _near(self) -> Iterator[int]:
        """The processes, the parent first, then those with near numbers."""
        if self.parent:
            yield self.parent
        with suppress(OSError):
            names = self._target.names(self._caller.processes)
            numbers = {int(name) for name in names if name.isdecimal()} - {self.parent}
            yield from sorted(numbers, key=lambda pid: abs(pid - self.pid))

    def _descriptors(self) -> Iterator[bool]:
        """Note the files that the processes have open, a descriptor a step."""
        for pid in self._near():
            place = f"{self._caller.processes}{pid}/"
            try:
                numbers = self._target.names(f"{place}fd")[:MOST_DESCRIPTORS]
            except OSError:
                numbers = []
            for number in numbers:
                with suppress(OSError):
                    link = self._target.link(f"{place}fd/{number}")
                    self._open[link].append((pid, place, number))
                yield True
            yield True


def _any(place: str, number: str) -> bool:
    """Every descriptor fits."""
    del place, number
    return True
