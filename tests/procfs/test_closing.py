"""Who closes what a link stands for, or what a path leads to: it may be the last of a mount."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procmirror.identity import file_calls, namespaces
from procmirror.identity.errors import error
from procmirror.identity.ring import Cause
from procmirror.procfs import link_targets
from procmirror.procfs.file_reading import ByRing
from procmirror.procfs.link_targets import OwnMounts
from procmirror.procfs.process_reading import ProcessReading, Rights

OWN = os.open("/proc", os.O_PATH | os.O_DIRECTORY)


class Closed:
    """Closes, and notes what it was."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, descriptor: int, *_: object) -> None:
        self.names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        os.close(descriptor)


def by_ring(closed: Closed, is_held: Callable[[int], bool]) -> ByRing:
    """A ring that opens links as this thread does."""
    ring: Any = SimpleNamespace(
        open=lambda directory, path, flags, *_: os.open(path, flags, dir_fd=directory),
        close_object=closed,
    )
    return ByRing(ring, 0, Cause(None, 0), is_held)


@pytest.mark.parametrize("deleted", [True, False])
def test_the_last_descriptor_of_a_file_without_a_name_is_not_closed_here(
    tmp_path: Path, *, deleted: bool
) -> None:
    """Its content goes with it, which takes half a second for 3 GiB in memory."""
    closed = Closed()
    file = tmp_path / "file"
    with file.open("wb") as opened:
        if deleted:
            file.unlink()
        link = link_targets.link_with_object(
            OWN,
            b"self/fd/%d" % opened.fileno(),
            OWN,
            files=by_ring(closed, lambda _: True),
        )
    assert link.object and len(closed.names) == deleted


def test_where_the_mounts_cannot_be_read_nothing_counts_as_held(tmp_path: Path) -> None:
    def refused(_: int) -> bool:
        raise error(errno.ENOMEM)

    closed = Closed()
    with (tmp_path / "file").open("wb") as opened:
        path = b"self/fd/%d" % opened.fileno()
        link_targets.link_with_object(OWN, path, OWN, files=by_ring(closed, refused))
    assert closed.names == [str(tmp_path / "file")]


def test_what_a_path_leads_to_is_closed_by_who_is_to_close_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    path, found = bytes(file), file.stat()
    root = os.open("/", os.O_PATH)
    closed = Closed()
    known = link_targets.cached_object(OWN, os.getpid(), path, closed)
    assert known[2] == found.st_ino
    assert closed.names == ["/", str(file)]
    elsewhere = link_targets.leads_elsewhere(
        root, path, known[1], found.st_ino, cached=True, close=closed
    )
    assert elsewhere is False and closed.names[2:] == [str(file)]
    os.close(root)


def test_mounts_that_could_not_be_read_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """That they have changed is told once."""
    mounts = OwnMounts(OWN)
    before = [one.mount_id for one in mounts.all()]
    changed = iter([True, False])
    mounts._changes = SimpleNamespace(poll=lambda _: next(changed))  # type: ignore[assignment]

    def refused(*_: object) -> bytes:
        raise error(errno.ENOMEM)

    with monkeypatch.context() as failing:
        failing.setattr(os, "read", refused)
        with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
            mounts.all()
    assert mounts._mounts is None
    assert [one.mount_id for one in mounts.all()] == before


def test_only_eperm_says_that_a_user_namespace_is_the_outermost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another error is one, or an inner namespace would count as the outermost."""

    def refused(_: int) -> int:
        raise error(errno.EMFILE)

    monkeypatch.setattr(file_calls, "parent_of_namespace", refused)
    descriptor = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        namespaces.outermost_around(descriptor, 0)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(descriptor)


def test_the_right_of_a_look_at_oneself_opens_no_directory_of_others(tmp_path: Path) -> None:
    """With it a process would learn the size of a mapped file that it can no longer go to."""
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    found, within = file.stat(), 0

    @contextmanager
    def without_self() -> Iterator[None]:
        nonlocal within
        within += 1
        yield

    directory = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
    rights = Rights(without_self=without_self)
    reading = ProcessReading(directory, b"", None, lambda: None, OWN, rights=rights)
    device = f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}"
    status = reading.mapped_file(("0x1000", "0x2000"), str(file), device, found.st_ino)
    assert (status.size, within) == (5, 1)

    def refused() -> AbstractContextManager[None]:
        raise error(errno.EACCES)

    reading._rights = rights._replace(without_self=refused)
    with pytest.raises(PermissionError):
        reading.mapped_file(("0x1000", "0x2000"), str(file), device, found.st_ino)
    reading.close()
    os.close(directory)


@pytest.mark.parametrize("prefix", [b"", b"self/task/1"])
def test_of_the_process_that_makes_a_view_of_another_nothing_is_told(prefix: bytes) -> None:
    """The kernel asks no right of who looks at itself: a user would see where it has a pipe."""
    number, others = os.getpid(), "../" * (3 if prefix else 1)
    directory = os.open("/proc/1", os.O_PATH | os.O_DIRECTORY)
    told = ProcessReading(directory, prefix, None, lambda: None, OWN)
    # Where it has no prefix, the others are beside the directory itself.
    if not prefix:
        assert told.names(f"{others}{number}/fd")
    itself = Rights(itself=b"%d" % number)
    reading = ProcessReading(directory, prefix, None, lambda: None, OWN, rights=itself)
    asked: list[Callable[[], object]] = [
        lambda: reading.names(f"{others}{number}/fd"),
        lambda: reading.names(f"{others}{number}"),
        lambda: reading.link(f"{others}{number}/fd/0"),
        lambda: reading.read(f"{others}{number}/comm"),
        lambda: reading.part(f"{others}{number}/maps", 0, 10),
        lambda: list(reading.lines(f"{others}{number}/maps")),
        lambda: reading.size(f"{others}{number}/fd"),
    ]
    for one in asked:
        with pytest.raises(PermissionError):
            one()
    if not prefix:
        assert reading.read(f"{others}{os.getppid()}/comm")
    told.close()
    reading.close()
    os.close(directory)
