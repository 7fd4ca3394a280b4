"""What an index contains, on a folder that stands for /proc."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.decoding.view import DecodeError, Machine
from procmirror.mirror import index_query
from procmirror.mirror.settings import Settings
from procmirror.mirror.snapshot import Snapshot
from procmirror.mirror.traits import show
from procmirror.procfs import reading

STATUS = "Name:\t{comm}\nUmask:\t0022\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t1\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"


def nothing() -> None:
    """Progress that nobody wants to know of."""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    for pid, comm, uid in ((40, "sh", 0), (41, "sh", 1000), (42, "a/b", 1000)):
        directory = tmp_path / str(pid)
        directory.mkdir()
        (directory / "comm").write_text(f"{comm}\n")
        (directory / "status").write_text(STATUS.format(pid=pid, comm=comm, uid=uid))
        (directory / "exe").symlink_to("/bin/sh")
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def wanted(root: int, index: str) -> Snapshot:
    machine = Machine(users={0: "root"})
    return Snapshot(index, "", machine, None, None, root, root)


def exists(root: int, path: str) -> bool:
    return index_query.link_exists(path.encode(), wanted(root, path.partition("/")[0]), nothing)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("by-name/sh/40", True),
        ("by-name/sh/41", True),
        ("by-name/sh/42", False),
        ("by-name/sh/43", False),
        ("by-user/root/40", True),
        ("by-user/0/40", True),
        ("by-user/1000/41", True),
        ("by-user/root/41", False),
        ("by-exe/bin/sh/pids/41", True),
        ("by-exe/bin/pids/41", False),
        ("by-parent/1/pids/41", True),
        ("by-parent/2/pids/41", False),
        ("by-name/sh", False),
        ("by-name", False),
        ("by-nothing/sh/40", False),
        ("by-name/sh/040", False),
        ("by-name/sh/40/40", False),
    ],
)
def test_a_link_exists_if_it_is_so_of_its_process(root: int, path: str, *, there: bool) -> None:
    assert exists(root, path) == there


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.ESRCH])
def test_what_the_kernel_refuses_to_tell_does_not_exist(
    root: int, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(reading, "content", refused)
    assert not exists(root, "by-name/sh/40")


def test_any_other_error_is_told(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(reading, "content", broken)
    with pytest.raises(OSError, match="Input/output error"):
        exists(root, "by-name/sh/40")


def test_what_does_not_decode_is_an_error_of_decoding(
    root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "content", lambda *_: b"Name:\tsh\n")
    with pytest.raises(DecodeError, match=r"no \w+ in status"):
        exists(root, "by-user/root/40")


def test_a_whole_index(root: int) -> None:
    table = index_query.table(wanted(root, "by-name"), nothing)
    assert sorted(table["sh"]) == ["40", "41"]
    assert not any("/" in name for name in table[""])


def test_hidden_names_and_links_to_hidden_processes() -> None:
    try:
        assert not index_query.hides(b"by-name/sh/40")
        show(Settings(hidden=("sh",)))
        assert index_query.hides(b"by-name/sh")
        show(Settings(hidden=("PID",)))
        assert index_query.hides(b"by-name/sh/40")
        assert not index_query.hides(b"by-name/sh")
    finally:
        show(Settings())
