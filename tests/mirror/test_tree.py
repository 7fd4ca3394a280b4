"""What the mirror contains, on a folder that stands for a directory of /proc."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from procmirror.mirror import tree
from procmirror.mirror.listing import Lookups, listing, names_in
from procmirror.mirror.settings import Settings
from procmirror.mirror.traits import directory, searched, show
from procmirror.procfs import proc


@pytest.fixture(autouse=True)
def shown_as_before() -> Iterator[None]:
    yield
    show(Settings())


@pytest.fixture
def process(tmp_path: Path) -> Iterator[int]:
    for name in ("status", "environ", "unknown"):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / name).chmod(0o400)
    (tmp_path / "fd").mkdir(mode=0o500)
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def names(descriptor: int, path: str = "PID") -> set[bytes]:
    return {name for name, _ in listing(descriptor, directory(path), os.listdir(descriptor))}


def test_views_stand_beside_their_sources(process: int) -> None:
    assert names(process) >= {
        *(b"status", b"status.txt", b"status.json", b"environ", b"environ.json", b"unknown"),
        *(b"fd", b"fd.json"),
    }
    assert b"unknown.json" not in names(process)
    assert b"stat.json" not in names(process)


def test_a_view_has_the_rights_of_its_source_and_no_size(process: int) -> None:
    found = dict(listing(process, directory("PID"), ["environ", "fd"]))
    assert found[b"environ.json"].mode == stat.S_IFREG | 0o400
    assert found[b"environ.json"].uid == os.getuid()
    # A directory's view is a file that whoever may list the directory may read.
    assert found[b"fd.json"].mode == stat.S_IFREG | 0o400
    assert found[b"fd.json"].nlink == 1
    assert found[b"environ.json"].size == 0
    assert found[b"environ.json"].blksize == 1 << 17


def test_what_has_vanished_is_left_out(process: int) -> None:
    assert {name for name, _ in listing(process, directory("PID"), ["status", "gone"])} >= {
        b"status"
    }
    assert b"gone" not in {name for name, _ in listing(process, directory("PID"), ["gone"])}


def test_a_listed_type_is_that_of_stat() -> None:
    """Of all names in real directories, views and links of the root among them."""
    own = str(os.getpid())
    for path in ("", "PID", "PID/ns", "PID/fd", "PID/fdinfo", "PID/task/TID", "PID/net", "sys/vm"):
        real = path.replace("TID", own).replace("PID", own) or "."
        opened = proc.open_directory(at := proc.open_directory(-1, b"/proc"), real.encode())
        traits = directory(path)
        look = Lookups(opened, traits)
        found = names_in(at, real.encode(), path)
        assert len(found) > 2
        for name, kind in found:
            # Who has just ended, and the descriptor that read the names.
            with suppress(FileNotFoundError):
                assert stat.S_IFMT(look.attributes(name).mode) == kind, (path, name)
        os.close(opened)
        os.close(at)


def test_only_chosen_formats_are_shown(process: int) -> None:
    show(Settings(suffixes=frozenset({"txt"})))
    assert {b"status.txt"} == {name for name in names(process) if name.startswith(b"status.")}
    show(Settings(suffixes=frozenset()))
    assert names(process) == {b"status", b"environ", b"unknown", b"fd"}
    assert directory("").indexes == ()


@pytest.mark.parametrize("glob", ["environ", "PID/environ", "env*", "*/environ"])
def test_a_hidden_entry_hides_its_views_in_threads_too(process: int, glob: str) -> None:
    show(Settings(hidden=(glob,)))
    for path in ("PID", "PID/task/TID"):
        assert not {name for name in names(process, path) if b"environ" in name}
        assert directory(path).hides(b"environ")
    assert b"status.json" in names(process)


def test_a_hidden_view_leaves_its_source(process: int) -> None:
    show(Settings(hidden=("PID/status.json",)))
    assert names(process) >= {b"status", b"status.txt"}
    assert b"status.json" not in names(process)


def test_indexes_stand_in_the_root_only() -> None:
    assert b"by-name" in directory("").indexes
    assert directory("").has_index(b"by-name")
    assert not directory("PID").has_index(b"by-name")
    index = directory("").below(b"by-name")
    assert index.is_index
    assert index.below(b"anything") is index
    assert not index.public
    show(Settings(hidden=("by-name",)))
    assert b"by-name" not in directory("").indexes


def test_a_directory_that_not_everybody_may_search_is_private() -> None:
    traits = directory("PID/attr")
    assert traits.public
    assert searched(traits, 0o555) is traits
    assert not searched(traits, 0o500).public
    assert not searched(directory("PID/fd"), 0o777).public


def test_attributes_of_indexes() -> None:
    root = proc.Attributes(stat.S_IFDIR | 0o700, 1, 9, 7, 7, 5, 5, 1024, 1, 2, 3)
    shown = tree.index_attributes(b"by-name", root)
    assert (shown.mode, shown.uid, shown.nlink) == (stat.S_IFDIR | 0o555, 0, 1)
    link = tree.index_attributes(b"by-name/sh/77", root)
    assert (link.mode, link.size) == (stat.S_IFLNK | 0o777, len("../../77"))
    assert (link.atime, link.mtime, link.ctime) == (1, 2, 3)


def test_what_may_not_be_looked_at_is_left_out_and_the_rest_is_listed(
    process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = proc.attributes

    def refused(descriptor: int, name: bytes) -> proc.Attributes:
        if name == b"environ":
            raise PermissionError
        return real(descriptor, name)

    monkeypatch.setattr(proc, "attributes", refused)
    assert b"environ" not in names(process)
    assert b"status" in names(process)
