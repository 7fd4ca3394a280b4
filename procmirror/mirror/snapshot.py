"""Making the content of a view, with the rights of the identity that this thread acts as."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, NamedTuple

from procmirror.decoding.render import rendered
from procmirror.decoding.view import Machine, View
from procmirror.mirror.places import is_of_process
from procmirror.mirror.siblings import view_named
from procmirror.procfs.mapped import ProcessSources
from procmirror.procfs.peer import PeerReader
from procmirror.procfs.process_reading import AS_IT_IS, Rights
from procmirror.procfs.read_note import NoNote, ReadNote, Reads
from procmirror.procfs.reading import Sources, path_from_root

if TYPE_CHECKING:
    from procmirror.stack.process import Process
    from procmirror.stack.user_side import Parser


class Snapshot(NamedTuple):
    """What a view needs besides its directory.

    `view` and `suffix` name the view and its format, `machine` holds the facts for decoding.
    `myself` is the requester's number in the procfs `root`, `peer` reads about this process, and
    `own` is a procfs in which this process is `self`. `rights` are the requester's where this
    thread's are others. `note` tells the daemon what is read at the moment; the sources at
    `left_out` are not to be read. `parser` makes what parses programs for this process
    (procfs.mapped).
    """

    view: str
    suffix: str
    machine: Machine
    myself: bytes | None
    peer: PeerReader | None
    root: int
    own: int
    rights: Rights = AS_IT_IS
    note: ReadNote | NoNote = NoNote()
    left_out: tuple[str, ...] = ()
    parser: Callable[[Process], Parser] | None = None


def is_joined(name: str) -> bool:
    """Whether a view is made from more than one file; LookupError if there is none of this name."""
    return view_named(name).join is not None


def _sources(
    view: View, descriptor: int, path: bytes, wanted: Snapshot, progress: Callable[[], None]
) -> Sources:
    reads = Reads(wanted.note, frozenset(wanted.left_out))
    if view.whole:
        itself = path_from_root(descriptor, path)
        return Sources(wanted.root, b"", itself, wanted.peer, progress, reads)
    if view.join and is_of_process(view.place):
        sources = ProcessSources(
            descriptor,
            path,
            wanted.myself,
            progress,
            wanted.root,
            wanted.own,
            rights=wanted.rights,
            reads=reads.of_process(),
        )
        sources.parser = wanted.parser
        return sources
    peer = None if view.place else wanted.peer
    return Sources(descriptor, path, wanted.myself, peer, progress, reads)


def snapshot(
    descriptor: int, path: bytes, wanted: Snapshot, progress: Callable[[], None]
) -> Generator[bytes, None, None]:
    """The content of a view, in pieces.

    OSError as the kernel's, DecodeError for what does not decode.
    """
    view = view_named(wanted.view)
    sources = _sources(view, descriptor, path, wanted, progress)
    try:
        record = view.record_of(sources, wanted.machine)
        walk = sources.each if wanted.peer else iter
        yield from reported(rendered(view, wanted.suffix, record, wanted.machine, walk), progress)
    finally:
        sources.close()


def reported(pieces: Iterator[bytes], progress: Callable[[], None]) -> Iterator[bytes]:
    """The pieces of a content; each is progress."""
    for piece in pieces:
        progress()
        yield piece
