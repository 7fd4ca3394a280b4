"""What is read ahead for who reads the same links of one process after the other, without a mount."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse.links import Links
from procmirror.fuse.namespace_links import NamespaceLinks
from procmirror.fuse.nodes import Node, Nodes
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester
from procmirror.mirror.traits import directory
from procmirror.procfs.processes import Process
from procmirror.workers.entry_operations import ReadLinks
from tests.fuse.requesters import FakeRequesters

NAMES = [b"ipc", b"net", b"user"]


class Scene:
    """Processes with namespaces; a worker that is the test, and counts its answers."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock, self.late = clock, 0.0
        self.asked: list[Any] = []
        self.own = False
        self.refused = False
        access = SimpleNamespace(is_own=lambda *_: self.own)
        dispatch: Any = SimpleNamespace(self_access=access)
        self.links = NamespaceLinks(dispatch)
        self.requesters = FakeRequesters()
        self.wes = self.requesters.requester()
        self.nodes = Nodes(directory(""), lambda _: None)
        self._folders: dict[int, Any] = {}

    def _folder(self, pid: int) -> Any:
        if pid not in self._folders:
            process, root = Process(b"%d" % pid, pid), self.nodes.root
            top = self.nodes.add(root, process.name, process, b"", directory("PID"), None)
            self._folders[pid] = self.nodes.add(
                top, b"ns", process, b"ns", directory("PID/ns"), None
            )
        return self._folders[pid]

    def text(self, pid: int, name: bytes, requester: Requester | None = None) -> bytes:
        folder = self._folder(pid)
        node = self.nodes.add(folder, name, folder.process, b"ns/" + name, None, None)

        async def read(operation: Any) -> Any:
            self.clock.now += self.late
            if self.refused:
                raise error(13)
            self.asked.append(operation)
            count = len(self.asked)
            if isinstance(operation, ReadLinks):
                assert operation.path == b"ns/"
                return [(one, b"%s:[%d]" % (one, count)) for one in operation.names]
            return b"%s:[%d]" % (operation.path[3:], count)

        return trio.run(self.links.text, node, requester or self.wes, read)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def scene(clock: SimpleNamespace) -> Scene:
    """One whose requester has read the links of process 40, one by one."""
    scene = Scene(clock)
    assert [scene.text(40, name) for name in NAMES] == [b"ipc:[1]", b"net:[2]", b"user:[3]"]
    assert not any(isinstance(one, ReadLinks) for one in scene.asked)
    scene.asked.clear()
    return scene


def test_the_same_links_of_the_next_process_are_one_question(scene: Scene) -> None:
    for count, pid in enumerate((41, 42), 1):
        told = [scene.text(pid, name) for name in NAMES]
        assert told == [b"%s:[%d]" % (name, count) for name in NAMES]
    assert [one.names for one in scene.asked] == [NAMES, NAMES]


def test_another_link_is_read_alone(scene: Scene) -> None:
    assert scene.text(41, b"mnt") == b"mnt:[1]"
    assert not isinstance(scene.asked[0], ReadLinks)


def test_what_is_read_again_is_asked_again(scene: Scene) -> None:
    """And with it the others, of which it is known then that they are looked at for a change."""
    assert scene.text(41, b"net") == b"net:[1]"
    assert scene.text(41, b"net") == b"net:[2]"
    assert scene.text(41, b"user") == b"user:[3]"


def test_a_text_is_good_for_a_moment(scene: Scene, clock: SimpleNamespace) -> None:
    assert scene.text(41, b"ipc") == b"ipc:[1]"
    clock.now += 0.019
    assert scene.text(41, b"net") == b"net:[1]"
    clock.now += 0.002
    assert scene.text(41, b"user") == b"user:[2]"


def test_a_text_is_as_old_as_its_question(scene: Scene) -> None:
    """The worker may have read it long before its answer comes, on a busy machine."""
    scene.late = 0.021
    assert [scene.text(41, name) for name in NAMES] == [b"ipc:[1]", b"net:[2]", b"user:[3]"]


@pytest.mark.parametrize("how", [{"tid": 8}, {"user": "2"}, {"identity": None}])
def test_nobody_else_is_told_what_one_requester_was(scene: Scene, how: dict[str, Any]) -> None:
    if "identity" in how:
        how = {"identity": scene.wes.identity._replace(groups=(4,))}
    assert scene.text(41, b"ipc") == b"ipc:[1]"
    other = scene.requesters.requester(**how)
    assert scene.text(41, b"net", other) == b"net:[2]"
    assert not isinstance(scene.asked[1], ReadLinks)


def test_the_links_of_another_process_are_not_told(scene: Scene) -> None:
    assert scene.text(41, b"ipc") == b"ipc:[1]"
    assert scene.text(42, b"net") == b"net:[2]"


def test_of_oneself_nothing_is_read_ahead(scene: Scene) -> None:
    scene.own = True
    assert [scene.text(41, name) for name in NAMES] == [b"ipc:[1]", b"net:[2]", b"user:[3]"]


def test_a_refusal_is_told_for_each_link(scene: Scene) -> None:
    scene.refused = True
    for name in NAMES:
        with pytest.raises(PermissionError):
            scene.text(41, name)


@pytest.mark.parametrize("is_kernel", [True, False])
def test_those_of_a_kernel_thread_are_read_without_a_worker(*, is_kernel: bool) -> None:
    waits: list[bool] = []

    async def perform(*_: object, **how: Any) -> bytes:
        waits.append(how["waits"])
        return b"net:[5]"

    dispatch: Any = SimpleNamespace(
        perform=perform,
        kernel_threads=SimpleNamespace(is_one=lambda _: is_kernel),
        self_access=SimpleNamespace(capabilities=lambda *_: 0, is_own=lambda *_: False),
    )
    unused: Any = None
    links = Links(unused, -1, dispatch, unused, unused, leads_to_proc=False)
    top = Node(2, None, b"7", Process(b"7", 1), b"", directory("PID"), None)
    folder = Node(3, top, b"ns", top.process, b"ns", directory("PID/ns"), None)
    node = Node(4, folder, b"net", top.process, b"ns/net", None, None)
    assert trio.run(links.text, node, FakeRequesters().requester()) == b"net:[5]"
    assert waits == [not is_kernel]
