"""An open directory pays for the names it keeps, keeps the last of many, and goes back all the same."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse import directories
from procmirror.fuse.directories import Directories, OpenDirectory
from procmirror.fuse.quota import Quota
from procmirror.identity.identity import Identity
from procmirror.mirror import tree

WES = 1000
IDENTITY = Identity(WES, WES, (), 0)
SPACE = 64 << 20


class Scene:
    """A folder of files, as an open directory of an account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.quota = Quota()
        node: Any = SimpleNamespace(traits=tree.directory("bus"), is_listed=lambda _: False)
        self.listing = OpenDirectory(node, IDENTITY, WES, self.quota.charge)
        self.listing.descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def fill(self, count: int) -> None:
        for number in range(count):
            (self.folder / f"{number:04}").touch()

    def names(self, numbers: range) -> list[bytes]:
        """The names at these places."""
        found = [self.listing.nth(number) for number in numbers]
        return [entry[0] for entry in found if entry]

    @property
    def paid(self) -> int:
        return SPACE - self.quota.space(WES)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    os.close(made.listing.descriptor)


def test_of_many_entries_the_last_are_kept_and_the_first_are_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "_WINDOW", 64)
    scene.fill(500)
    scene.listing.begin()
    names = scene.names(range(600))
    assert sorted(names) == sorted(os.fsencode(path.name) for path in scene.folder.iterdir())
    assert len(scene.listing.entries) <= 128
    # The kernel comes back to some of its last answer, and a reader anywhere.
    assert scene.names(range(440, 500)) == names[440:]
    assert scene.names(range(10)) == names[:10]
    assert scene.names(range(495, 600)) == names[495:]


def test_names_and_entries_are_paid_for_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "_WINDOW", 64)
    scene.fill(500)
    scene.listing.begin()
    assert scene.paid == 500 * 100
    scene.names(range(1))
    assert scene.paid == 500 * 100 + 64 * 800
    scene.names(range(500))
    most = scene.paid
    assert 500 * 100 + 128 * 800 <= most <= 500 * 100 + 192 * 800
    scene.names(range(500))
    assert scene.paid == most


def test_an_account_that_holds_too_much_gets_no_further_names(scene: Scene) -> None:
    scene.fill(200)
    scene.listing.begin()
    scene.quota.charge(WES, 0, scene.quota.space(WES) - 100 * 800)
    assert len(scene.names(range(64))) == 64
    with pytest.raises(OSError, match="Too many open files in system") as refused:
        scene.names(range(64, 200))
    assert refused.value.errno == errno.ENFILE


def test_a_reader_that_begins_again_sees_what_is_there_now(scene: Scene) -> None:
    scene.fill(2)
    scene.listing.begin()
    # The first READDIR is the first reading, and no second one.
    scene.listing.again()
    assert len(scene.names(range(5))) == 2
    scene.fill(3)
    assert len(scene.names(range(5))) == 2
    scene.listing.again()
    assert len(scene.names(range(5))) == 3


def test_what_was_read_with_opendir_stays_as_it_was(scene: Scene) -> None:
    """The right to read it ended with OPENDIR."""
    descriptor, scene.listing.descriptor = scene.listing.descriptor, -1
    scene.listing.entries = [(b"1", tree.KNOWN)]
    for _ in range(2):
        scene.listing.again()
        assert scene.names(range(5)) == [b"1"]
    scene.listing.descriptor = descriptor


def test_a_directory_that_cannot_be_opened_costs_nothing() -> None:
    quota, refusal = Quota(), PermissionError(errno.EACCES, "no")

    class Dispatch:
        """Refuses every listing."""

        refusals = SimpleNamespace(refuse_confined_for=lambda *_: None)

        def account_of(self, _: object) -> int:
            return WES

        def __getattr__(self, _: str) -> Any:
            raise refusal

    dispatch: Any = Dispatch()
    node: Any = SimpleNamespace(traits=tree.directory("PID/fd"))
    requester: Any = SimpleNamespace(identity=IDENTITY)
    nothing: Any = None

    async def test() -> None:
        opened = Directories(nothing, nothing, quota, dispatch, nothing)
        with pytest.raises(PermissionError):
            await opened.open(node, requester)

    trio.run(test)
    assert quota.returned(WES) == -1
