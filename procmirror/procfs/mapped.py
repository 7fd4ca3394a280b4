"""The files behind a process's memory, opened with the requester's rights.

A program names its libraries by paths of its own mount namespace, can replace them, and can map a
file whose reads never return. So a file is opened by map_files, which leads to the mapped inode, or
by its path below the process's root if device and inode there are those of the mapping. Only
regular files are opened, and none on a file system that another process or machine serves.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from procmirror.decoding.proc_files import status_value
from procmirror.identity import file_calls
from procmirror.identity.files import READ
from procmirror.procfs.open_file import OpenFile
from procmirror.procfs.path_search import tried_paths
from procmirror.procfs.perf_event import sampled
from procmirror.procfs.process_reading import AS_IT_IS, ProcessReading, Rights
from procmirror.procfs.read_note import Reads
from procmirror.procfs.remote_memory import decimal
from procmirror.procfs.unix_peers import unix_listeners, unix_peer
from procmirror.stack.target import Inode, MappedFile, UnixListener

if TYPE_CHECKING:
    from procmirror.stack.process import Process
    from procmirror.stack.user_side import Parser


class ProcessSources(ProcessReading):
    """The sources of a process or thread, and the files behind its memory.

    A `procmirror.stack.target.Target`. `root` is the procfs that the process is in.
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
        super().__init__(directory, prefix, myself, progress, own, rights=rights, reads=reads)
        self.parser: Callable[[Process], Parser] | None = None
        self._root = root
        self._files: list[OpenFile] = []
        # The roots below which files were opened.
        self._tops: dict[bytes, int] = {}

    def _opened(self, path_only: int) -> OpenFile:
        self._files.append(OpenFile(self._own, path_only))
        return self._files[-1]

    def close(self) -> None:
        """Close every file: an open file keeps its file system in use."""
        super().close()
        while self._files:
            self._files.pop().close()
        while self._tops:
            os.close(self._tops.popitem()[1])

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
        number = decimal(device)
        if not self._mounts.is_local(number):
            return None
        with suppress(OSError):
            link = b"map_files/%x-%x" % (start, end)
            file = os.open(link, os.O_PATH | os.O_CLOEXEC, dir_fd=self._directory)
            try:
                return self._opened(file) if self._is_local(file, number) else None
            finally:
                os.close(file)
        with suppress(OSError), self._rooted(self.path_inside(path)) as file:
            if file_calls.object_of(file)[1:] == (number, inode):
                return self._opened(file)
        return None

    def _is_local(self, file: int, device: str) -> bool:
        """Whether an O_PATH descriptor is on a device that is local, or on a local mount.

        The process may have mapped another file since it was asked which one it is; no server is
        asked. Files of btrfs and of overlays have other devices than their mounts.
        """
        mount, found, _ = file_calls.object_of(file)
        return found == device or self._mounts.is_local(self._devices.get(mount, ""))

    def debug_file(self, build_id: str) -> MappedFile | None:
        """The debug file of a build id (hexadecimal) below /usr/lib/debug; None without one.

        A container may lack it while the daemon's root has it: the build id proves that it belongs
        to the program.
        """
        name = f"usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug".encode()
        return self._local(name) or self._local(name, in_own_root=True)

    def debug_links(self, path: bytes, name: bytes) -> Iterator[MappedFile]:
        """The files with this name where debuggers look for them, below the root of the process."""
        directory = self.path_inside(path).rpartition(b"/")[0].lstrip(b"/")
        for place in (directory, directory + b"/.debug", b"usr/lib/debug/" + directory):
            if file := self._local(place + b"/" + name):
                yield file

    def _local(self, name: bytes, *, in_own_root: bool = False) -> MappedFile | None:
        """A regular file on a local file system, below the root of the process or the daemon's."""
        with suppress(OSError), self._rooted(name, in_own_root=in_own_root) as place:
            if self._mounts.is_local(file_calls.object_of(place)[1]):
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
            if self._mounts.is_local(file_calls.object_of(file)[1]):
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
        return unix_peer(inode) if self._is_network(namespace) else None

    def unix_listeners(self, namespace: str) -> Sequence[UnixListener]:
        """The UNIX sockets that listen; none where `unix_peer` has None."""
        return unix_listeners() if self._is_network(namespace) else ()

    def _is_network(self, namespace: str) -> bool:
        """Whether a network namespace is that of this process and of the one that is looked at."""
        mine = os.readlink("self/ns/net", dir_fd=self._own)
        return mine == namespace == self.link("ns/net")

    def paths_of(
        self, wanted: Collection[Inode], places: Sequence[bytes], deadline: float
    ) -> dict[Inode, bytes]:
        """Which of the places below the root of the process lead to files of local file systems."""
        local = {one for one in wanted if self._mounts.is_local(one.device)}
        with self._noted("root"):
            return tried_paths(self._root_directory, local, places, lambda: self.clock() > deadline)

    def system(self, path: str, most: int | None = None) -> bytes:
        """The content of a file at the root of the procfs, or its first `most` bytes."""
        descriptor = os.open(path, READ | os.O_NOFOLLOW, dir_fd=self._root)
        with open(descriptor, "rb", buffering=0) as file:
            content = file.read(most if most is not None else -1) or b""
        self._progress()
        return content

    def clock(self) -> float:
        """The monotonic clock."""
        return time.monotonic()

    def real_time(self) -> float:
        """The clock of the day."""
        return time.time()
