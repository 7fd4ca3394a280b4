"""The files behind a process's memory, opened with the requester's rights.

A program names its libraries by paths of its own mount namespace, can replace them, and can map a
file whose reads never return. So a file is opened by map_files, which leads to the mapped inode, or
by its path below the process's root if device and inode there are those of the mapping. Only
regular files are opened, and none on a file system that another process or machine serves.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property, lru_cache
from typing import NamedTuple

from procmirror.decoding.proc_files import mount_lines, status_value
from procmirror.decoding.view import FileStatus
from procmirror.identity import file_calls
from procmirror.identity.errors import error
from procmirror.identity.files import read_file
from procmirror.procfs.local_files import (
    Mounts,
    device_of,
    known_status,
    memory_device,
    memory_mount,
    status_of,
)
from procmirror.procfs.perf_event import sampled
from procmirror.procfs.read_note import Reads
from procmirror.procfs.reading import Sources
from procmirror.procfs.unix_peers import unix_peer
from procmirror.stack.process import Process
from procmirror.stack.target import MappedFile
from procmirror.stack.user_side import Parser

# A line of maps with a file: first address, end, device, as in proc_pid_maps(5).
_FILE_MAPPING = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ (\S+) [1-9]\d* ", re.MULTILINE)
# Of how long a `maps` the ranges are kept for the next request.
_KEPT_MAPS = 1 << 17
# The most of a mountinfo, of 100,000 mounts or so, that is looked at.
_MOST_MOUNTS = 16 << 20


# What a path is told to be that leads to no file any more, or to none that is in the cache.
_GONE = dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EAGAIN), errno.ESTALE)
_LINKS = frozenset(("cwd", "root", "exe"))
_CACHED = (
    file_calls.RESOLVE_CACHED | file_calls.RESOLVE_NO_SYMLINKS | file_calls.RESOLVE_NO_MAGICLINKS
)


class OpenFile:
    """A regular file, open for reading until it is closed.

    `path_only` is an O_PATH descriptor of it, `own` a procfs in which this process is `self`.
    Raises OSError(EINVAL) for any other kind of file, without opening it.
    """

    def __init__(self, own: int, path_only: int) -> None:
        status = os.fstat(path_only)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._descriptor = os.open(f"self/fd/{path_only}", flags, dir_fd=own)
        self.size = status.st_size
        self.owner = status.st_uid
        times = status.st_mtime_ns, status.st_ctime_ns
        self.identity: tuple[int, ...] = (status.st_dev, status.st_ino, status.st_size, *times)
        self.key: Hashable = self.identity

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`."""
        return os.pread(self._descriptor, size, offset)

    @property
    def descriptor(self) -> int:
        """Its descriptor, which `close` closes."""
        return self._descriptor

    def close(self) -> None:
        """Close it; a later read raises OSError(EBADF)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()


def _decimal(device: str) -> str:
    """A device in the decimal form of mountinfo, from the hexadecimal form of maps."""
    return ":".join(str(int(part, 16)) for part in device.split(":"))


def _ranges(maps: bytes) -> dict[str, list[tuple[int, int]]]:
    """The address ranges of files by the device of the file, in the decimal form of mountinfo."""
    found: dict[bytes, list[tuple[int, int]]] = {}
    for start, end, device in _FILE_MAPPING.findall(maps):
        found.setdefault(device, []).append((int(start, 16), int(end, 16)))
    return {_decimal(device.decode()): ranges for device, ranges in found.items()}


_kept_ranges = lru_cache(8)(_ranges)


def _content_if_any(directory: int, path: bytes) -> bytes:
    """The content of a file, empty if it cannot be read."""
    try:
        return read_file(directory, path, _MOST_MOUNTS)
    except OSError:
        return b""


class Rights(NamedTuple):
    """Where a requester's rights are others than those that this thread acts with.

    Within `of_others()` this thread lacks the right that stands for a look at itself: a mount that
    hides processes must not show the requester's children by it. `open_event(attributes, tid)` is
    perf_event_open(2), judged for the requester.
    """

    of_others: Callable[[], AbstractContextManager[None]] = nullcontext
    open_event: Callable[[bytes, int], int] = file_calls.perf_event_open


AS_IT_IS = Rights()


class ProcessSources(Sources):
    """The sources of a process or thread, and the files behind its memory.

    A `procmirror.stack.target.Target`.

    `directory` and `prefix` lead to the process or thread, `root` to the procfs it is in, `own` to
    one in which this process is `self`. What is read of other processes is read within
    `rights.of_others()`.
    """

    def __init__(
        self,
        directory: int,
        prefix: bytes,
        myself: bytes | None,
        progress: Callable[[], None],
        root: int,
        own: int,
        *,
        rights: Rights = AS_IT_IS,
        reads: Reads | None = None,
    ) -> None:
        super().__init__(directory, prefix, myself, None, progress, reads or Reads())
        self._rights = rights
        # A process's directory is one level below that of other processes, a thread's three levels.
        self.parser: Callable[[Process], Parser] | None = None
        self._others = "../" * (3 if prefix else 1)
        self._root = root
        self._own = own
        self._files: list[OpenFile] = []
        # The roots below which files were opened.
        self._tops: dict[bytes, int] = {}
        self._maps: dict[str, bytes] = {}
        self._mountinfo = b""
        self._remote: dict[str, list[tuple[int, int]]] = {}

    @cached_property
    def _alive(self) -> bytes:
        """The directory with the links to root and mounts.

        It is that of another thread if the main thread has ended before the others and has none.
        """
        directory = self._path("")
        try:
            os.readlink(directory + b"root", dir_fd=self._directory)
        except FileNotFoundError:
            with suppress(OSError):
                return self._path(f"task/{self.names('task')[-1]}/")
        except OSError:
            pass
        return directory

    def _opened(self, path_only: int) -> OpenFile:
        self._files.append(OpenFile(self._own, path_only))
        return self._files[-1]

    def close(self) -> None:
        """Close every file: an open file keeps its file system in use."""
        super().close()
        if "_root_directory" in vars(self):
            os.close(vars(self).pop("_root_directory"))
        while self._files:
            self._files.pop().close()
        while self._tops:
            os.close(self._tops.popitem()[1])

    def read(self, path: str) -> bytes:
        """The whole content; OSError(EFBIG) beyond the limit."""
        if path.startswith(self._others):
            with self._rights.of_others():
                return super().read(path)
        if path == "mountinfo":
            self._mountinfo = self._mountinfo or super().read(path)
            return self._mountinfo
        content = super().read(path)
        if path == "maps" or path.endswith("/maps"):
            self._maps[path] = content
        return content

    def link(self, path: str) -> str:
        """The text of a link."""
        if path.startswith(self._others):
            with self._rights.of_others():
                return super().link(path)
        return super().link(path)

    def names(self, path: str) -> list[str]:
        """The names in a directory."""
        if path.startswith(self._others):
            with self._rights.of_others():
                return super().names(path)
        return super().names(path)

    def part(self, path: str, offset: int, size: int) -> bytes:
        """A piece of a file that stays open for the next piece.

        OSError(EIO) for memory that a file on a file system that is not local backs: its server
        could keep the requester waiting, and not even SIGKILL would end that.
        """
        directory, _, name = path.rpartition("/")
        if name == "mem":
            maps = f"{directory}/maps" if directory else "maps"
            for start, end in self._remote_ranges(maps):
                if start < offset + size and offset < end:
                    raise OSError(errno.EIO, "memory of a file that others answer for")
        return super().part(path, offset, size)

    def _remote_ranges(self, path: str) -> list[tuple[int, int]]:
        """The address ranges of a `maps` whose files are not on a local file system."""
        if path not in self._remote:
            maps = self._maps.pop(path, None) or self.read(path)
            found = _kept_ranges(maps) if len(maps) < _KEPT_MAPS else _ranges(maps)
            self._remote[path] = [
                one
                for device, ranges in found.items()
                if not self._mounts.is_local(device)
                for one in ranges
            ]
        return self._remote[path]

    @cached_property
    def _own_mountinfo(self) -> bytes:
        return _content_if_any(self._own, b"self/mountinfo")

    @cached_property
    def _mounts(self) -> Mounts:
        alive = self._alive
        known = self._mountinfo if alive == self._path("") else b""
        known = known or _content_if_any(self._directory, alive + b"mountinfo")
        return Mounts(known, self._own_mountinfo)

    @cached_property
    def _devices(self) -> dict[int | None, str]:
        """The device of each mount of the process, of this one or of the first, by number.

        The numbers are the kernel's, one for all mount namespaces: a file may be open that was
        opened in another.
        """
        tables = [self.read("mountinfo"), self._own_mountinfo]
        tables.append(_content_if_any(self._own, b"1/mountinfo"))
        mounts = [one for table in tables for one in mount_lines(table)]
        found: dict[int | None, str] = {one.mount_id: one.device.decode() for one in mounts}
        memory = memory_mount(self._own)
        return found if memory is None else {memory: memory_device(), **found}

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """What fstat(2) says of the file behind a link of fd/, or behind cwd, root or exe."""
        if path in _LINKS:
            return self._linked(path)
        if mount is not None:
            self._need_local(self._devices.get(mount, ""))
        self._begin(path)
        return status_of(os.stat(self._path(path), dir_fd=self._directory))

    def _need_local(self, device: str) -> None:
        if not self._mounts.is_local(device):
            raise error(errno.EREMOTE)

    def _linked(self, path: str) -> FileStatus:
        """What fstat(2) says of what a link leads to; its mount is known when it is open."""
        with self._noted(path):
            file = os.open(self._path(path), os.O_PATH | os.O_CLOEXEC, dir_fd=self._directory)
            try:
                status, mount = known_status(file)
            finally:
                os.close(file)
        self._need_local(self._devices.get(mount, "") if mount else status.device)
        return status

    @contextmanager
    def _noted(self, path: str) -> Iterator[None]:
        """What is done within may wait, and the note says so."""
        self._begin(path)
        try:
            yield
        finally:
            self._note.end()

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        """What fstat(2) says of a mapped file.

        Of the path only what the kernel has in its cache is followed, so that no server on the way
        is asked: what is mapped is there. A file without a name is found by map_files.
        """
        self._need_local(device)
        with self._noted("map_files"):
            try:
                status = self._status_below_root(os.fsencode(path))
                if (status.device, status.inode) != (device, inode):
                    raise error(errno.ESTALE)
            except OSError as failure:
                link = f"map_files/{addresses[0][2:]}-{addresses[1][2:]}"
                with suppress(OSError):
                    return status_of(os.stat(link, dir_fd=self._directory))
                raise error(_GONE.get(failure.errno or 0, failure.errno or 0)) from None
        return status

    def _status_below_root(self, path: bytes) -> FileStatus:
        """What the kernel knows of a path of the process; all of the path must be in its cache."""
        resolve = file_calls.RESOLVE_IN_ROOT | _CACHED
        file = file_calls.open_resolved(self._root_directory, path, os.O_PATH, resolve)
        try:
            return known_status(file)[0]
        finally:
            os.close(file)

    @cached_property
    def _root_directory(self) -> int:
        """The root of the process; it is open until all files are closed."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(self._alive + b"root", flags, dir_fd=self._directory)

    @contextmanager
    def _rooted(
        self,
        path: bytes,
        resolve: int = file_calls.RESOLVE_NO_MAGICLINKS,
        *,
        in_own_root: bool = False,
    ) -> Iterator[int]:
        """An O_PATH descriptor of a path below the root of the process, or below the daemon's."""
        top = b"/" if in_own_root else self._alive + b"root"
        if top not in self._tops:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            self._tops[top] = os.open(top, flags, dir_fd=self._directory)
        file = file_calls.open_resolved(
            self._tops[top], path, os.O_PATH, resolve | file_calls.RESOLVE_IN_ROOT
        )
        try:
            yield file
        finally:
            os.close(file)

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        """The file of a mapping; None if no rule of this module lets it be opened.

        It is opened by map_files if the requester may use that, else by its path if that still
        leads to it.
        """
        number = _decimal(device)
        if not self._mounts.is_local(number):
            return None
        with suppress(OSError):
            link = b"map_files/%x-%x" % (start, end)
            file = os.open(link, os.O_PATH | os.O_CLOEXEC, dir_fd=self._directory)
            try:
                return self._opened(file)
            finally:
                os.close(file)
        with suppress(OSError), self._rooted(path) as file:
            status = os.fstat(file)
            if (status.st_ino, device_of(status)) == (inode, number):
                return self._opened(file)
        return None

    def debug_file(self, build_id: str) -> MappedFile | None:
        """The debug file of a build id (hexadecimal) below /usr/lib/debug; None without one.

        A container may lack it while the daemon's root has it: the build id proves that it belongs
        to the program.
        """
        name = f"usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug".encode()
        return self._local(name) or self._local(name, in_own_root=True)

    def debug_links(self, path: bytes, name: bytes) -> Iterator[MappedFile]:
        """The files with this name where debuggers look for them, below the root of the process."""
        directory = path.rpartition(b"/")[0].lstrip(b"/")
        for place in (directory, directory + b"/.debug", b"usr/lib/debug/" + directory):
            if file := self._local(place + b"/" + name):
                yield file

    def _local(self, name: bytes, *, in_own_root: bool = False) -> MappedFile | None:
        """A regular file on a local file system, below the root of the process or the daemon's."""
        with suppress(OSError), self._rooted(name, in_own_root=in_own_root) as place:
            if self._mounts.is_local(device_of(os.fstat(place))):
                return self._opened(place)
        return None

    def perf_map(self) -> MappedFile | None:
        """The symbols that a JIT compiler wrote to /tmp/perf-PID.map.

        PID is the process's number in its own pid namespace. None unless the effective user of the
        process owns the file.
        """
        status = self.read("status")
        name = b"tmp/perf-%d.map" % int(status_value(status, b"NStgid").split()[-1])
        with (
            suppress(OSError),
            self._rooted(
                name, file_calls.RESOLVE_NO_MAGICLINKS | file_calls.RESOLVE_NO_SYMLINKS
            ) as file,
        ):
            if self._mounts.is_local(device_of(os.fstat(file))):
                symbols = self._opened(file)
                if symbols.owner == int(status_value(status, b"Uid").split()[1]):
                    return symbols
        return None

    def sample(self, tid: int, attributes: bytes, seconds: float) -> bytes | None:
        """The first sample of a thread, without its header; None if it did not run so soon.

        OSError(EXDEV) where the procfs counts processes otherwise than this process does.
        """
        if os.readlink("self", dir_fd=self._root) != str(os.getpid()):
            raise OSError(errno.EXDEV, "the thread is in another PID namespace")
        return sampled(self._rights.open_event(attributes, tid), seconds)

    def unix_peer(self, inode: int, namespace: str) -> int | None:
        """The inode number of the other end of a UNIX socket.

        None where requester, process and this process are not in one network namespace: the kernel
        would tell of another one, or tell the requester of one that is not its own.
        """
        mine = os.readlink("self/ns/net", dir_fd=self._own)
        if not mine == namespace == self.link("ns/net"):
            return None
        return unix_peer(inode)

    def system(self, path: str, most: int | None = None) -> bytes:
        """The content of a file at the root of the procfs, or its first `most` bytes."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._root)
        with open(descriptor, "rb", buffering=0) as file:
            content = file.read(most if most is not None else -1) or b""
        self._progress()
        return content

    def clock(self) -> float:
        """The monotonic clock."""
        return time.monotonic()
