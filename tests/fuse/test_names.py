"""What the kernel may keep of names, without a mount: fakes stand for procfs and for the kernel."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from procmirror.fuse.names import ATTRIBUTES_SECONDS, NAME_SECONDS, KeptNames
from procmirror.fuse.nodes import Node, Nodes
from procmirror.mirror.traits import directory
from procmirror.procfs.processes import Proc, Process

DIRECTORY, FILE, LINK = stat.S_IFDIR | 0o555, stat.S_IFREG | 0o444, stat.S_IFLNK | 0o777


class Names:
    """A root with a process 7 in it, of which the procfs says what the test wants."""

    def __init__(self, root: int, clock: SimpleNamespace) -> None:
        self.nodes = Nodes(directory(""), lambda _: None)
        self.source = SimpleNamespace(
            hides=None, root=root, is_there=lambda _: False, has=lambda _: False
        )
        self.invalidated: list[bytes] = []
        self.kept = KeptNames(
            cast("Proc", self.source), self.nodes, lambda node: self.invalidated.append(node.name)
        )
        self.clock = clock
        self.process = self.add(self.nodes.root, b"7", Process(b"7", 1), directory("PID"))

    def add(self, parent: Node, name: bytes, process: Any, traits: Any = None) -> Node:
        return self.nodes.add(parent, name, process, name, traits, None)

    def times(self, node: Node, mode: int, *, listed: bool = False) -> tuple[float, float]:
        assert node.parent
        return self.kept.kept_for(node, node.parent, mode, listed=listed)

    def missing(self, *, name: object = None, thread: int = 9) -> int:
        return self.kept.errno_of_missing(self.process.number, name, thread, errno.ENOENT)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    (tmp_path / "8").mkdir()
    root = os.open(tmp_path, os.O_RDONLY)
    yield Names(root, clock)
    os.close(root)


def test_a_directory_that_is_walked_through_again_keeps_its_name(names: Names) -> None:
    assert names.times(names.process, DIRECTORY) == (0, ATTRIBUTES_SECONDS)
    assert names.times(names.process, DIRECTORY) == (NAME_SECONDS, 0)
    names.clock.now += 2 * NAME_SECONDS
    assert names.times(names.process, DIRECTORY) == (0, ATTRIBUTES_SECONDS)


def test_a_directory_that_was_listed_keeps_its_name(names: Names) -> None:
    assert names.times(names.process, DIRECTORY, listed=True) == (NAME_SECONDS, 0)


def test_a_file_and_a_link_of_a_process_keep_their_attributes(names: Names) -> None:
    process = names.process.process
    file, link = (
        names.add(names.process, b"stat", process),
        names.add(names.process, b"exe", process),
    )
    for _ in range(2):
        assert names.times(file, FILE) == (0, ATTRIBUTES_SECONDS)
        assert names.times(link, LINK) == (0, ATTRIBUTES_SECONDS)


def test_a_link_of_the_root_keeps_its_name(names: Names) -> None:
    link = names.add(names.nodes.root, b"mounts", None)
    names.times(link, LINK)
    assert names.times(link, LINK) == (NAME_SECONDS, 0)


def test_no_name_is_kept_where_the_answer_depends_on_the_requester(names: Names) -> None:
    private = names.add(names.process, b"fd", names.process.process, directory("PID/fd"))
    entry = names.add(private, b"0", names.process.process)
    assert names.times(entry, LINK) == (0, ATTRIBUTES_SECONDS)
    assert names.times(entry, FILE, listed=True) == (0, ATTRIBUTES_SECONDS)
    index = names.add(names.nodes.root, b"by-user", None, directory("by-user"))
    assert names.times(names.add(index, b"0", None), LINK) == (0, 0)
    names.source.hides = "invisible"
    assert names.times(entry, LINK) == (0, 0)
    assert names.times(names.process, DIRECTORY, listed=True) == (0, 0)


def test_attributes_of_a_setting_are_kept_until_somebody_in_other_namespaces_asks(
    names: Names,
) -> None:
    """Owner and mode of those below sys/net are those of the requester's network namespace."""
    settings = names.add(names.nodes.root, b"sys", None, directory("sys"))
    setting = names.add(settings, b"a", None)
    assert names.times(setting, FILE) == (0, ATTRIBUTES_SECONDS)
    assert names.times(setting, DIRECTORY, listed=True) == (0, ATTRIBUTES_SECONDS)
    settings.asked_apart = True
    assert names.times(setting, FILE) == (0, 0)


def test_listed_names_have_nodes_only_where_the_kernel_may_keep_them(names: Names) -> None:
    kept, root = names.kept.kinds_kept, names.nodes.root
    assert kept(root) == {stat.S_IFDIR, stat.S_IFLNK}
    assert kept(names.process) == {stat.S_IFDIR}
    secret = names.add(names.process, b"fd", names.process.process, directory("PID/fd"))
    assert kept(secret) == frozenset()
    names.source.hides = "invisible"
    assert kept(root) == kept(names.process) == frozenset()


def test_each_thread_walks_anew_once_for_a_process_that_has_ended(names: Names) -> None:
    names.times(names.process, DIRECTORY, listed=True)
    assert names.missing() == errno.ESTALE
    assert names.missing() == errno.ENOENT
    assert names.missing(thread=10) == errno.ESTALE


def test_a_requester_without_a_thread_id_does_not_walk_anew(names: Names) -> None:
    names.times(names.process, DIRECTORY, listed=True)
    assert names.missing(thread=0) == errno.ENOENT


def test_what_the_kernel_cannot_have_kept_any_more_is_told_plainly(names: Names) -> None:
    names.times(names.process, DIRECTORY, listed=True)
    names.clock.now += 3 * NAME_SECONDS
    assert names.missing() == errno.ENOENT


def test_what_a_living_process_does_not_have_is_told_plainly(names: Names) -> None:
    names.times(names.process, DIRECTORY, listed=True)
    names.source.is_there = lambda _: True
    assert names.missing() == errno.ENOENT


def test_a_known_name_is_forgotten_and_told_plainly(names: Names) -> None:
    names.times(names.process, DIRECTORY, listed=True)
    names.add(names.process, b"stat", names.process.process)
    assert names.missing(name=b"stat") == errno.ENOENT
    assert b"stat" not in names.process.children


def test_names_of_ended_processes_are_invalidated_and_no_others(names: Names) -> None:
    """A number that is not listed may be that of a thread, which has a directory too."""
    names.add(names.nodes.root, b"8", Process(b"8", 2), directory("PID"))
    names.add(names.nodes.root, b"9", Process(b"9", 3), directory("PID"))
    names.source.has = lambda name: name == b"9"
    names.kept.invalidate_ended()
    assert names.invalidated == [b"7"]


def test_the_kernel_is_asked_once_a_minute_to_forget_a_name(names: Names) -> None:
    """It answers none of it while a user has the directory locked."""
    for _ in range(10):
        names.kept.invalidate_ended()
        names.clock.now += 2
    assert names.invalidated == [b"7"]
    names.add(names.nodes.root, b"9", Process(b"9", 3), directory("PID"))
    names.kept.invalidate_ended()
    assert names.invalidated == [b"7", b"9"]
    names.clock.now += 40
    names.kept.invalidate_ended()
    assert names.invalidated == [b"7", b"9", b"7"]
    names.nodes.forget(names.process.number, 0)
    names.kept.invalidate_ended()
    assert set(names.kept._asked) == {names.nodes.root.children[b"9"].number}
