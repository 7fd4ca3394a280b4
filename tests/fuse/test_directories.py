"""An open directory pays for its names, which are looked at where they are asked for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse import directories
from procmirror.fuse.directories import Directories
from procmirror.fuse.execution import Execution
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.quota import Quota
from procmirror.identity.identity import Identity
from procmirror.mirror.traits import directory
from procmirror.procfs.proc import Attributes, Name
from procmirror.workers.directory_operations import ReadNames
from procmirror.workers.operation import Descriptors

WES = 1000
IDENTITY = Identity(WES, WES, (), 0)
SPACE = 64 << 20


class Scene:
    """A folder of files, as an open directory of an account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.quota = Quota()
        node: Any = SimpleNamespace(traits=directory("bus"), path=b"", is_long=False)
        self.listing = OpenDirectory(node, IDENTITY, WES, self.quota.charge)
        self.listing.descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def fill(self, count: int) -> None:
        for number in range(count):
            (self.folder / f"{number:04}").touch()

    def names(self, numbers: range) -> list[bytes]:
        """The names at these places."""
        return [name for name, _ in self.listing.names[numbers.start : numbers.stop]]

    @property
    def paid(self) -> int:
        return SPACE - self.quota.space(WES)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    os.close(made.listing.descriptor)


def test_names_keep_their_places_and_are_looked_at_when_asked_for(scene: Scene) -> None:
    scene.fill(3)
    scene.listing.show([(b"0002", stat.S_IFREG), (b"gone", 0), (b"0000", stat.S_IFREG)])
    scene.listing.look()
    looked = [scene.listing.attributes(place) for place in (2, 1, 0)]
    assert [one and stat.S_IFMT(one.mode) for one in looked] == [stat.S_IFREG, None, stat.S_IFREG]
    assert [name for name, _ in scene.listing.all_entries()] == [b"0002", b"0000"]


def test_names_are_paid_for_once(scene: Scene) -> None:
    for _ in range(2):
        scene.listing.show([(b"name", 0)] * 500)
        assert scene.paid == 500 * 100


def test_an_account_that_holds_too_much_gets_no_further_names(scene: Scene) -> None:
    scene.quota.charge(WES, 0, scene.quota.space(WES) - 100 * 100)
    scene.listing.show([(b"name", 0)] * 100)
    with pytest.raises(OSError, match="Too many open files in system") as refused:
        scene.listing.show([(b"name", 0)] * 101)
    assert refused.value.errno == errno.ENFILE
    assert len(scene.listing.names) == 100


def test_a_reader_that_begins_again_sees_what_is_there_now(scene: Scene) -> None:
    nothing: Any = None

    async def run(operation: ReadNames, at: Descriptors, _: object) -> list[Name] | None:
        return operation.run(at(), nothing)

    dispatch: Any = SimpleNamespace(run=run, number=b"1000")
    opened = Directories(nothing, scene.quota, dispatch, nothing)
    execution: Any = object()
    scene.listing.execution = execution

    def begun() -> int:
        trio.run(opened.begin, scene.listing)
        return len(scene.listing.names)

    scene.fill(2)
    # The first READDIR is the first reading, and no second one.
    assert begun() == 0
    assert begun() == 2
    scene.fill(3)
    assert begun() == 3


def test_a_directory_of_many_names_is_not_read_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there were too many for the daemon, only a worker reads them the next time."""
    monkeypatch.setattr(directories, "_MANY", 3)
    nothing: Any = None
    asked: list[tuple[str, int]] = []

    async def run(operation: Any, at: Descriptors, _: object) -> Any:
        asked.append((type(operation).__name__, getattr(operation, "most", -1)))
        return operation.run(at(), nothing)

    dispatch: Any = SimpleNamespace(run=run)
    source: Any = SimpleNamespace(descriptors=lambda _: (scene.listing.descriptor,))
    execution = Execution(IDENTITY, nothing, nothing, here=True)
    scene.listing.execution, scene.listing.read = execution, True
    scene.listing.node.process = nothing
    opened = Directories(source, scene.quota, dispatch, nothing)

    def begun() -> list[tuple[str, int]]:
        asked.clear()
        trio.run(opened.begin, scene.listing)
        assert {name for name, _ in scene.listing.names} == set(
            os.listdir(os.fsencode(scene.folder))
        )
        return asked

    scene.fill(5)
    assert begun() == [("ReadNames", 3), ("ListNames", -1)]
    assert begun() == [("ReadNames", 0), ("ListNames", -1)]
    for number in range(4):
        (scene.folder / f"{number:04}").unlink()
    assert begun() == [("ReadNames", 0), ("ListNames", -1)]
    assert begun() == [("ReadNames", 3)]


def test_what_was_read_with_opendir_stays_as_it_was(scene: Scene) -> None:
    """The right to read it ended with OPENDIR."""
    descriptor, scene.listing.descriptor = scene.listing.descriptor, -1
    scene.listing.show_entries([(b"1", Attributes(*[0] * 11))])
    assert scene.names(range(5)) == [b"1"]
    assert scene.listing.attributes(0) == Attributes(*[0] * 11)
    scene.listing.descriptor = descriptor


def test_a_directory_that_cannot_be_opened_costs_nothing() -> None:
    quota, refusal = Quota(), PermissionError(errno.EACCES, "no")

    class Dispatch:
        """Refuses every listing."""

        def account_of(self, _: object) -> int:
            return WES

        def __getattr__(self, _: str) -> Any:
            raise refusal

    dispatch: Any = Dispatch()
    node: Any = SimpleNamespace(traits=directory("PID/fd"))
    requester: Any = SimpleNamespace(identity=IDENTITY)
    nothing: Any = None

    async def test() -> None:
        opened = Directories(nothing, quota, dispatch, nothing)
        with pytest.raises(PermissionError):
            await opened.open(node, requester)

    trio.run(test)
    assert quota.returned(WES) == -1
