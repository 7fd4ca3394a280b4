"""Making the contents of views and the tables of indexes, and the questions for that."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from procmirror.decoding.render import rendered
from procmirror.mirror import index_query
from procmirror.mirror.index.relations import Table
from procmirror.mirror.siblings import view_named
from procmirror.mirror.snapshot import reported, snapshot
from procmirror.procfs import peer
from procmirror.procfs.peer import Question
from procmirror.workers.content import Content, content_received
from procmirror.workers.operation import Context, Operation, Viewer
from procmirror.workers.result import Result
from procmirror.workers.spool import INLINE_BYTES, spool_or_bytes

# The longest file in bytes whose view is made in one piece.
_AT_ONCE_BYTES = 32 << 10


class DecodeFile(Operation[Content], tag="decode", frozen=True):
    """Make the content of a view of one file in one of its formats, of a short one in one piece.

    `path` is that of the file, `space` the limit of the content in bytes.
    """

    path: bytes
    view: str
    suffix: str
    viewer: Viewer
    space: int

    def run(self, descriptors: Sequence[int], context: Context) -> Content:
        """Read and decode the file."""
        view, machine = view_named(self.view), context.machine(self.viewer)
        raw = context.files.content(descriptors[0], self.path, context.progress)
        if len(raw) > _AT_ONCE_BYTES:
            record = view.decoded(raw, machine)
            pieces = reported(rendered(view, self.suffix, record, machine), context.progress)
            return spool_or_bytes(pieces, self.space, context.grown)
        made = context.content(view, self.suffix, raw, machine)
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

    def run(self, descriptors: Sequence[int], context: Context) -> Content:
        """Make the view."""
        wanted = context.snapshot(self.view, self.suffix, self.viewer)
        wanted = wanted._replace(left_out=self.left_out)
        with closing(snapshot(descriptors[0], self.path, wanted, context.progress)) as pieces:
            return spool_or_bytes(pieces, self.space, context.grown)

    def received(self, result: Result) -> Content:
        """The content, or its first part."""
        del self
        return content_received(result)


class MakeTable(Operation[Table], tag="table", frozen=True):
    """List all of an index that the requester may see."""

    index: str
    viewer: Viewer

    def run(self, descriptors: Sequence[int], context: Context) -> Table:
        """Ask about every process."""
        del descriptors
        wanted = context.snapshot(self.index, "", self.viewer)
        return index_query.table(wanted, context.progress)


class CheckLink(Operation[bool], tag="link-exists", frozen=True):
    """Whether a link in an index exists for the requester; `path` is from the root."""

    path: bytes
    index: str
    viewer: Viewer

    def run(self, descriptors: Sequence[int], context: Context) -> bool:
        """Ask about the process of the link."""
        del descriptors
        wanted = context.snapshot(self.index, "", self.viewer)
        return index_query.link_exists(self.path, wanted, context.progress)


class Answer(Operation[list[Any]], tag="answers", frozen=True):
    """Answer questions about another worker, which must not ask the kernel about itself."""

    questions: list[Question]

    def run(self, descriptors: Sequence[int], context: Context) -> list[Any]:
        """One answer for each question: a content, a text, names, or an errno."""
        return [
            peer.answer(descriptors[0], question, context.progress) for question in self.questions
        ]
