"""What an operation is: a value that runs in the daemon, or is sent to a worker and runs there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from procmirror.decoding.view import Machine, View
from procmirror.mirror.snapshot import Snapshot
from procmirror.procfs.file_reading import FileReading
from procmirror.workers.result import Result
from procmirror.workers.spool import Spool

T_co = TypeVar("T_co", covariant=True)


class Viewer(NamedTuple):
    """The requester as a view shows it.

    `pid` is the requester's number in the mirrored procfs, None if it has none there. `named`:
    users and groups are shown with the names of this machine. `alone`: a view of a process names
    no other processes.
    """

    pid: bytes | None = None
    named: bool = True
    alone: bool = False


class Context(Protocol):
    """What an operation uses of the process that runs it."""

    @property
    def own(self) -> int:
        """A procfs in which that process is `self`."""

    @property
    def files(self) -> FileReading:
        """Who opens and reads files."""

    def unseen(self) -> bytes:
        """The number of that process where `hidepid=` hides it from the requester, else nothing.

        A process always sees itself.
        """

    def progress(self) -> None:
        """Report that the operation still makes progress."""

    def grown(self, spool: Spool) -> None:
        """Report how much of a content a spool holds so far."""

    def machine(self, viewer: Viewer) -> Machine:
        """The facts for decoding."""

    def content(self, view: View, suffix: str, raw: bytes, machine: Machine) -> bytes:
        """The content of a view of one file; `raw` is what the file says."""

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> Snapshot:
        """What a view or an index is made from."""


# What an operation starts from, asked for when it starts: while a request waits, the directory of a
# process may be closed, and its number be that of another one. OSError if the process has ended.
Descriptors: TypeAlias = Callable[[], Sequence[int]]


def kept_open(*descriptors: int) -> Descriptors:
    """Descriptors that stay open until the operation has ended."""
    return lambda: descriptors


class Operation(msgspec.Struct, Generic[T_co], array_like=True, frozen=True, gc=False):
    """One operation of FUSE on an entry of /proc."""

    def run(self, descriptors: Sequence[int], context: Context) -> T_co:
        """Carry it out in this process.

        `descriptors` are a directory of /proc, or the open file. OSError as the kernel raises it,
        DecodeError for a source that does not decode.
        """
        raise NotImplementedError

    def received(self, result: Result) -> T_co:
        """The result as `run` returns it, from the result of a worker."""
        del self
        return result.value  # type: ignore[no-any-return]
