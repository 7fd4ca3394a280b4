r"""/proc/PID/fd/ with fdinfo/, mountinfo and net/: the open files of a process.

Source: proc_pid_fd(5), fs/proc/fd.c.

The link says what is open: a path, `socket:[inode]`, `pipe:[inode]`, `anon_inode:[kind]`,
`net:[inode]`. It is text, and any file may be named like one of these but for its leading `/`; `
(deleted)` may end a real name. Sockets are looked up in the network namespace of the process,
mounts in its mount namespace.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any

from msgspec import UNSET, UnsetType, field, structs

from procmirror.decoding.proc_files import KEPT_MOUNTINFO
from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.view import FileStatus, Incomplete, Machine, Reading, Record, doc
from procmirror.views import sockets
from procmirror.views.pid import fdinfo, maps, mountinfo

_NUMBERED = re.compile(r"([a-z_]+):\[([0-9]{1,20})\]")
_ANONYMOUS = re.compile(r"anon_inode:\[?([^\]]*)\]?")
_KINDS = {"eventpoll": "epoll"}
_ACCESS = {"O_RDONLY": "read", "O_WRONLY": "write", "O_RDWR": "read-write", "O_ACCMODE": "none"}


class Socket(Record, frozen=True, kw_only=True):
    """What the tables of net/ say of a socket, as in sockets.json.

    Null for what its kind does not have.
    """

    netid: Annotated[
        str, doc("File of net/ that has the socket: `tcp6`, `unix`, …; more about it is there")
    ]
    type: Annotated[str | None, doc("`stream`, `dgram`, `raw`, …")] = None
    protocol: Annotated[
        str | None, doc("Of raw sockets the IP protocol, of netlink its own, of packet the ETH_P_*")
    ] = None
    state: Annotated[str | None, doc("State by the kernel's name; `LISTEN` of unix too")] = None
    local: Annotated[
        str | None, doc("Own address with the port as ss(8) writes it; path or abstract name")
    ] = None
    peer: Annotated[str | None, doc("Address of the peer with its port")] = None
    ambiguous: Annotated[
        bool, doc("Another row claims the same inode: one is forged, and nothing more is told")
    ] = False


class Descriptor(Record, frozen=True, kw_only=True):
    """One open file; null is what the requester may not know or this kernel does not tell."""

    fd: Annotated[int, doc("Its number")]
    target: Annotated[
        str | None, doc("The text of the link, of a path without the kernel's mark of deletion")
    ]
    type: Annotated[
        str | None,
        doc(
            "`file`, `directory`, `char`, `block` (devices), `fifo`, `memfd`, `socket`, `pipe`, or "
            "the kind; of a path that cannot be asked about `file`, or `directory` if opened so"
        ),
    ]
    deleted: Annotated[bool, doc("The kernel marks the file as deleted")]
    access: Annotated[str | None, doc("`read`, `write`, `read-write`, `none`; `path` with O_PATH")]
    flags: Annotated[list[str] | None, doc("Open flags, O_CLOEXEC among them")]
    offset: Annotated[int | None, doc("Where the next read or write happens", "bytes")]
    mnt_id: Annotated[int | None, doc("Number of its mount")]
    mount: Annotated[str | None, doc("The mount point of that mount, if the process can see it")]
    inode: Annotated[int | None, doc("Its inode")]
    size: Annotated[
        int | None,
        doc(
            "Of a file, directory or memfd its size; null for others and what is not told", "bytes"
        ),
    ] = None
    allocated: Annotated[
        int | None, doc("What it holds on its file system, also when it is deleted", "bytes")
    ] = None
    links: Annotated[int | None, doc("Names that it has; 0: deleted")] = None
    device: Annotated[
        str | None, doc("`major:minor` of the file system that it is on, as stat(2) tells")
    ] = None
    special: Annotated[str | None, doc("`major:minor` that a device file stands for")] = None
    locks: Annotated[
        list[fdinfo.Lock] | None, doc("Locks held through it; null if fdinfo cannot be read")
    ] = None
    socket: Annotated[
        Socket | None,
        doc("The socket; null if no table of the process's namespace has it, or for another file"),
    ] = None
    epoll: Annotated[list[fdinfo.Watch] | None, doc("What an epoll instance watches")] = None
    eventfd: Annotated[fdinfo.Eventfd | None, doc("An eventfd")] = None
    timerfd: Annotated[fdinfo.Timerfd | None, doc("A timer")] = None
    signalfd: Annotated[list[str] | None, doc("The signals that a signalfd takes")] = None
    inotify: Annotated[list[fdinfo.Mark] | None, doc("What an inotify instance watches")] = None
    fanotify: Annotated[fdinfo.Fanotify | None, doc("A fanotify group")] = None
    pidfd: Annotated[fdinfo.Pidfd | None, doc("The process of a pidfd")] = None
    bpf: Annotated[fdinfo.Bpf | None, doc("A BPF map, program or link")] = None
    io_uring: Annotated[fdinfo.IoUring | None, doc("An io_uring")] = None
    incomplete: Annotated[
        list[Incomplete], doc("Why fdinfo could not be read or decoded; empty if it could")
    ] = field(default_factory=list)
    extra: Annotated[
        dict[str, list[str]] | UnsetType,
        doc("Lines of fdinfo that this version does not know, by key"),
    ] = UNSET


def join(reading: Reading, machine: Machine) -> Iterator[Descriptor]:
    """The open files by number; one that is closed meanwhile is left out."""
    numbers = sorted(int(name) for name in reading.names("fd") if name.isdecimal())
    process = _Process(reading, machine)
    return (found for number in numbers if (found := process.descriptor(number)) is not None)


class _Sockets:
    """The sockets of the process's network namespace.

    A table is read when those before it do not have what is sought.
    """

    def __init__(self, reading: Reading, machine: Machine) -> None:
        self._reading, self._machine = reading, machine
        self._left = iter(sockets.SOURCES)
        self._found: dict[int, Socket] = {}
        self.incomplete: list[Incomplete] = []

    def find(self, inode: int) -> Socket | None:
        """The socket with this inode; None if no readable table has it."""
        while inode not in self._found and (table := next(self._left, None)):
            rows, missing = sockets.rows_of(table, f"net/{table}", self._reading, self._machine)
            self.incomplete += missing
            for row in rows:
                self._found.setdefault(row["inode"], _named(table, row))
        return self._found.get(inode) if inode else None


def _named(name: str, row: dict[str, Any]) -> Socket:
    if row.get("ambiguous"):
        return Socket(netid=name, ambiguous=True)
    return Socket(
        netid=name,
        **{key: row[key] for key in ("type", "protocol", "state", "local", "peer") if key in row},
    )


def _mount_places(raw: bytes) -> Mapping[int, str]:
    """The mountpoint of each mount of a mountinfo, by the number of the mount."""
    return {mount.mount_id: mount.mount_point for mount in mountinfo.mounts(raw)}


_kept_places = lru_cache(8)(_mount_places)


class _Process:
    """What is read once for all descriptors, and only if one of them asks for it."""

    def __init__(self, reading: Reading, machine: Machine) -> None:
        self._reading, self._machine = reading, machine
        self._sockets = _Sockets(reading, machine)
        self._unmounted: list[Incomplete] = []

    @cached_property
    def _mounts(self) -> Mapping[int, str]:
        try:
            raw = self._reading.read("mountinfo")
            return _kept_places(raw) if len(raw) < KEPT_MOUNTINFO else _mount_places(raw)
        except (FileNotFoundError, ProcessLookupError):
            return {}
        except (OSError, *SURPRISES) as failure:
            self._unmounted = [Incomplete("mountinfo", why(failure))]
            return {}

    def descriptor(self, number: int) -> Descriptor | None:
        missing: list[Incomplete] = []
        try:
            target: str | None = self._reading.link(f"fd/{number}")
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as refused:
            target = None
            missing.append(Incomplete(f"fd/{number}", why(refused)))
        try:
            info: fdinfo.Info | None = fdinfo.decode(
                self._reading.read(f"fdinfo/{number}"), self._machine.architecture
            )
        except (OSError, *SURPRISES) as failure:
            missing.append(Incomplete(f"fdinfo/{number}", why(failure)))
            info, mount = None, None
        else:
            number_of_mount = info.mnt_id if info else None
            mount = None if number_of_mount is None else self._mounts.get(number_of_mount)
            missing += self._unmounted
        socket = self._socket(target)
        if "socket" in socket and socket["socket"] is None:
            missing += self._sockets.incomplete
        found = _descriptor(number, target, info, mount, socket)
        found = structs.replace(found, incomplete=missing) if missing else found
        return found if target is None else self._with_status(found)

    def _with_status(self, found: Descriptor) -> Descriptor:
        """With what fstat(2) says, if this kernel alone serves the file."""
        path = (found.target or "").startswith("/")
        if path and found.mnt_id is None:
            return found
        try:
            file = self._reading.opened(f"fd/{found.fd}", found.mnt_id if path else None)
        except (FileNotFoundError, ProcessLookupError):
            return found
        except OSError as refused:
            missing = [*found.incomplete, Incomplete("fstat", why(refused))]
            return structs.replace(found, incomplete=missing)
        return _with(found, file)

    def _socket(self, target: str | None) -> dict[str, Any]:
        match = _NUMBERED.fullmatch(target or "")
        return (
            {"socket": self._sockets.find(int(match[2]))} if match and match[1] == "socket" else {}
        )


def _descriptor(
    number: int,
    target: str | None,
    info: fdinfo.Info | None,
    mount: str | None,
    socket: dict[str, Any],
) -> Descriptor:
    flags = info.flags if info else []
    deleted = (target or "").startswith("/") and (target or "").endswith(maps.DELETED)
    return Descriptor(
        fd=number,
        target=target.removesuffix(maps.DELETED) if target and deleted else target,
        type=None if target is None else kind(target, flags, mount),
        deleted=deleted,
        access=("path" if "O_PATH" in flags else _ACCESS[flags[0]]) if flags else None,
        flags=flags[1:] if flags else None,
        offset=None if info is None else info.pos,
        mnt_id=None if info is None else info.mnt_id,
        mount=mount,
        inode=None if info is None else info.ino,
        locks=info.locks if info else None,
        **socket,
        **(info.more if info else {}),
    )


_KINDS_OF_FILE = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


def _with(found: Descriptor, file: FileStatus) -> Descriptor:
    kind_of_file = stat.S_IFMT(file.mode)
    special = kind_of_file in {stat.S_IFCHR, stat.S_IFBLK}
    sized = kind_of_file in {stat.S_IFREG, stat.S_IFDIR}
    plain = found.type in {"file", "directory"}
    return structs.replace(
        found,
        type=_KINDS_OF_FILE.get(kind_of_file, found.type) if plain else found.type,
        size=file.size if sized else None,
        allocated=file.allocated if sized else None,
        links=file.links,
        device=file.device,
        special=file.special if special else None,
    )


def kind(target: str, flags: list[str], mount: str | None) -> str:
    """What kind of file the text of a link means.

    A memfd or dmabuf is on no mount that a process sees.
    """
    if target.startswith("/"):
        name = target[1:].partition(":")[0]
        if mount is None and name in {"memfd", "dmabuf"}:
            return name
        return "directory" if "O_DIRECTORY" in flags else "file"
    if match := _ANONYMOUS.fullmatch(target):
        return _KINDS.get(match[1], match[1])
    match = _NUMBERED.fullmatch(target)
    return match[1] if match else "file"
