"""The entries of one process, and the files that it uses, read with the requester's rights.

What others than this kernel serve is not asked about: neither memory that such a file backs, nor
the status of such a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Any, NamedTuple

from procmirror.decoding.proc_files import mount_lines
from procmirror.decoding.view import FileStatus, Made
from procmirror.identity import file_calls
from procmirror.identity.errors import error
from procmirror.identity.files import read_file
from procmirror.procfs.local_files import (
    First,
    Mounts,
    known_status,
    memory_mounts,
)
from procmirror.procfs.read_note import Reads
from procmirror.procfs.reading import Sources
from procmirror.procfs.remote_memory import remote_ranges

# The most of a mountinfo, of 100,000 mounts or so, that is looked at.
_MOST_MOUNTS = 16 << 20
# What a path is told to be that leads to no file any more, or to none that is in the cache.
_GONE = dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EAGAIN), errno.ESTALE)
_LINKS = frozenset(("cwd", "root", "exe"))
_CACHED = (
    file_calls.RESOLVE_CACHED | file_calls.RESOLVE_NO_SYMLINKS | file_calls.RESOLVE_NO_MAGICLINKS
)


# No path begins so.
_NO_PATH = "\0"


def _content_if_any(directory: int, path: bytes) -> bytes:
    """The content of a file, empty if it cannot be read."""
    try:
        return read_file(directory, path, _MOST_MOUNTS)
    except OSError:
        return b""


def _made(_: str, make: Callable[[], Any]) -> Any:
    return make()


class Rights(NamedTuple):
    """Where a requester's rights are others than those that this thread acts with.

    Within `of_others()` this thread lacks the right that stands for a look at itself: a mount that
    hides processes must not show the requester's children by it. `open_event(attributes, tid)` is
    perf_event_open(2), judged for the requester. `kept` has what was made for this requester a
    moment ago. Within `resting()` this thread has the daemon's rights, for what tells the requester
    nothing. Within `without_self()` it has the requester's alone: the right of a look at itself
    opens no directory of others. `itself` is the number of this process, which the kernel lets look
    at itself whoever it acts as: nothing of it is told. Empty where the requester may see it.
    """

    of_others: Callable[[], AbstractContextManager[None]] = nullcontext
    open_event: Callable[[bytes, int], int] = file_calls.perf_event_open
    kept: Callable[[str, Callable[[], Any]], Any] = _made
    resting: Callable[[], AbstractContextManager[None]] = nullcontext
    without_self: Callable[[], AbstractContextManager[None]] = nullcontext
    itself: bytes = b""


AS_IT_IS = Rights()


class ProcessReading(Sources):
    """A `Reading` of a process or thread.

    `directory` and `prefix` lead to the process or thread, `own` to a procfs in which this process
    is `self`. What is read of other processes is read within `rights.of_others()`.
    """

    def __init__(
        self,
        directory: int,
        prefix: bytes,
        myself: bytes | None,
        progress: Callable[[], None],
        own: int,
        *,
        rights: Rights = AS_IT_IS,
        reads: Reads | None = None,
    ) -> None:
        super().__init__(directory, prefix, myself, None, progress, reads or Reads())
        self._rights = rights
        # A process's directory is one level below that of other processes, a thread's three levels.
        self._others = "../" * (3 if prefix else 1)
        self._this = f"{self._others}{rights.itself.decode()}" if rights.itself else _NO_PATH
        self._below_this = f"{self._this}/"
        self._own = own
        self._maps: dict[str, bytes] = {}
        self._mountinfo = b""
        self._remote: dict[str, list[tuple[int, int]]] = {}

    def _path(self, path: str) -> bytes:
        if path == self._this or path.startswith(self._below_this):
            raise error(errno.EACCES)
        return super()._path(path)

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

    def close(self) -> None:
        """Close every file: an open file keeps its file system in use."""
        super().close()
        if "_root_directory" in vars(self):
            os.close(vars(self).pop("_root_directory"))

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
        if f"{path}/".startswith(self._others):
            with self._rights.of_others():
                return super().names(path)
        return super().names(path)

    def kept(self, name: str, make: Callable[[], Made]) -> Made:
        """What `make` makes, or has made of this name for this requester a moment ago."""
        made: Made = self._rights.kept(name, make)
        return made

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
            self._remote[path] = remote_ranges(maps, self._mounts)
        return self._remote[path]

    @cached_property
    def _own_mountinfo(self) -> bytes:
        return _content_if_any(self._own, b"self/mountinfo")

    @cached_property
    def _mounts(self) -> Mounts:
        alive = self._alive
        known = self._mountinfo if alive == self._path("") else b""
        known = known or _content_if_any(self._directory, alive + b"mountinfo")
        return Mounts(known, self._own_mountinfo, self._rights.resting, First(self._own))

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
        return {**memory_mounts(self._own), **found}

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """What fstat(2) says of the file behind a link of fd/, or behind cwd, root or exe."""
        if path in _LINKS:
            return self._linked(path)
        if mount is not None:
            self._need_local(self._devices.get(mount, ""))
        self._begin(path)
        # It may be another file by now, of a server that the process chose: it is not asked either.
        return known_status(self._directory, self._path(path))[0]

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
                    return known_status(self._directory, link.encode())[0]
                raise error(_GONE.get(failure.errno or 0, failure.errno or 0)) from None
        return status

    def _status_below_root(self, path: bytes) -> FileStatus:
        """What the kernel knows of a path of the process; all of the path must be in its cache."""
        resolve = file_calls.RESOLVE_IN_ROOT | _CACHED
        root, inside = self._root_directory, self.path_inside(path)
        with self._rights.without_self():
            file = file_calls.open_resolved(root, inside, os.O_PATH, resolve)
        try:
            return known_status(file)[0]
        finally:
            os.close(file)

    def path_inside(self, path: bytes) -> bytes:
        """A path of `maps` as the process itself has it.

        The kernel tells it as the reader has it: after chroot(2) with the directory before it that
        is the root of the process.
        """
        return path[len(self._top) :] if path.startswith(self._top + b"/") else path

    @cached_property
    def _top(self) -> bytes:
        """The path of the root of the process, without the last slash."""
        with suppress(OSError):
            return os.readlink(self._alive + b"root", dir_fd=self._directory).rstrip(b"/")
        return b""

    @cached_property
    def _root_directory(self) -> int:
        """The root of the process; it is open until all files are closed."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(self._alive + b"root", flags, dir_fd=self._directory)
