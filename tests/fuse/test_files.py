"""What an open file costs, with what rights it is made, and what is given back."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse.execution import Execution
from procmirror.fuse.files import Files
from procmirror.fuse.nodes import Node
from procmirror.fuse.quota import Quota
from procmirror.identity.identity import CAP_SYS_PTRACE
from procmirror.mirror.traits import directory
from procmirror.procfs.own_proc import NOTHING
from procmirror.procfs.processes import Process
from procmirror.workers.file_operations import Open
from procmirror.workers.opened import Opened
from procmirror.workers.placement import Placement
from procmirror.workers.view_operations import DecodeFile
from tests.fuse.requesters import WES, FakeRequesters

ACCOUNT = 1000
SPACE = 64 << 20


class FakePlacement(Placement):
    """A placement that counts how often it is released."""

    released = 0

    def release(self) -> None:
        """Count."""
        FakePlacement.released += 1


class Scene:
    """Files whose worker is the test."""

    def __init__(self) -> None:
        self.quota = Quota()
        self.ran: list[tuple[Any, Execution]] = []
        self.refusal: OSError | None = None
        self.added = 0
        self.reads_now = False
        self.pauses: list[Callable[[], None]] = []
        FakePlacement.released = 0
        self.node: Node
        dispatch: Any = SimpleNamespace(
            refusals=SimpleNamespace(refuse_apart=lambda *_: None),
            self_access=SimpleNamespace(capabilities=lambda *_: self.added),
            placement_of_content=lambda *_: FakePlacement(7, WES, ACCOUNT, {}),
            execution_of_content=self._execution,
            may_read_now=lambda *_: self.reads_now,
            run=self._run,
            pause=self._pause,
            waiting=lambda _: self._waiting(),
        )

        async def nothing(_: object) -> Any:
            return NOTHING

        proc: Any = SimpleNamespace(
            number=lambda *_: b"7", descriptors=lambda _: (5,), hiding_of=nothing
        )
        names: Any = SimpleNamespace(are_of=lambda _: True)
        self.files = Files(proc, -1, self.quota, dispatch, proc, names, lambda: False)
        self.requester = FakeRequesters().requester()

    def _execution(
        self, node: Node, _: object, placement: Placement, *, written: bool
    ) -> Execution:
        assert not written or not node.sibling
        return Execution(WES, node.process, placement)

    async def _run(self, operation: object, _: object, execution: Execution) -> Any:
        self.ran.append((operation, execution))
        if self.refusal:
            raise self.refusal
        if isinstance(operation, Open):
            return Opened(os.open("/dev/null", os.O_RDONLY), None)
        return b"content"

    async def _pause(self, _: object) -> None:
        assert self.pauses, "it waits for ever"
        self.pauses.pop(0)()

    def _waiting(self) -> AbstractContextManager[None]:
        return nullcontext()

    def node_of(self, name: bytes) -> Node:
        """A name in the directory of a process."""
        parent: Any = SimpleNamespace(traits=directory("PID"))
        sibling = parent.traits.siblings.get(name)
        return Node(
            2, parent, name, Process(b"40", 1), sibling.source if sibling else name, None, sibling
        )

    async def open(self, name: bytes, flags: int = os.O_RDONLY) -> Any:
        """Open a file of a process."""
        return await self.files.open(self.node_of(name), self.requester, flags)

    @property
    def held(self) -> int:
        """The descriptors that the account holds."""
        return self.quota._held[ACCOUNT].descriptors if ACCOUNT in self.quota._held else 0


def run(test: Callable[[Scene], Awaitable[None]]) -> Scene:
    scene = Scene()
    trio.run(test, scene)
    return scene


@pytest.mark.parametrize("name", [b"environ", b"environ.txt"])
def test_what_is_closed_is_given_back(name: bytes) -> None:
    async def test(scene: Scene) -> None:
        file = await scene.open(name)
        assert scene.held == 1
        assert scene.quota.space(ACCOUNT) == SPACE - (7 if name.endswith(b"txt") else 0)
        scene.files.close(file)

    scene = run(test)
    assert (scene.held, FakePlacement.released) == (0, 1)
    assert scene.quota.space(ACCOUNT) == SPACE


@pytest.mark.parametrize("name", [b"environ", b"environ.txt"])
def test_what_cannot_be_opened_costs_nothing(name: bytes) -> None:
    async def test(scene: Scene) -> None:
        scene.refusal = PermissionError(errno.EACCES, "no")
        with pytest.raises(PermissionError):
            await scene.open(name)

    scene = run(test)
    assert (scene.held, FakePlacement.released) == (0, 1)


def fill(scene: Scene) -> int:
    """Let the account hold all the descriptors that it may; returns how many."""
    count = 0
    while scene.quota.charged(ACCOUNT, 1):
        count += 1
    return count


def test_beyond_its_limit_an_account_waits_as_long_as_files_are_given_back() -> None:
    async def test(scene: Scene) -> None:
        full = fill(scene)
        scene.pauses = [
            lambda: scene.quota.refund(ACCOUNT, 0, 0),
            lambda: scene.quota.refund(ACCOUNT, 1, 0),
        ]
        await scene.open(b"environ")
        assert (scene.held, scene.pauses) == (full, [])

    run(test)


def test_an_account_that_gives_nothing_back_is_refused_after_one_pause_and_then_at_once() -> None:
    async def test(scene: Scene) -> None:
        full = fill(scene)
        scene.pauses = [lambda: None]
        for _ in range(3):
            with pytest.raises(OSError, match="Too many open files in system"):
                await scene.open(b"environ")
        assert (scene.held, scene.pauses) == (full, [])

    run(test)
    assert FakePlacement.released == 3


def test_the_right_to_look_at_oneself_ends_with_open_and_opens_nothing_for_writing() -> None:
    async def test(scene: Scene) -> None:
        scene.added = CAP_SYS_PTRACE
        file = await scene.open(b"environ.txt")
        await file._make()
        await scene.open(b"environ")
        await scene.open(b"environ", os.O_RDWR)

    scene = run(test)
    assert [execution.self_capabilities for _, execution in scene.ran] == [
        *(CAP_SYS_PTRACE, 0),
        *(CAP_SYS_PTRACE, 0),
    ]


def test_what_is_read_ahead_is_of_readers_without_added_rights() -> None:
    async def test(scene: Scene) -> None:
        await scene.open(b"environ")
        await scene.open(b"mem")
        await scene.open(b"environ", os.O_RDWR)
        scene.added = CAP_SYS_PTRACE
        await scene.open(b"environ")
        # This tells every reader the same.
        await scene.open(b"status")

    scene = run(test)
    ahead = [bool(operation.readahead) for operation, _ in scene.ran]
    assert ahead == [True, False, False, False, True]


def test_what_the_daemon_may_read_now_it_does_not_read_later() -> None:
    async def test(scene: Scene) -> None:
        scene.reads_now = True
        raw, view = await scene.open(b"status"), await scene.open(b"status.json")
        await view._make()
        assert not raw.opener.execution.now and not view.opener.execution.now

    scene = run(test)
    assert [execution.now for _, execution in scene.ran] == [True, True, False]
    # What follows comes from what was read, so that no READ has to read.
    assert scene.ran[0][0].readahead


def test_a_content_that_is_made_again_may_be_as_long_as_what_it_replaces() -> None:
    async def test(scene: Scene) -> None:
        file = await scene.open(b"environ.txt")
        scene.quota.charge(ACCOUNT, 0, scene.quota.space(ACCOUNT))
        await file._make()

    scene = run(test)
    spaces = [made.space for made, _ in scene.ran if isinstance(made, DecodeFile)]
    assert spaces == [SPACE, len(b"content")]
