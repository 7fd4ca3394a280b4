"""What FUSE asks of /proc, as values: the daemon and a worker run the same objects.

Each operation has only the fields that it needs. The process that runs it already acts as the
requester.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from procmirror.mirror import index_query, tree
from procmirror.mirror.index.relations import Table
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc, reading
from procmirror.procfs.proc import Attributes
from procmirror.procfs.reading import Question
from procmirror.workers.spool import Spool, spool_or_bytes

T_co = TypeVar("T_co", covariant=True)


class Viewer(NamedTuple):
    """The requester as a view shows it.

    `pid` is the requester's number in the mirrored procfs, None if it has none there. `named`:
    users and groups are shown with the names of this machine.
    """

    pid: bytes | None = None
    named: bool = True


class OpenFile(NamedTuple):
    """An open descriptor, and what was read ahead from its start with whether that is all."""

    number: int
    readahead: tuple[bytes, bool] | None = None


class Context(Protocol):
    """What an operation uses of the process that runs it."""

    def progress(self) -> None:
        """Report that the operation still makes progress."""

    def grown(self, spool: Spool) -> None:
        """Report how much of a content a spool holds so far."""

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> tree.Snapshot:
        """What a view or an index is made from."""


class Operation(msgspec.Struct, Generic[T_co], array_like=True, frozen=True):
    """One operation of FUSE on an entry of /proc."""

    def run(self, at: Sequence[int], context: Context) -> T_co:
        """Carry it out in this process.

        `at` are descriptors: a directory of /proc, or the open file. OSError as the kernel raises
        it, DecodeError for a source that does not decode.
        """
        raise NotImplementedError

    def received(self, result: Any) -> T_co:
        """The result as `run` returns it, from the value in a message."""
        del self
        return result  # type: ignore[no-any-return]


class GetAttributes(Operation[Attributes], tag="attributes", frozen=True):
    """GETATTR and LOOKUP, of the directory itself if `path` is empty."""

    path: bytes = b""

    def run(self, at: Sequence[int], context: Context) -> Attributes:
        """Stat the entry."""
        del context
        return proc.attributes(at[0], self.path)

    def received(self, result: Any) -> Attributes:
        """The attributes."""
        del self
        return Attributes(*result)


class ReadLink(Operation[bytes], tag="link", frozen=True):
    """READLINK."""

    path: bytes

    def run(self, at: Sequence[int], context: Context) -> bytes:
        """Read the text of the link."""
        del context
        return proc.link(at[0], self.path)


class CheckAccess(Operation[None], tag="access", frozen=True):
    """ACCESS with a mode as access(2) has it."""

    path: bytes
    mode: int

    def run(self, at: Sequence[int], context: Context) -> None:
        """Raise the kernel's refusal, if any."""
        del context
        proc.access(at[0], self.path, self.mode)


class ListEntries(Operation[list[Entry]], tag="entries", frozen=True):
    """OPENDIR and READDIR at once; `traits` is a path for tree.directory."""

    path: bytes
    traits: str

    def run(self, at: Sequence[int], context: Context) -> list[Entry]:
        """Read all names with their attributes."""
        del context
        return tree.entries(at[0], self.path, self.traits)

    def received(self, result: Any) -> list[Entry]:
        """The names with their attributes."""
        del self
        return [(name, Attributes(*attributes)) for name, attributes in result]


class Open(Operation[OpenFile], tag="open", frozen=True):
    """OPEN of a raw file.

    `flags` are those of open(2). If `readahead` is not 0, so many bytes are read at once and serve
    a READ that follows soon.
    """

    path: bytes
    flags: int = os.O_RDONLY
    readahead: int = 0

    def run(self, at: Sequence[int], context: Context) -> OpenFile:
        """Open the file."""
        del context
        descriptor = proc.open_file(at[0], self.path, self.flags)
        content = None
        if self.readahead:
            with suppress(OSError):
                first = proc.read(descriptor, 0, self.readahead)
                whole = len(first) < self.readahead and not os.pread(descriptor, 1, len(first))
                content = first, whole
        return OpenFile(descriptor, content)


class Read(Operation[bytes], tag="read", frozen=True):
    """READ of an open raw file."""

    offset: int
    size: int

    def run(self, at: Sequence[int], context: Context) -> bytes:
        """Read up to `size` bytes."""
        del context
        return proc.read(at[0], self.offset, self.size)


class Write(Operation[int], tag="write", frozen=True):
    """WRITE to an open raw file.

    A negative `offset` means the position of the descriptor. If a message has no room for the
    bytes, a second descriptor holds `size` bytes.
    """

    offset: int
    size: int
    data: bytes = b""

    def run(self, at: Sequence[int], context: Context) -> int:
        """Write all bytes in one call; returns how many the kernel took."""
        del context
        data = os.pread(at[1], self.size, 0) if len(at) > 1 else self.data
        return proc.write(at[0], data, self.offset)


class SetAttributes(Operation[None], tag="touch", frozen=True):
    """SETATTR of owner and group (-1 keeps one) or times (atime and mtime in nanoseconds)."""

    path: bytes
    owner: tuple[int, int] | None = None
    times: tuple[int, int] | None = None

    def run(self, at: Sequence[int], context: Context) -> None:
        """Set them."""
        del context
        proc.touch(at[0], self.path, self.owner, self.times)


class MakeView(Operation[bytes | Spool], tag="view", frozen=True):
    """Make the content of a view in one of its formats.

    `path` is its directory below the descriptor, `space` the limit of its size in bytes.
    `left_out` are the paths of sources for which another worker has waited in vain.
    """

    path: bytes
    view: str
    suffix: str
    viewer: Viewer
    space: int
    left_out: tuple[str, ...] = ()

    def run(self, at: Sequence[int], context: Context) -> bytes | Spool:
        """Make the view."""
        wanted = context.snapshot(self.view, self.suffix, self.viewer)
        wanted = wanted._replace(left_out=self.left_out)
        with closing(tree.snapshot(at[0], self.path, wanted, context.progress)) as pieces:
            return spool_or_bytes(pieces, self.space, context.grown)


class MakeTable(Operation[Table], tag="table", frozen=True):
    """List all of an index that the requester may see."""

    index: str
    viewer: Viewer

    def run(self, at: Sequence[int], context: Context) -> Table:
        """Ask about every process."""
        del at
        wanted = context.snapshot(self.index, "", self.viewer)
        return index_query.table(wanted, context.progress)


class CheckLink(Operation[bool], tag="link-exists", frozen=True):
    """Whether a link in an index exists for the requester; `path` is from the root."""

    path: bytes
    index: str
    viewer: Viewer

    def run(self, at: Sequence[int], context: Context) -> bool:
        """Ask about the process of the link."""
        del at
        wanted = context.snapshot(self.index, "", self.viewer)
        return index_query.link_exists(self.path, wanted, context.progress)


class Answer(Operation[list[Any]], tag="answers", frozen=True):
    """Answer questions about another worker, which must not ask the kernel about itself."""

    questions: list[Question]

    def run(self, at: Sequence[int], context: Context) -> list[Any]:
        """One answer for each question: a content, a text, names, or an errno."""
        return [reading.answer(at[0], question, context.progress) for question in self.questions]


AnyOperation = (
    GetAttributes
    | ReadLink
    | CheckAccess
    | ListEntries
    | Open
    | Read
    | Write
    | SetAttributes
    | MakeView
    | MakeTable
    | CheckLink
    | Answer
)
