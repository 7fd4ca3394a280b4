"""Views as records: decoded from bytes, or read from a procfs, a captured tree or a mirror.

Everything is read with the rights of the calling thread. There are two kinds of errors: OSError is
the system's answer; DecodeError means that a file does not have the form that this version knows.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeAlias, get_args, get_origin

from procmirror.decoding import render
from procmirror.decoding.view import Each, Machine, Record, View
from procmirror.mirror.bounded_snapshot import bounded
from procmirror.mirror.find import find
from procmirror.procfs.machine import Facts
from procmirror.procfs.mapped import ProcessSources
from procmirror.procfs.read_note import Reads
from procmirror.procfs.reading import Sources, path_from_root
from procmirror.views import VIEWS
from procmirror.views.pid.process import Listed

PathLike: TypeAlias = "str | os.PathLike[str]"
_NAMESPACES = ("net", "uts", "ipc", "cgroup", "time", "pid", "user", "mnt")


def list_views() -> list[str]:
    """The names of all views: the path of the source, with PID for the number of a process."""
    return [view.name for view in VIEWS]


def schema(view: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a view's JSON; of one line if it has a record a line.

    Units are given as `unit` beside the description of a field. Raises FileNotFoundError if there
    is no such view.
    """
    return render.schema(_view(view))


def record(view: str) -> type[Record]:
    """The class of a view's record; of its elements, where it has many.

    Raises FileNotFoundError if there is no such view, and TypeError for a view whose elements have
    no class of their own (numbers, texts).
    """
    found: Any = _view(view).record
    # A list has the class of its elements, a choice that of its first record.
    while not isinstance(found, type) or get_origin(found) is not None:
        arguments = get_args(found)
        if not arguments:
            break
        found = arguments[0] if get_origin(found) is not dict else arguments[-1]
    if not isinstance(found, type) or not issubclass(found, Record):
        raise TypeError(f"{view}: its elements are of no class of their own")
    return found


def decode(view: str, data: bytes, *, machine: Machine | None = None) -> Any:
    """The record in the content of one file: `decode("PID/stat", data)`, `decode("meminfo", data)`.

    `machine` has facts that the file does not contain (page size, ticks a second, time of the boot,
    names of users); without it these are 4096, 100, unknown and none. Raises DecodeError if `data`
    is not such a file, FileNotFoundError if there is no such view, and OSError(ENOTSUP) for a view
    that is made from several files.
    """
    found = _view(view)
    if found.decode is None:
        raise OSError(errno.ENOTSUP, "made from several files", view)
    return found.decoded(bytes(memoryview(data)), machine or Machine())


def read(path: PathLike, *, root: PathLike = "/proc", machine: Machine | None = None) -> Any:
    """The record of a view: `read("1/status")`, `read("self/fd")`, `read("net/tcp")`.

    `path` is relative to `root`, with or without `.json`. A view of many records is a list. Raises
    the system's OSError, and DecodeError.
    """
    with Tree(root, machine=machine) as tree:
        return tree.read(path)


def processes(*, root: PathLike = "/proc", machine: Machine | None = None) -> Iterator[Listed]:
    """All processes that the caller may see, one record each, in the order of their numbers.

    A process that ends meanwhile is left out. A part that the caller may not read is None and is
    named in `incomplete`. Raises the system's OSError, and FileNotFoundError where there is no
    process: `root` is no procfs.
    """
    with Tree(root, machine=machine) as tree:
        yield from tree.processes()


