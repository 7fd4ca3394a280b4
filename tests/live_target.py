"""A live process as a `Target`.

How the files behind its memory are opened without being fooled or held up.

Nothing here changes identities; the core does the same in the requester's name.
"""

from __future__ import annotations

import ctypes
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from procmirror.stack.target import MappedFile
from tests.live import Live

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x02, 0x04, 0x10
SYS_OPENAT2 = 437
MOST_PERF_MAP = 16 << 20
# A daemon or another machine answers for these: reading may hang, or end up in this very process.
REMOTE = {
    "fuse",
    "fuseblk",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "ceph",
    "afs",
    "coda",
    "lustre",
    "glusterfs",
    "gfs2",
    "ocfs2",
    "virtiofs",
}

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """The system call of that name; Python has no function for it."""
    how = _How(flags | os.O_CLOEXEC, 0, resolve)
    file: int = _libc.syscall(SYS_OPENAT2, directory, path, ctypes.byref(how), ctypes.sizeof(how))
    if file < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return file


class OpenFile:
    """A regular file, opened for reading; closed with the object."""

    def __init__(self, place: int) -> None:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(22, "not a regular file")
        self._file = os.open(
            f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )
        with open(f"/proc/self/fdinfo/{self._file}", "rb") as facts:
            mount = next(line for line in facts if line.startswith(b"mnt_id"))
        self.size = status.st_size
        self.owner = status.st_uid
        self.key = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            mount,
        )

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`."""
        return os.pread(self._file, size, offset)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


@cache
def memfd_device() -> str:
    """The device of files that exist in memory only; no table of mounts names it."""
    file = os.memfd_create("device")
    try:
        return device_of(os.fstat(file))
    finally:
        os.close(file)


def device_of(status: os.stat_result) -> str:
    """A device as `maps` and `mountinfo` number it, but for the width."""
    return f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"


def types_of_devices(*tables: Path) -> dict[str, str]:
    """The type of file system of each mounted device."""
    types = {}
    for table in tables:
        for line in table.read_bytes().splitlines():
            before, _, after = line.partition(b" - ")
            types[before.split()[2].decode()] = after.split()[0].decode()
    return types


class LiveTarget(Live):
    """/proc/PID or /proc/PID/task/TID, as the test itself may read it."""

    def __init__(self, directory: Path | str) -> None:
        super().__init__(directory)
        # A main thread that has ended before the others has no root and no mounts any more.
        threads = sorted(self.directory.glob("task/*"))
        self._alive = (
            self.directory
            if os.path.exists(self.directory / "root")
            else threads[-1]
            if threads
            else self.directory
        )
        self._types: dict[str, str] | None = None

    def read(self, path: str) -> bytes:
        """The whole content of a file."""
        file = os.open(f"{self.directory}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces = []
            while piece := os.read(file, 1 << 17):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            os.close(file)

    def part(self, path: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`, by one read(2)."""
        file = os.open(f"{self.directory}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(file, size, offset)
        finally:
            os.close(file)

    def _local(self, device: str) -> bool:
        """Whether the device's files are served by this kernel alone.

        Looked up before anything is opened.
        """
        if device == memfd_device():
            return True
        if self._types is None:
            self._types = types_of_devices(self._alive / "mountinfo", Path("/proc/self/mountinfo"))
        kind = self._types.get(device)
        return kind is not None and kind not in REMOTE and not kind.startswith("fuse.")

    @contextmanager
    def _rooted(self, path: bytes, resolve: int = RESOLVE_NO_MAGICLINKS) -> Iterator[int]:
        """An O_PATH descriptor of `path` as the process sees it."""
        root = os.open(self._alive / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            place = openat2(root, path, os.O_PATH, resolve | RESOLVE_IN_ROOT)
        finally:
            os.close(root)
        try:
            yield place
        finally:
            os.close(place)

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        """By map_files, which is the very file; else by its path, if that still leads to it."""
        number = ":".join(str(int(part, 16)) for part in device.split(":"))
        try:
            if not self._local(number):
                return None
            process = (
                self.directory.parent.parent
                if self.directory.parent.name == "task"
                else self.directory
            )
            try:
                place = os.open(f"{process}/map_files/{start:x}-{end:x}", os.O_PATH | os.O_CLOEXEC)
            except OSError:
                pass
            else:
                try:
                    return OpenFile(place)
                finally:
                    os.close(place)
            with self._rooted(path) as place:
                status = os.fstat(place)
                return (
                    OpenFile(place)
                    if (status.st_ino, device_of(status)) == (inode, number)
                    else None
                )
        except OSError:
            return None

    def debug_file(self, build_id: str) -> MappedFile | None:
        """The file that distributions keep under /usr/lib/debug."""
        try:
            with self._rooted(
                f"usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug".encode()
            ) as place:
                return OpenFile(place) if self._local(device_of(os.fstat(place))) else None
        except OSError:
            return None

    def perf_map(self) -> bytes | None:
        """/tmp/perf-PID.map by the process's own number, if its own user wrote it."""
        fields = dict(
            line.split(":", 1)
            for line in (self.directory / "status").read_text(errors="replace").splitlines()
        )
        name = f"tmp/perf-{fields['NStgid'].split()[-1]}.map"
        try:
            with self._rooted(name.encode(), RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS) as place:
                if not self._local(device_of(os.fstat(place))):
                    return None
                file = OpenFile(place)
        except OSError:
            return None
        return file.pread(MOST_PERF_MAP, 0) if file.owner == int(fields["Uid"].split()[1]) else None

    def system(self, path: str, most: int | None = None) -> bytes:
        """A file at the root of /proc, or its head."""
        with open(f"/proc/{path}", "rb") as file:
            return file.read() if most is None else file.read(most)

    def clock(self) -> float:
        """The monotonic clock."""
        return time.monotonic()
