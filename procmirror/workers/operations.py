"""What FUSE asks of /proc, as values: the daemon and a worker run the same objects.

Each operation has only the fields that it needs. The process that runs it already acts as the
requester.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any, TypeAlias

import msgspec

from procmirror.decoding.render import content_of
from procmirror.identity.errors import error
from procmirror.mirror import index_query, listing
from procmirror.mirror.index.relations import Table
from procmirror.mirror.siblings import view_named
from procmirror.mirror.snapshot import snapshot
from procmirror.mirror.tree import Entry
from procmirror.procfs import contents, link_targets, peer, proc
from procmirror.procfs.link_targets import Link
from procmirror.procfs.peer import Question
from procmirror.procfs.proc import Attributes
from procmirror.workers.operation import Context, Operation, Viewer
from procmirror.workers.result import Result
from procmirror.workers.spool import INLINE_BYTES, Spool, spool_or_bytes
from procmirror.workers.stream import Stream


class Opened(msgspec.Struct, frozen=True, gc=False):
    """An open descriptor, and what was read ahead from its start with whether that is all."""

    number: int
    readahead: tuple[bytes, bool] | None = None


# The content of a view: bytes if it is short, a spool, or a spool that a worker still fills.
Content: TypeAlias = "bytes | Spool | Stream"


def content_received(result: Result) -> Content:
    """The content of a view in the result of a worker."""
    if result.descriptor < 0:
        return bytes(result.value)
    return result.stream or Spool.received(result.descriptor, int(result.value))


class GetAttributes(Operation[Attributes], tag="attributes", frozen=True):
    """GETATTR and LOOKUP, of the directory itself if `path` is empty."""

    path: bytes = b""

    def run(self, at: Sequence[int], context: Context) -> Attributes:
        """Stat the entry."""
        del context
        return proc.attributes(at[0], self.path)

    def received(self, result: Result) -> Attributes:
        """The attributes."""
        del self
        return Attributes(*result.value)


class ReadLink(Operation[bytes], tag="link", frozen=True):
    """READLINK."""

    path: bytes

    def run(self, at: Sequence[int], context: Context) -> bytes:
        """Read the text of the link."""
        del context
        return proc.link(at[0], self.path)


class ReadObjectLink(Operation[Link], tag="object-link", frozen=True):
    """READLINK of a link that stands for an object, with the object."""

    path: bytes

    def run(self, at: Sequence[int], context: Context) -> Link:
        """Read the text and look at the object, which is not asked."""
        return link_targets.link_with_object(at[0], self.path, context.own)

    def received(self, result: Result) -> Link:
        """The link."""
        del self
        text, found = result.value
        return Link(text, tuple(found) if found else None)


class LeadsElsewhere(Operation[bool], tag="elsewhere", frozen=True):
    """Whether the text of a link leads to something else than its object.

    The descriptor is the root directory of whoever follows it.
    """

    text: bytes
    device: str
    inode: int

    def run(self, at: Sequence[int], context: Context) -> bool:
        """Follow it."""
        del context
        return link_targets.leads_elsewhere(at[0], self.text, self.device, self.inode)


class CheckAccess(Operation[None], tag="access", frozen=True):
    """ACCESS with a mode as access(2) has it."""

    path: bytes
    mode: int

    def run(self, at: Sequence[int], context: Context) -> None:
        """Raise the kernel's refusal, if any."""
        del context
        proc.access(at[0], self.path, self.mode)


class ListEntries(Operation[list[Entry]], tag="entries", frozen=True):
    """OPENDIR and READDIR at once; `traits` is a path for traits.directory."""

    path: bytes
    traits: str

    def run(self, at: Sequence[int], context: Context) -> list[Entry]:
        """Read all names with their attributes."""
        del context
        return listing.entries(at[0], self.path, self.traits)

    def received(self, result: Result) -> list[Entry]:
        """The names with their attributes."""
        del self
        return [(name, Attributes(*attributes)) for name, attributes in result.value]


class ListNames(Operation[Content], tag="names", frozen=True):
    """READDIR of many names, separated by slashes; `traits` is a path for tree.directory.

    `space` is the limit of their size in bytes.
    """

    path: bytes
    traits: str
    space: int

    def run(self, at: Sequence[int], context: Context) -> Content:
        """Read all names."""
        del context
        found = listing.names_in(at[0], self.path, self.traits)
        return spool_or_bytes(iter((b"/".join(found),)), self.space)

    def received(self, result: Result) -> Content:
        """The names."""
        del self
        return content_received(result)


class Open(Operation[Opened], tag="open", frozen=True):
    """OPEN of a raw file.

    `flags` are those of open(2). If `readahead` is not 0, so many bytes are read at once and serve
    a READ that follows soon.
    """

    path: bytes
    flags: int = os.O_RDONLY
    readahead: int = 0

    def run(self, at: Sequence[int], context: Context) -> Opened:
        """Open the file."""
        del context
        descriptor = proc.open_file(at[0], self.path, self.flags)
        content = None
        if self.readahead:
            with suppress(OSError):
                first = proc.read(descriptor, 0, self.readahead)
                whole = len(first) < self.readahead and not os.pread(descriptor, 1, len(first))
                content = first, whole
        return Opened(descriptor, content)

    def received(self, result: Result) -> Opened:
        """The open file; OSError(EMFILE) if the daemon had no descriptor left for it."""
        del self
        if result.descriptor < 0:
            raise error(errno.EMFILE)
        if result.value is None:
            return Opened(result.descriptor)
        data, complete = result.value
        return Opened(result.descriptor, (data, complete))


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


class DecodeFile(Operation[Content], tag="decode", frozen=True):
    """Make the content of a view of one short file in one of its formats, in one piece.

    `path` is that of the file, `space` the limit of the content in bytes.
    """

    path: bytes
    view: str
    suffix: str
    viewer: Viewer
    space: int

    def run(self, at: Sequence[int], context: Context) -> Content:
        """Read and decode the file."""
        view, machine = view_named(self.view), context.machine(self.viewer)
        raw = contents.content(at[0], self.path, context.progress)
        made = content_of(view, self.suffix, view.decoded(raw, machine), machine)
        return made if len(made) <= INLINE_BYTES else spool_or_bytes(iter((made,)), self.space)

    def received(self, result: Result) -> Content:
        """The content."""
        del self
        return content_received(result)


class MakeView(Operation[Content], tag="view", frozen=True):
    """Make the content of a view of any files in one of its formats, and pass it on while it grows.

    `path` is its directory below the descriptor, `space` the limit of its size in bytes. `left_out`
    are the paths of sources for which another worker waited in vain.
    """

    path: bytes
    view: str
    suffix: str
    viewer: Viewer
    space: int
    left_out: tuple[str, ...] = ()

    def run(self, at: Sequence[int], context: Context) -> Content:
        """Make the view."""
        wanted = context.snapshot(self.view, self.suffix, self.viewer)
        wanted = wanted._replace(left_out=self.left_out)
        with closing(snapshot(at[0], self.path, wanted, context.progress)) as pieces:
            return spool_or_bytes(pieces, self.space, context.grown)

    def received(self, result: Result) -> Content:
        """The content, or its first part."""
        del self
        return content_received(result)


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
        return [peer.answer(at[0], question, context.progress) for question in self.questions]


AnyOperation = (
    GetAttributes
    | ReadLink
    | ReadObjectLink
    | LeadsElsewhere
    | CheckAccess
    | ListEntries
    | ListNames
    | Open
    | Read
    | Write
    | SetAttributes
    | DecodeFile
    | MakeView
    | MakeTable
    | CheckLink
    | Answer
)
