"""What the unwinder needs of a process besides the files of its directory.

The implementation applies the requester's rights: it opens every file as the requester and refuses
files that could block or deceive it (a file on a FUSE or network mount, anything but a regular
file). Nothing in this package opens, stops, signals or attaches to anything.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from procmirror.decoding.view import Reading

if TYPE_CHECKING:
    from procmirror.stack.process import Process
    from procmirror.stack.user_side import Parser


class Inode(NamedTuple):
    """A file by its device (major:minor, as mountinfo has it) and by its own number."""

    device: str
    number: int


class UnixListener(NamedTuple):
    """A UNIX socket that listens: its inode, the name as bound, and the file if it has one.

    An abstract name begins with a null byte.
    """

    socket: int
    name: bytes
    file: Inode | None


class MappedFile(Protocol):
    """A file opened for this request."""

    @property
    def key(self) -> Hashable:
        """What distinguishes it from every other file and from its own later versions.

        Device, inode, size, times, mount.
        """

    @property
    def size(self) -> int:
        """Its length in bytes."""

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`; OSError as the kernel raises it."""


class Target(Reading, Protocol):
    """A process or a thread: its directory, and the files behind its memory.

    None always means that there is nothing that the requester may have; it is never an error.
    """

    # What makes the parser of files that is another process; None: they are parsed here.
    parser: Callable[[Process], Parser] | None

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        """The file of a line of `maps`, and no other: device and inode are those of the line."""

    def debug_file(self, build_id: str) -> MappedFile | None:
        """The separate debug file of this build id (hexadecimal)."""

    def debug_links(self, path: bytes, name: bytes) -> Iterable[MappedFile]:
        """The files called `name` where the debug file of the file at `path` may be."""

    def perf_map(self) -> MappedFile | None:
        """The file /tmp/perf-PID.map, where a JIT compiler writes names.

        None if its owner is not the process's own user.
        """

    def sample(self, tid: int, attributes: bytes, seconds: float) -> bytes | None:
        """The first sample of a thread by perf_event_open(2), without its header.

        `tid` is its number in the procfs, `attributes` a struct perf_event_attr. None if it did not
        run within `seconds`; OSError as the kernel's, judged for the requester.
        """

    def unix_peer(self, inode: int, namespace: str) -> int | None:
        """The inode number of the other end of a UNIX socket.

        `namespace` is the requester's network namespace, as the text of its link in ns/.
        """

    def unix_listeners(self, namespace: str) -> Sequence[UnixListener]:
        """The UNIX sockets that listen in the network namespace `namespace`, the requester's."""

    def paths_of(
        self, wanted: Collection[Inode], places: Sequence[bytes], deadline: float
    ) -> dict[Inode, bytes]:
        """Which absolute paths below the root of the process lead to files that are wanted.

        They are tried until `deadline`, by the clock of the target.
        """

    def system(self, path: str, most: int | None = None) -> bytes:
        """A file at the root of /proc (`kallsyms`, `modules`).

        The whole content, or at most `most` bytes of its beginning.
        """

    def clock(self) -> float:
        """Seconds of a clock that never goes back, CLOCK_MONOTONIC."""

    def real_time(self) -> float:
        """Seconds since 1970, CLOCK_REALTIME."""


class Blob:
    """Bytes as a `MappedFile`: the vDSO, and what was unpacked from another file."""

    def __init__(self, content: bytes) -> None:
        self.content, self.key, self.size = content, content, len(content)

    def pread(self, size: int, offset: int) -> bytes:
        """A slice."""
        return self.content[offset : offset + size]


class Bare:
    """A `Reading` without further files as a `Target`.

    It gives kernel frames, the system call, and the innermost user frame.
    """

    parser: Callable[[Process], Parser] | None = None

    def __init__(self, reading: Reading) -> None:
        self.read, self.part, self.lines = reading.read, reading.part, reading.lines
        self.link, self.names = reading.link, reading.names
        self.size, self.opened = reading.size, reading.opened
        self.mapped_file = reading.mapped_file
        self.unix_peers = reading.unix_peers

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        """No file."""

    def debug_file(self, build_id: str) -> MappedFile | None:
        """No file."""

    def debug_links(self, path: bytes, name: bytes) -> Iterable[MappedFile]:
        """No files."""
        del path, name
        return ()

    def perf_map(self) -> MappedFile | None:
        """No names."""

    def sample(self, tid: int, attributes: bytes, seconds: float) -> bytes | None:
        """No sample."""
        del tid, attributes, seconds
        raise OSError(errno.EOPNOTSUPP, "no live thread")

    def unix_peer(self, inode: int, namespace: str) -> int | None:
        """None: no peer is known."""

    def unix_listeners(self, namespace: str) -> Sequence[UnixListener]:
        """None are known."""
        del namespace
        return ()

    def paths_of(
        self, wanted: Collection[Inode], places: Sequence[bytes], deadline: float
    ) -> dict[Inode, bytes]:
        """None are known."""
        del wanted, places, deadline
        return {}

    def system(self, path: str, most: int | None = None) -> bytes:
        """No such file."""
        del most
        raise FileNotFoundError(2, "No such file or directory", path)

    def clock(self) -> float:
        """A clock that stands still."""
        return 0.0

    def real_time(self) -> float:
        """A clock of real time that stands still."""
        return 0.0


def target_of(reading: Reading) -> Target:
    """A reading as a target: itself if it has the files behind the memory too."""
    return cast("Target", reading) if hasattr(reading, "mapped") else Bare(reading)
