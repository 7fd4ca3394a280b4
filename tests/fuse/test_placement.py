"""Where an operation runs, for what it may wait, and whose ids its answer has."""

from __future__ import annotations

import os
from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any

import pytest

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.nodes import Node
from procmirror.identity.identity import CAP_SYS_NICE, Identity
from procmirror.mirror.traits import directory
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Process
from procmirror.workers.placement import Placement
from tests.fuse.requesters import WES, FakeRequesters

ROOT = Identity(0, 0, (), 1)


class Proc:
    """A procfs whose numbers are those of this machine; 8 is a second thread of 7."""

    root = -1

    def number(self, tid: int, _: int) -> bytes:
        return b"%d" % tid

    def directory(self, _: Process) -> int:
        raise ProcessLookupError

    def is_thread(self, process: Process, number: bytes) -> bool:
        return (process.name, number) == (b"8", b"7")


class Scene:
    """The rules of a daemon of root's, on requesters of the test."""

    def __init__(self) -> None:
        self.requesters = FakeRequesters()
        self.owned: set[bytes] = set()
        proc: Any = Proc()
        credentials: Any = SimpleNamespace(
            privileged=True, permitted=1, equals=lambda identity: identity == ROOT
        )
        roots: Any = SimpleNamespace(own=-1, may_be_owned=lambda pid: pid in self.owned)
        requesters: Any = self.requesters
        workers: Any = None
        self.dispatch = Dispatch(proc, credentials, requesters, workers, roots)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def process(name: bytes = b"40", *, own: bool = False) -> Process:
    made = Process(name, 1)
    made.own = own
    return made


def placement(identity: Identity = WES, label: bytes = b"", **differing: str) -> Placement:
    return Placement(7, identity, identity.uid, differing, label)


def node(place: str, name: bytes, about: Process | None = None) -> Node:
    """A name in the directory with this pattern."""
    parent: Any = SimpleNamespace(traits=directory(place))
    sibling = parent.traits.siblings.get(name)
    return Node(2, parent, name, about, name, None, sibling)


def test_what_cannot_wait_and_depends_on_nothing_runs_here(scene: Scene) -> None:
    here = scene.dispatch.runs_here
    assert here(None, placement(), waits=False)
    assert here(process(), placement(), waits=False)
    assert not here(process(), placement(), waits=True)
    assert not here(process(), placement(net="net:[2]"), waits=False)


def test_the_daemon_answers_about_itself_to_its_equal_alone(scene: Scene) -> None:
    here, itself = scene.dispatch.runs_here, process(own=True)
    assert not here(itself, placement(), waits=False, equal=True)
    assert not here(itself, placement(ROOT), waits=False)
    assert here(itself, placement(ROOT), waits=False, equal=True)


def test_where_the_effective_id_decides_the_daemon_does_not(scene: Scene) -> None:
    scene.owned.add(b"40")
    here = scene.dispatch.runs_here
    assert not here(process(), placement(), waits=False)
    assert here(process(), placement(ROOT), waits=False)
    assert here(process(b"41"), placement(), waits=False)


@pytest.mark.parametrize(
    ("told", "expected"),
    [(None, True), ((9, WES.uid), True), ((9, WES.uid + 1), False), ((9, 0), False)],
)
def test_it_decides_for_the_owner_of_the_namespace_and_where_the_owner_is_not_soon_told(
    scene: Scene, told: tuple[int, int] | None, *, expected: bool
) -> None:
    scene.owned.add(b"40")
    asked = []

    def outermost_of(number: bytes, account: int) -> tuple[int, int] | None:
        asked.append((number, account))
        return told

    scene.dispatch.outermost_of = outermost_of
    assert scene.dispatch.depends_on_euid(b"40", WES) is expected
    assert not scene.dispatch.depends_on_euid(b"41", WES)
    assert not scene.dispatch.depends_on_euid(b"40", ROOT)
    assert asked == [(b"40", WES.uid)]


def test_it_does_not_decide_about_a_process_that_is_gone(scene: Scene) -> None:
    def gone(*_: object) -> None:
        raise ProcessLookupError

    scene.owned.add(b"40")
    scene.dispatch.outermost_of = gone
    assert not scene.dispatch.depends_on_euid(b"40", WES)


def test_no_operation_is_done_in_another_pid_namespace(scene: Scene) -> None:
    requester = scene.requesters.requester(pid="2", net="2")
    assert scene.dispatch.differing_of(requester, ("net",)) == {"net": "net:[2]"}
    assert scene.dispatch.differing_of(requester, ()) == {}
    with pytest.raises(PermissionError):
        scene.dispatch.differing_of(requester, ("pid", "net"))


def test_of_another_user_namespace_all_namespaces_count(scene: Scene) -> None:
    requester = scene.requesters.requester(user="2", net="2")
    expected = {"user": "user:[2]", "net": "net:[2]"}
    assert scene.dispatch.differing_of(requester, ()) == expected