class Tree:
    """A procfs, a captured tree in the shape of one, or a mirror, held open for many reads.

    `root` is its path. `machine` has the facts of the machine that a captured tree comes from;
    without it the facts of this machine are used.
    """

    def __init__(self, root: PathLike = "/proc", *, machine: Machine | None = None) -> None:
        self._path = os.fspath(root)
        try:
            self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except ValueError:  # a NUL, or what is no byte of a name
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(root)) from None
        self._machine = machine or self._facts()

    def __enter__(self) -> Self:
        """Use it in a with statement; its descriptor is closed at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the tree."""
        self.close()

    def close(self) -> None:
        """Close the descriptor."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _facts(self) -> Machine:
        namespaces = {}
        for kind in _NAMESPACES:
            with suppress(OSError):
                namespaces[kind] = os.readlink(f"self/ns/{kind}", dir_fd=self._root)
        return Facts(self._root).machine(namespaces, named=True)

    def read(self, path: PathLike) -> Any:
        """The record of a view, as the function `read` gives it."""
        path = os.fspath(path)
        view, names = self._view_of(path)
        made = self._records_of(view, names)
        try:
            return next(made)
        except OSError as refused:
            # Sources are named as the view's directory has them; the caller knows the path.
            raise OSError(refused.errno, refused.strerror, path) from refused
        finally:
            made.close()

    def processes(self) -> Iterator[Listed]:
        """All processes, as the function `processes` gives them."""
        found = self.read("processes")
        if not found:
            raise FileNotFoundError(errno.ENOENT, "there are no processes", self._path)
        yield from found

    def _view_of(self, path: str) -> tuple[View, list[str]]:
        """The view of a path, and the directories above it; behind a link of the root, as `mounts`.

        Of a process's view these begin with its number, or with `self`.
        """
        names, view = _directory(path), _view(path)
        if not names and view.decode:
            with suppress(OSError):
                target = os.readlink(view.entry, dir_fd=self._root)
                return _view(target), _directory(target)
        return view, names

    def _records_of(self, view: View, names: Sequence[str]) -> Generator[Any, None, None]:
        """One record or one list; the sources are closed afterwards."""
        first = names[0] if names and view.place.startswith("PID") else "."
        directory = os.open(first, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root)
        prefix = "/".join(names[1:] if first != "." else names).encode()
        myself = self._myself()

        def make(
            directory: int, root: int, reads: Reads, progress: Callable[[], None]
        ) -> Iterator[Any]:
            sources = _sources(view, (directory, prefix, root), myself, reads, progress)
            try:
                record = view.record_of(sources, self._machine)
                if isinstance(record, Each):
                    record = record.content(sources.each(record))
                yield view.guarded(_complete, record, self._machine)
            finally:
                sources.close()

        try:
            if view.join and myself:
                yield from bounded(directory, prefix, self._root, make)
            else:
                yield from make(directory, self._root, Reads(), _no_progress)
        finally:
            os.close(directory)

    def _myself(self) -> bytes | None:
        """The number of this process in the procfs; None in a copy, where `self` leads nowhere."""
        try:
            myself: bytes = os.readlink(b"self", dir_fd=self._root)
            os.stat(b"self/", dir_fd=self._root)
        except OSError:
            return None
        return myself


class _Captured(Sources):
    """A folder in which `self` leads nowhere, as in copies: `net` is a folder of its own."""

    def _path(self, path: str) -> bytes:
        return super()._path(path.removeprefix("self/"))


def _sources(
    view: View,
    place: tuple[int, bytes, int],
    myself: bytes | None,
    reads: Reads,
    progress: Callable[[], None],
) -> Sources:
    """The sources of a view; its place is a directory, the path below it, and the root."""
    directory, prefix, root = place
    kind = Sources if myself else _Captured
    if view.whole:
        itself = path_from_root(directory, prefix)
        return kind(root, b"", itself, None, progress, reads)
    if view.join and view.place.startswith("PID"):
        return ProcessSources(
            directory, prefix, myself, progress, root, root, reads=reads.of_process()
        )
    return kind(directory, prefix, myself, None, progress, reads)


def _complete(record: Any, _: Machine) -> Any:
    """A record as it is, an iterator of records as a list."""
    return list(record) if isinstance(record, Iterator) else record


def _no_progress() -> None:
    """Report no progress: nothing waits for this."""


def _view(path: str) -> View:
    try:
        return find(path)
    except LookupError:
        raise FileNotFoundError(errno.ENOENT, "there is no such view", path) from None


def _directory(path: str) -> list[str]:
    """The directories above a file; OSError(EINVAL) for a path that leaves the root."""
    names = [name for name in path.removeprefix("/proc/").split("/") if name not in {"", "."}]
    if ".." in names or path.startswith("/") != path.startswith("/proc/"):
        raise OSError(errno.EINVAL, "not below the root", path)
    return names[:-1]
