"""A view of one file is the same whether it is made in one piece or in many."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.decoding.render import content_of
from procmirror.decoding.view import Machine, View
from procmirror.mirror.snapshot import Snapshot
from procmirror.procfs.file_reading import THIS_THREAD, FileReading
from procmirror.views import VIEWS
from procmirror.workers import view_operations
from procmirror.workers.operation import Viewer
from procmirror.workers.spool import Spool
from procmirror.workers.view_operations import DecodeFile, MakeView

ENVIRON = b"".join(b"VARIABLE_%d=value of it\0" % number for number in range(2000))
SPACE = 64 << 20


class Near:
    """The context of an operation in this thread."""

    own = -1
    files: FileReading = THIS_THREAD

    def __init__(self) -> None:
        self.reports = 0
        self.growth: list[int] = []

    def unseen(self) -> bytes:
        return b""

    def progress(self) -> None:
        self.reports += 1

    def grown(self, spool: Spool) -> None:
        self.growth.append(spool.size)

    def machine(self, viewer: Viewer) -> Machine:
        del viewer
        return Machine()

    def content(self, view: View, suffix: str, raw: bytes, machine: Machine) -> bytes:
        return content_of(view, suffix, view.decoded(raw, machine), machine)

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> Snapshot:
        return Snapshot(view, suffix, self.machine(viewer), None, None, -1, -1)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "environ").write_bytes(ENVIRON)
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def content(made: object) -> bytes:
    if isinstance(made, bytes):
        return made
    assert isinstance(made, Spool)
    try:
        return os.pread(made.number, made.size, 0)
    finally:
        os.close(made.number)


@pytest.mark.parametrize("suffix", ["txt", "json"])
@pytest.mark.parametrize("limit", [1 << 10, 1 << 30])
def test_a_short_and_a_long_file_are_decoded_alike(
    directory: int, suffix: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_operations, "_AT_ONCE_BYTES", limit)
    viewer = Viewer()
    decoded = DecodeFile(b"environ", "PID/environ", suffix, viewer, SPACE)
    made = MakeView(b"", "PID/environ", suffix, viewer, SPACE)
    assert content(decoded.run((directory,), Near())) == content(made.run((directory,), Near()))


def test_a_long_file_reports_that_it_goes_on(directory: int) -> None:
    context = Near()
    operation = DecodeFile(b"environ", "PID/environ", "txt", Viewer(), SPACE)
    content(operation.run((directory,), context))
    assert context.reports >= 3, "for what is read, and for each piece that is made of it"


def test_a_content_beyond_the_space_is_refused(directory: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Too many open files in system") as refused:
        DecodeFile(b"environ", "PID/environ", "json", Viewer(), 100_000).run((directory,), Near())
    assert refused.value.errno == errno.ENFILE
    assert len(os.listdir("/proc/self/fd")) == before


def test_views_of_one_file_have_no_stamp() -> None:
    """`DecodeFile` knows no host name and no time."""
    assert not [view.name for view in VIEWS if view.decode and view.stamped]
