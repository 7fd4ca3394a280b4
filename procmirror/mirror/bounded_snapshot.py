"""Views of several sources that are made in this process, which waits for none of them for ever.

A thread makes the view and notes what it reads, as a worker does for the daemon. If the kernel
keeps it in one read, it is abandoned, and another makes the view without that source, which the
view then names as missing. As long as the first still hangs, later views of the same process are
made without that source at once.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import ExitStack
from typing import Generic, TypeAlias, TypeVar

from procmirror.identity.errors import error
from procmirror.mirror.snapshot import Snapshot, is_joined, snapshot
from procmirror.procfs import read_note
from procmirror.procfs.read_note import Noted, Reads, is_blocked, noted

T = TypeVar("T")

# What makes a view from the descriptors of a directory and of the root of its procfs. It notes its
# reads, reads nothing that is left out, and calls the last argument after each answer.
Make: TypeAlias = Callable[[int, int, Reads, Callable[[], None]], Iterator[T]]

# A thread that is blocked in the same read at two looks with so many seconds between is stuck.
_LOOK_SECONDS = 0.25
# How many sources of one view may be left out; then this process waits.
_MOST_PARTS = 4
# So many bytes are held back, in which a source that never comes may still be noticed.
_MOST_HELD = 1 << 20
# While so many threads of this process hang, it makes no further view.
_MOST_HANGING = 256


def bounded_snapshot(
    descriptor: int, path: bytes, wanted: Snapshot
) -> Generator[bytes, None, None]:
    """The content of a view as `snapshot` makes it, with its errors, and those of `bounded`.

    This process is `self` in the root of `wanted`. A view of one source is made by this thread, and
    waits for it.
    """
    if not is_joined(wanted.view):
        yield from snapshot(descriptor, path, wanted, _nothing)
        return

    def make(
        directory: int, root: int, reads: Reads, progress: Callable[[], None]
    ) -> Iterator[bytes]:
        note, left_out = reads.note, tuple(reads.left_out)
        changed = wanted._replace(root=root, own=root, note=note, left_out=left_out)
        return snapshot(directory, path, changed, progress)

    yield from bounded(descriptor, path, wanted.root, make)


def bounded(directory: int, path: bytes, root: int, make: Make[T]) -> Generator[T, None, None]:
    """What `make` yields about a directory, without the sources that never come, with its errors.

    `path` leads from the directory to that of the view, `root` is the procfs of this process. What
    is about this process this thread makes itself, as there would be a thread more to tell of, and
    so it does what is of a copy of a procfs.
    OSError(EBUSY) if too many threads of this process hang already.
    """
    found = os.fstat(directory)
    if _is_own(found, root):
        yield from make(directory, root, Reads(), _nothing)
        return
    place = found.st_dev, found.st_ino, path
    left_out = _hanging.at(place)
    while True:
        making = _Making(directory, root, make, left_out)
        yield from making.pieces()
        if making.stuck is None:
            return
        _hanging.add(place, making.stuck, making.thread)
        left_out |= {making.stuck}


def _is_own(found: os.stat_result, root: int) -> bool:
    """Whether a directory is that of this process, or the root is a copy that has no `self`."""
    try:
        return os.path.samestat(found, os.stat("self/", dir_fd=root))
    except OSError:
        return True


def _nothing() -> None:
    """Report no progress: nothing waits for this."""


class _Hanging:
    """The threads of this process that were abandoned and still hang, by place and source."""

    def __init__(self) -> None:
        self._threads: list[tuple[Hashable, str, threading.Thread]] = []
        self._lock = threading.Lock()

    def add(self, place: Hashable, source: str, thread: threading.Thread) -> None:
        """Note that a thread hangs in a source."""
        with self._lock:
            self._threads.append((place, source, thread))

    def at(self, place: Hashable) -> frozenset[str]:
        """The sources of a place in which threads hang; OSError(EBUSY) if too many do anywhere."""
        with self._lock:
            self._threads = [one for one in self._threads if one[2].is_alive()]
            if len(self._threads) >= _MOST_HANGING:
                raise error(errno.EBUSY)
            return frozenset(source for where, source, _ in self._threads if where == place)


_hanging = _Hanging()


class _LeftError(BaseException):
    """This thread is not wanted any more; no Exception, so that no part of a view catches it."""


class _Making(Generic[T]):
    """A thread that makes a view, and what it has made; `stuck` is the source that it hangs in.

    The thread has descriptors of its own: it may come out of the read that it hangs in when those
    of its maker are other files'.
    """

    def __init__(self, directory: int, root: int, make: Make[T], left_out: frozenset[str]) -> None:
        with ExitStack() as opened:
            self._directory = _kept(opened, os.dup(directory))
            self._own = _kept(opened, os.dup(root))
            self._note = _kept(opened, read_note.new())
            self._reads = Reads(read_note.written_to(self._note), left_out)
            # The thread closes its own, and the other one the note.
            opened.pop_all()
        self._make = make
        self._root = root
        self._left_out = left_out
        self._may_be_left = len(left_out) < _MOST_PARTS
        self._is_left = False
        self._made: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.stuck: str | None = None

    def _run(self) -> None:
        try:
            ended = self._made_all()
        finally:
            os.close(self._directory)
            os.close(self._own)
            self._reads.note.close()
        if not self._is_left:
            self._made.put(ended)

    def _made_all(self) -> BaseException | None:
        """Make the view; returns the error that ends it."""
        try:
            for piece in self._make(self._directory, self._own, self._reads, self._go_on):
                self._made.put((piece,))
        except BaseException as error:  # noqa: BLE001 - the other thread raises it
            return error
        return None

    def _go_on(self) -> None:
        """End this thread if it was abandoned."""
        if self._is_left:
            raise _LeftError

    def pieces(self) -> Iterator[T]:
        """What the thread makes, until it is done; nothing if it is stuck.

        What is out cannot be made again: then the thread is waited for.
        """
        held: list[T] = []
        size = 0
        try:
            self._start()
            while (made := self._next()) is not None:
                held += made
                size += _size(*made)
                if size > _MOST_HELD:
                    self._may_be_left = False
                    yield from held
                    held.clear()
            if self.stuck is None:
                yield from held
        finally:
            self._is_left = True
            os.close(self._note)

    def _start(self) -> None:
        """Have the thread begin; without one this thread makes the view, and waits."""
        try:
            self.thread.start()
        except RuntimeError:
            # RLIMIT_NPROC allows no further thread.
            self._may_be_left = False
            self._run()

    def _next(self) -> tuple[T] | None:
        before: Noted | None = None
        while True:
            try:
                made = self._made.get(timeout=_LOOK_SECONDS if self._may_be_left else None)
            except queue.Empty:
                now = self._blocked_read()
                if now and now == before and now.path not in self._left_out:
                    self.stuck = now.path
                    return None
                before = now
                continue
            if isinstance(made, BaseException):
                raise made
            return made

    def _blocked_read(self) -> Noted | None:
        read, task = noted(self._note), f"self/task/{self.thread.native_id}"
        return read if read and is_blocked(self._root, task) else None


def _kept(opened: ExitStack, descriptor: int) -> int:
    """A descriptor that is closed with `opened`."""
    opened.callback(os.close, descriptor)
    return descriptor


def _size(piece: object) -> int:
    """The bytes of a piece of a content; a record, which comes alone, has none."""
    return len(piece) if isinstance(piece, bytes) else 0
