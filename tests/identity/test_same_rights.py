"""Threads with all rights of the daemon, and how it shows that one has given some up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from procmirror.identity import thread_calls
from procmirror.identity.identity import Identity
from procmirror.identity.requester import Requesters, RequestKind
from tests.identity.folders import FakeProc
from tests.identity.test_requester import ALL, CHILD, OPENS, RINGS, ROOT, WIDE, Root

LESS = ALL & ~1


class Scene:
    """Thread 40, which has made two requests as root with all capabilities."""

    def __init__(self, fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = fake
        self.now, self.capabilities, self.asked = 1000.0, (ALL, ALL), 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(thread_calls, "capabilities_of", self._capabilities_of)
        self.task()
        self.requesters = Requesters(fake.descriptor, Root())
        for _ in range(2):
            assert self.identify() == ROOT
        # From here on the status says something else, which shows whether it is read.
        self.task(groups="7 ")

    def task(self, **fields: Any) -> None:
        usual: dict[str, Any] = {"uids": 0, "gids": 0, "groups": ""}
        self.fake.task(**(usual | {"effective": ALL, "permitted": ALL} | fields))

    def _capabilities_of(self, tid: int) -> tuple[int, int]:
        assert tid == 40
        return self.capabilities

    def identify(self, uid: int = 0, kind: RequestKind = RequestKind.OTHER) -> Identity:
        return self.requesters.identify(40, uid, 0, kind).identity

    def is_read(self, **how: Any) -> bool:
        """Whether the status is read for a request."""
        return self.identify(**how) != ROOT


@pytest.fixture
def scene(fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Scene(fake, monkeypatch)
    yield made
    made.requesters.forget()


def test_the_status_of_who_has_all_rights_is_not_read_each_time(scene: Scene) -> None:
    assert not scene.is_read()
    assert not scene.is_read(kind=RequestKind.OPEN)


@pytest.mark.parametrize(("number", "counter"), OPENS)
def test_nor_is_it_where_the_thread_itself_opens_something(
    scene: Scene, number: str, counter: str
) -> None:
    scene.fake.write(40, "syscall", f"{number} 0x4 0x1 0x1 0x1 0x0 0x0 0x7ffc {counter}\n")
    assert not scene.is_read(kind=RequestKind.OPEN_AT_ONCE)


@pytest.mark.parametrize("words", RINGS)
def test_who_may_open_it_for_a_ring_is_read(scene: Scene, words: str) -> None:
    """It may have a personality with fewer rights: only the ids of the header are believed."""
    scene.fake.write(40, "syscall", f"{words} {WIDE}\n")
    assert scene.identify(kind=RequestKind.OPEN_AT_ONCE) == Identity(0, 0, (), 0)


def test_who_is_in_a_call_that_is_not_told_is_read(scene: Scene) -> None:
    (scene.fake.folder / "40" / "syscall").unlink()
    assert scene.is_read(kind=RequestKind.OPEN_AT_ONCE)


def test_after_a_moment_it_is_read(scene: Scene) -> None:
    scene.now += 0.2
    assert scene.is_read()


@pytest.mark.parametrize("left", [(LESS, ALL), (LESS, LESS), (0, 0)])
def test_who_has_fewer_capabilities_is_read(scene: Scene, left: tuple[int, int]) -> None:
    scene.capabilities = left
    assert scene.is_read()


def test_who_works_for_another_user_is_read(scene: Scene) -> None:
    assert scene.is_read(uid=1000)


def test_who_is_in_another_user_namespace_is_read(scene: Scene) -> None:
    scene.task(groups="7 ", user=CHILD)
    assert scene.is_read()


def test_another_thread_with_the_number_is_read(scene: Scene) -> None:
    """The link is looked for in the directory of the first one, where it is no more."""
    first = scene.fake.folder / "40"
    first.rename(first.with_name("ended"))
    for link in (first.with_name("ended") / "ns").iterdir():
        link.unlink()
    scene.task(groups="8 ")
    assert scene.is_read()


def test_whoever_may_be_a_ring_is_read(scene: Scene) -> None:
    assert scene.is_read(kind=RequestKind.OPEN_AT_ONCE)


def test_who_never_had_all_rights_is_read_each_time(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene.__new__(Scene)
    scene.fake = fake
    monkeypatch.setattr(thread_calls, "capabilities_of", lambda _: (LESS, LESS))
    scene.task(effective=LESS, permitted=LESS)
    scene.requesters = Requesters(fake.descriptor, Root())
    for _ in range(3):
        scene.identify()
    scene.task(effective=LESS, permitted=LESS, groups="7 ")
    assert scene.identify().groups == (7,)
    scene.requesters.forget()
