"""What is read ahead for who opens one file of `fdinfo` after the other, without a mount."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse.fdinfo_in_order import FdinfoInOrder
from procmirror.fuse.nodes import Node, Nodes
from procmirror.identity.requester import Requester
from procmirror.mirror.traits import directory
from procmirror.procfs.processes import Process
from procmirror.workers.file_operations import ReadInOrder
from tests.fuse.requesters import FakeRequesters


class Scene:
    """A process with descriptors; a worker that is the test."""

    def __init__(self) -> None:
        self.asked: list[ReadInOrder] = []
        self.own = False
        self.here = True
        dispatch: Any = SimpleNamespace(
            run=self._run,
            runs_here=lambda *_, **__: self.here,
            self_access=SimpleNamespace(is_own=lambda *_: self.own),
        )
        source: Any = SimpleNamespace(descriptors=lambda _: (5,))
        self.in_order = FdinfoInOrder(source, dispatch, lambda: False)
        self.requesters = FakeRequesters()
        self.wes = self.requesters.requester()
        self.nodes = Nodes(directory(""), lambda _: None)
        self.process = Process(b"40", 1)
        top = self.nodes.add(self.nodes.root, b"40", self.process, b"", directory("PID"), None)
        self.folders = {
            name: self.nodes.add(
                top, name, self.process, name, directory(f"PID/{name.decode()}"), None
            )
            for name in (b"fdinfo", b"fd")
        }

    async def _run(self, operation: Any, _: object, __: object) -> list[tuple[int, bytes]]:
        self.asked.append(operation)
        numbers = range(operation.first, operation.first + operation.most)
        return [(number, b"content %d" % number) for number in numbers]

    def node(self, number: int, folder: bytes = b"fdinfo") -> Node:
        name = b"%d" % number
        return self.nodes.add(
            self.folders[folder], name, self.process, folder + b"/" + name, None, None
        )

    def open(
        self, number: int, requester: Requester | None = None, folder: bytes = b"fdinfo"
    ) -> bytes | None:
        execution: Any = SimpleNamespace(placement=None)
        return trio.run(
            self.in_order.content, self.node(number, folder), requester or self.wes, execution
        )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


@pytest.mark.usefixtures("clock")
def test_one_question_serves_ever_more_opens_in_order() -> None:
    scene = Scene()
    told = [scene.open(number) for number in range(3, 103)]
    assert told[:4] == [None] * 4
    assert told[4:] == [b"content %d" % number for number in range(7, 103)]
    assert [one.most for one in scene.asked] == [2, 4, 8, 16, 32, 32, 32][: len(scene.asked)]
    assert [one.path for one in scene.asked] == [b"fdinfo"] * len(scene.asked)


@pytest.mark.usefixtures("clock")
def test_numbers_that_are_sorted_as_words_are_a_series_too() -> None:
    scene = Scene()
    numbers = sorted(range(20_000), key=str)[1000:3000]
    told = [scene.open(number) for number in numbers]
    assert {text for text in told if text} <= {b"content %d" % number for number in numbers}
    # Of ten that follow each other one comes between, at a hundred two and so on.
    assert told.count(None) < 250
    assert len(scene.asked) < 100


@pytest.mark.usefixtures("clock")
def test_what_comes_again_between_two_of_a_series_is_read_again() -> None:
    scene = Scene()
    for number in range(3, 20):
        scene.open(number)
    assert [scene.open(number) for number in (18, 20, 20, 19, 21)] == [
        None,
        b"content 20",
        None,
        None,
        b"content 21",
    ]
    # Too many of them are another series.
    told = [scene.open(number) for number in (90, 80, 70, 60, 50, 22)]
    assert told == [None] * 6


def test_a_content_is_good_for_a_moment_and_a_slow_reader_has_little_read_ahead(
    clock: SimpleNamespace,
) -> None:
    scene = Scene()
    for number in range(3, 30):
        scene.open(number)
    asked = len(scene.asked)
    for number in range(30, 40):
        clock.now += 0.021
        assert scene.open(number) == b"content %d" % number
    assert [one.most for one in scene.asked[asked + 1 :]] == [2] * 9


@pytest.mark.usefixtures("clock")
def test_whoever_goes_on_as_somebody_else_or_out_of_order_is_told_nothing_kept() -> None:
    def told(number: int, **how: Any) -> bytes | None:
        scene = Scene()
        for before in range(3, 20):
            scene.open(before)
        requester = scene.requesters.requester(**how) if how else None
        return scene.open(number, requester)

    assert told(20) == b"content 20"
    root = FakeRequesters().requester().identity._replace(uid=0)
    assert told(20, identity=root) is None
    assert told(20, tid=8) is None
    assert told(20, user="2") is None
    assert told(19) is None
    assert told(40) is None


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("which", ["oneself", "elsewhere", "links"])
def test_of_oneself_elsewhere_and_in_other_directories_nothing_is_read_ahead(which: str) -> None:
    """A process that looks at itself may change what it is about to read."""
    scene = Scene()
    scene.own, scene.here = which == "oneself", which != "elsewhere"
    folder = b"fd" if which == "links" else b"fdinfo"
    assert [scene.open(number, folder=folder) for number in range(3, 30)] == [None] * 27
    assert not scene.asked
