"""One line a request, for `-d` and `-o debug`: operation, requester, place, time and errno.

A line has the operation, the path of the node, the thread and user of the requester, the place
where the operation ran, the lock of the target that it may have waited for, its duration in
microseconds, and its errno. It never has contents. Control characters in names are escaped.
"""

from __future__ import annotations

import errno
import inspect
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import pyfuse3

from procmirror.decoding.text import printable
from procmirror.fuse.nodes import Node
from procmirror.fuse.operations import ProcMirror
from procmirror.workers import request_note
from procmirror.workers.lock_queue import lock_in_words
from procmirror.workers.request_note import Note

log = logging.getLogger("procmirror.requests")

Handler = Callable[..., Coroutine[Any, Any, Any]]
# Operations whose first argument is the number of an open file or directory, not of a node.
_ON_HANDLES = frozenset(
    ("read", "write", "flush", "fsync", "release", "readdir", "releasedir", "fsyncdir")
)
# Operations with a name in a node: which argument is the node, the next one is the name.
_OF_NAMES = {
    **dict.fromkeys(("lookup", "getxattr", "setxattr", "removexattr", "mkdir", "mknod"), 0),
    **dict.fromkeys(("unlink", "rmdir", "create", "symlink", "rename"), 0),
    "link": 1,
}


class _Opened(NamedTuple):
    """Path and requester of an open file: FUSE names the requester with OPEN only."""

    path: str
    requester: str


_UNKNOWN = _Opened("?", "?")


def install(operations: ProcMirror, own: int) -> None:
    """Log all requests of a mirror from now on.

    `own` is a descriptor of the daemon's own procfs.
    """
    log_of_requests = _RequestLog(operations.node, operations.own_name, own)
    for name, _ in inspect.getmembers(pyfuse3.Operations, inspect.iscoroutinefunction):
        setattr(operations, name, log_of_requests.logged(name, getattr(operations, name)))


class _RequestLog:
    """The log of the requests of one mirror.

    `node_of` gives the node of an inode number, `own_name` the name of a file of the mirror itself,
    each None for any other number.
    """

    def __init__(
        self,
        node_of: Callable[[int], Node | None],
        own_name: Callable[[int], bytes | None],
        own: int,
    ) -> None:
        self._node_of = node_of
        self._own_name = own_name
        self._own = own
        self._opened: dict[int, _Opened] = {}

    def logged(self, name: str, handler: Handler) -> Handler:
        """A handler that does the same as `handler` and logs it."""

        async def logged(*arguments: Any) -> Any:
            about = self._known_about(name, arguments)
            note, code, start = Note(self._own), 0, time.perf_counter_ns()
            token = request_note.begin(note)
            try:
                answer = await handler(*arguments)
            except pyfuse3.FUSEError as refused:
                code = refused.errno
                raise
            except BaseException:
                code = errno.EINTR
                raise
            else:
                self._remember(name, about, arguments, answer)
                return answer
            finally:
                request_note.end(token)
                microseconds = (time.perf_counter_ns() - start) // 1000
                log.debug("%s", _line(name, about, note, microseconds, code))

        return logged

    def _known_about(self, name: str, arguments: tuple[Any, ...]) -> _Opened:
        """The path and the requester; `?` for both after a mistake, which would end the mount."""
        try:
            return self._about(name, arguments)
        except Exception:
            log.exception("a request could not be named: %s", name)
            return _UNKNOWN

    def _about(self, name: str, arguments: tuple[Any, ...]) -> _Opened:
        """The path and the requester of a request."""
        if name == "forget":
            return _Opened(f"{len(arguments[0])} nodes", "kernel")
        if name in _ON_HANDLES:
            return self._opened.get(arguments[0], _UNKNOWN)
        context = arguments[-1]
        first = _OF_NAMES.get(name, 0)
        path = self._path(arguments[first]) if isinstance(arguments[first], int) else ""
        if name in _OF_NAMES:
            path = f"{path.rstrip('/')}/{_escaped(arguments[first + 1])}"
        return _Opened(
            path, f"tid={getattr(context, 'pid', '?')} uid={getattr(context, 'uid', '?')}"
        )

    def _path(self, inode: int) -> str:
        """The path of a node; `inode:N` for a number that names none."""
        if node := self._node_of(inode):
            return _path(node)
        name = self._own_name(inode)
        return f"inode:{inode}" if name is None else f"/{_escaped(name)}"

    def _remember(self, name: str, about: _Opened, arguments: tuple[Any, ...], answer: Any) -> None:
        if name in {"open", "opendir"}:
            self._opened[getattr(answer, "fh", answer)] = about
        elif name in {"release", "releasedir"}:
            self._opened.pop(arguments[0], None)


def _line(name: str, about: _Opened, note: Note, microseconds: int, code: int) -> str:
    place = "at=ring" if note.by_ring else "at=here"
    # What the ring did not read soon, a worker has read.
    if note.workers:
        place = f"at=worker:{','.join(map(str, note.workers))} worker_us={note.microseconds()}"
    lock = f" lock={lock_in_words(note.lock)}" if note.lock is not None else ""
    outcome = errno.errorcode.get(code, str(code)) if code else "0"
    return (
        f'{name.upper()} path="{about.path}" {about.requester} {place}{lock} '
        f"us={microseconds} errno={outcome}"
    )


def _path(node: Node) -> str:
    names: list[str] = []
    while node.parent is not None:
        names.append(_escaped(node.name))
        node = node.parent
    return "/" + "/".join(reversed(names))


def _escaped(name: bytes) -> str:
    """A name on one line: control characters, quotation marks and backslashes escaped."""
    quoted = name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return printable(quoted.decode("utf-8", "backslashreplace"))
