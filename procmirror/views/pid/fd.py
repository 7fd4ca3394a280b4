r"""/proc/PID/fd/ with fdinfo/, mountinfo, net/, cwd, root, exe and maps: the files of a process.

Source: proc_pid_fd(5), fs/proc/fd.c.

The link says what is open: a path, `socket:[inode]`, `pipe:[inode]`, `anon_inode:[kind]`,
`net:[inode]`. It is text, and any file may be named like one of these but for its leading `/`; `
(deleted)` may end a real name. Sockets are looked up in the network namespace of the process,
mounts in its mount namespace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

from msgspec import structs

from procmirror.decoding.proc_files import KEPT_MOUNTINFO
from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.view import Incomplete, Machine, Reading
from procmirror.views import sockets
from procmirror.views.pid import fd_other_uses, fdinfo, maps, mountinfo
from procmirror.views.pid.fd_watches import Watches
from procmirror.views.pid.used_file import NUMBERED, Descriptor, Socket, kind

_ACCESS = {"O_RDONLY": "read", "O_WRONLY": "write", "O_RDWR": "read-write", "O_ACCMODE": "none"}


def join(reading: Reading, machine: Machine) -> Iterator[Descriptor]:
    """cwd, root and exe, the open files by number, and the mapped files.

    A descriptor that is closed meanwhile is left out.
    """
    numbers = sorted(int(name) for name in reading.names("fd") if name.isdecimal())
    process = _Process(reading, machine)
    watches = Watches(reading, machine)
    found = (one for number in numbers if (one := process.descriptor(number)) is not None)
    opened = map(watches.named, found)
    known: fd_other_uses.Known = {}
    mapped = fd_other_uses.mapped(reading, machine, known)
    named = chain(fd_other_uses.linked(reading), opened)
    return chain(fd_other_uses.noted(named, known), mapped)


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
    return Socket(netid=name, **{key: row[key] for key in _OF_SOCKET if key in row})


# What a descriptor says of its socket besides the table that has it.
_OF_SOCKET = tuple(one for one in Socket.__struct_fields__ if one not in {"netid", "ambiguous"})


def _mount_places(raw: bytes) -> tuple[Mapping[int, str], list[Incomplete]]:
    """The mountpoint of each mount of a mountinfo, by the number of the mount; its odd lines."""
    found = mountinfo.mounts(raw)
    odd = [part for line in found.undecoded for part in line.incomplete]
    named = [Incomplete(f"mountinfo {part.part}", part.reason) for part in odd]
    return {mount.mount_id: mount.mount_point for mount in found}, named


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
            kept = len(raw) < KEPT_MOUNTINFO
            places, self._unmounted = _kept_places(raw) if kept else _mount_places(raw)
        except (FileNotFoundError, ProcessLookupError):
            return {}
        except (OSError, *SURPRISES) as failure:
            self._unmounted = [Incomplete("mountinfo", why(failure))]
            return {}
        return places

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
            missing += self._unmounted if number_of_mount is None or mount is None else []
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
        mount = found.mnt_id if path else None
        return fd_other_uses.asked(found, lambda: self._reading.opened(f"fd/{found.fd}", mount))

    def _socket(self, target: str | None) -> dict[str, Any]:
        match = NUMBERED.fullmatch(target or "")
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