@pytest.mark.parametrize(
    ("place", "name", "lock"),
    [
        ("PID", b"environ", "memory"),
        ("PID", b"stat", "exec"),
        ("PID", b"stack.txt", "PID/stack"),
        ("", b"meminfo", None),
        ("", b"processes.ndjson", ("joined", 1000)),
    ],
)
def test_what_an_open_file_may_wait_for(
    scene: Scene, place: str, name: bytes, lock: Hashable
) -> None:
    about = process() if place else None
    expected = (about, lock) if about else lock
    assert scene.dispatch.lock_of_content(node(place, name, about), 1000) == expected


def test_what_is_written_does_not_run_here(scene: Scene) -> None:
    requester, about = scene.requesters.requester(), process()
    file = node("PID", b"oom_score_adj", about)
    run = scene.dispatch.execution_of_content
    assert run(file, requester, placement(), written=False).here
    assert not run(file, requester, placement(), written=True).here
    assert not run(node("PID", b"environ", about), requester, placement(), written=False).here


def test_a_joined_view_is_told_the_namespaces_of_its_reader(scene: Scene) -> None:
    requester, about = scene.requesters.requester(net="2"), process()
    made = scene.dispatch.execution_of_content(
        node("PID", b"ns.txt", about), requester, placement(), written=False
    )
    assert made.namespaces["net"] == "net:[2]"
    raw = scene.dispatch.execution_of_content(
        node("PID", b"environ", about), requester, placement(), written=False
    )
    assert raw.namespaces == {}


def test_ids_from_another_user_namespace_are_told_as_ours(scene: Scene) -> None:
    seen = Attributes(0, 0, 0, 5, 70_000, *[0] * 6)
    ours = scene.requesters.requester()
    assert scene.dispatch.translated([seen], ours) == [seen]
    theirs = scene.requesters.requester(user="2")
    assert scene.dispatch.translated([seen], theirs) == [seen._replace(uid=100_005)]


@pytest.mark.parametrize(
    ("name", "own", "nice"), [(b"7", True, True), (b"8", True, False), (b"9", False, False)]
)
def test_oneself_is_any_thread_but_for_its_slack(
    scene: Scene, name: bytes, *, own: bool, nice: bool
) -> None:
    access, requester = scene.dispatch.self_access, scene.requesters.requester(7)
    place = directory("PID")
    assert access.is_own(process(name), requester) is own
    assert bool(access.capabilities(process(name), requester, place, b"environ")) is own
    added = access.capabilities(process(name), requester, place, b"timerslack_ns")
    assert bool(added & CAP_SYS_NICE) is nice
    assert access.capabilities(None, requester, place, b"environ") == 0


@pytest.mark.parametrize("name", [b"kmsg", b"kcore"])
def test_the_kernels_log_and_memory_are_not_for_containers(scene: Scene, name: bytes) -> None:
    refuse = scene.dispatch.refusals.refuse_apart
    refuse(node("", name), scene.requesters.requester(net="2"))
    refuse(node("", b"version"), scene.requesters.requester(mnt="2"))
    for links in ({"mnt": "2"}, {"pid": "2"}, {"user": "2"}):
        with pytest.raises(PermissionError):
            refuse(node("", name), scene.requesters.requester(7, WES, **links))
    # Under the requester's label the kernel decides.
    scene.requesters.confined.add(9)
    refuse(node("", name), scene.requesters.requester(9))


def test_a_confined_requester_runs_under_his_label_and_not_here(scene: Scene) -> None:
    scene.requesters.confined.add(9)
    confined, free = (
        scene.dispatch.placement_of(scene.requesters.requester(tid), ()) for tid in (9, 7)
    )
    assert (confined.label, free.label) == (b"confined", b"")
    here = scene.dispatch.runs_here
    assert here(None, free, waits=False)
    assert not here(None, confined, waits=False)
    # A worker under the label is one user's, and another's never.
    assert confined.key() == placement(label=b"confined").key()
    assert confined.key() != placement(ROOT, label=b"confined").key()
    assert confined.key() != placement(label=b"another").key()
    assert confined.unlabelled().key() == ()


def test_who_becomes_confined_is_so_at_the_next_request(scene: Scene) -> None:
    requester = scene.requesters.requester()
    assert not scene.dispatch.placement_of(requester, ()).label
    scene.requesters.confined.add(requester.tid)
    assert scene.dispatch.placement_of(requester, ()).label


def test_without_his_label_a_requester_gets_what_everybody_may_read(scene: Scene) -> None:
    refusals = scene.dispatch.refusals
    refusals._proc.root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    files = {
        "version": node("", b"version"),
        "kpagecount": node("", b"kpagecount"),
        "status": node("PID", b"status", process()),
        "processes": node("", b"processes.ndjson"),
    }
    assert [name for name in files if refusals.is_for_everybody(files[name])] == ["version"]
    os.close(refusals._proc.root)
