"""A listing of an index serves for a moment whoever is the same in every respect, and nobody else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse import index_cache
from procmirror.fuse.index_cache import IndexCache
from procmirror.identity.requester import Requester
from procmirror.mirror.index.relations import Table
from procmirror.workers.view_operations import CheckLink, MakeTable
from tests.fuse.requesters import WES, FakeRequesters


class Scene:
    """A cache whose worker is the test: it counts the tables that are made."""

    def __init__(self, root: int) -> None:
        self.requesters = FakeRequesters()
        self.made = 0
        self.seconds = 0.1
        self.now = 1000.0
        self.table: Table = {"": ["nc"], "nc": ["40"]}
        self.exists = True
        self.named = True
        dispatch: Any = SimpleNamespace(
            placement_of=lambda *_: SimpleNamespace(account=1000),
            run=self._run,
        )
        proc: Any = SimpleNamespace(root=root, number=lambda *_: b"7")
        requesters: Any = self.requesters
        roots: Any = SimpleNamespace(own=root)
        names: Any = SimpleNamespace(are_of=lambda _: self.named)
        self.cache = IndexCache(proc, requesters, roots, dispatch, names)

    async def _run(self, operation: object, *_: object) -> Table | bool:
        if isinstance(operation, CheckLink):
            return self.exists
        assert isinstance(operation, MakeTable)
        self.made += 1
        self.now += self.seconds
        return self.table

    def names(self, requester: Requester, path: bytes = b"by-name") -> list[bytes]:
        """The names that a requester finds in a directory of an index."""

        async def listed() -> list[bytes]:
            return [name for name, _ in await self.cache.entries(path, requester)]

        return trio.run(listed)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    made = Scene(root)
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    yield made
    os.close(root)


def test_a_walk_asks_once_for_a_whole_index(scene: Scene) -> None:
    wes = scene.requesters.requester()
    assert scene.names(wes) == [b"nc"]
    assert scene.names(wes, b"by-name/nc") == [b"40"]
    assert scene.names(wes, b"by-name/other") == []
    assert scene.made == 1
    scene.names(wes, b"by-user")
    assert scene.made == 2


def test_whoever_differs_in_anything_gets_another_table(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_cache, "_WORTH", 1000)
    make = scene.requesters.requester
    requesters = [
        make(1),
        make(2, WES._replace(uid=1001)),
        make(3, WES._replace(groups=(5,))),
        make(4, WES._replace(capabilities=1)),
        make(5, net="2"),
        make(6, mnt="2"),
        make(7),
    ]
    scene.requesters.confined.add(7)
    for requester in requesters:
        scene.names(requester)
    assert scene.made == len(requesters)
    for requester in requesters:
        scene.names(requester)
    scene.names(make(8))
    assert scene.made == len(requesters)
    scene.named = False
    scene.names(make(8))
    assert scene.made == len(requesters) + 1


def test_of_whom_too_little_is_known_nothing_is_shared(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel without network namespaces shows none."""
    monkeypatch.setattr(scene.requesters.namespaces, "all_of", lambda _: {"user": "user:[1]"})
    for _ in range(2):
        scene.names(scene.requesters.requester())
    assert scene.made == 2


@pytest.mark.parametrize(("took", "kept"), [(0.01, 0.05), (0.1, 0.5), (2.0, 1.0)])
def test_a_table_is_kept_five_times_as_long_as_it_took_and_a_second_at_most(
    scene: Scene, took: float, kept: float
) -> None:
    wes = scene.requesters.requester()
    scene.seconds = took
    scene.names(wes)
    scene.now += kept - 0.005
    scene.names(wes)
    assert scene.made == 1
    scene.now += 0.01
    scene.names(wes)
    assert scene.made == 2


def test_tables_and_their_names_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.seconds = 0.2
    monkeypatch.setattr(index_cache, "_FRESH", 3600.0)
    monkeypatch.setattr(index_cache, "_WORTH", 100_000)
    for uid in range(100):
        scene.names(scene.requesters.requester(uid, WES._replace(uid=uid)))
    assert len(scene.cache._kept) == 32
    monkeypatch.setattr(index_cache, "_MOST_NAMES", 30)
    scene.names(scene.requesters.requester(1, WES._replace(uid=200)))
    assert sum(kept.size for kept in scene.cache._kept.values()) <= 30
    scene.table = {"": [str(number) for number in range(31)]}
    before = len(scene.cache._kept)
    scene.names(scene.requesters.requester(1, WES._replace(uid=300)))
    assert len(scene.cache._kept) == before


def test_a_path_too_long_to_be_walked_is_not_listed(scene: Scene) -> None:
    scene.table = {"": ["x" * 4096, "nc"]}
    assert scene.names(scene.requesters.requester()) == [b"nc"]


def test_a_link_is_there_for_whom_it_is_and_a_directory_for_everybody(scene: Scene) -> None:
    scene.requesters.identify = lambda tid, *_: scene.requesters.requester(tid)  # type: ignore[attr-defined]
    context = SimpleNamespace(pid=7, uid=1000, gid=1000)

    def looked_up(path: bytes) -> bool:
        try:
            trio.run(scene.cache.attributes, path, context)
        except FileNotFoundError:
            return False
        return True

    assert looked_up(b"by-name/nc/40") and looked_up(b"by-name/anything")
    scene.exists = False
    assert not looked_up(b"by-name/nc/40") and looked_up(b"by-name/anything")
    assert not looked_up(b"by-name/nc/name")
    with pytest.raises(FileNotFoundError):
        trio.run(scene.cache.link, b"by-name/nc/40", scene.requesters.requester())
