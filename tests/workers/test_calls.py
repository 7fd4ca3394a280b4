"""One request from the daemon to a worker: what it waits for, and who answers it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio

from procmirror.identity.errors import Unanswered, Unlabelled
from procmirror.identity.identity import Identity
from procmirror.procfs.roots import ProcRoots
from procmirror.workers import calls
from procmirror.workers.calls import Workers
from procmirror.workers.entry_operations import GetAttributes
from procmirror.workers.file_operations import Read
from procmirror.workers.lock_queue import SHORT_TIMEOUT_SECONDS
from procmirror.workers.operation import kept_open
from procmirror.workers.placement import IN_DAEMON, Placement
from procmirror.workers.pool import UNLABELLED_SECONDS
from procmirror.workers.protocol import (
    DONE,
    LONG,
    SUBREQUEST,
    TARGET_IS_SELF,
    Reply,
    Request,
    decode_reply,
    encode,
)
from procmirror.workers.shares import MOST_BUSY_OF_ACCOUNT
from procmirror.workers.view_operations import Answer
from tests.workers.fakes import FakeSpawner, FakeWorker, run

TIMEOUT = 5.0
ALICE = Identity(1000, 1000, (), 0)
LOCK = ("process", "memory")
REQUEST = Request(Read(0, 10), ALICE)
LOOKUP = Request(GetAttributes(b"1"), ALICE)


def in_container() -> Placement:
    """A placement in a namespace that this process is in too, so that it can be opened."""
    return Placement(os.getpid(), ALICE, 1000, {"uts": os.readlink("/proc/self/ns/uts")})


class Scene:
    """The calls of a daemon whose workers are fakes."""

    def __init__(self, workers: Workers, spawner: FakeSpawner, nursery: trio.Nursery) -> None:
        self.workers = workers
        self.nursery = nursery
        self.spawner = spawner
        self.values: list[object] = []

    async def call(self, request: Request, placement: Placement) -> None:
        """Call a worker, and keep the value of its result."""
        self.values.append((await self.workers.call(request, kept_open(), placement, LOCK)).value)

    async def refused(self, request: Request, placement: Placement, code: int) -> float:
        """Call a worker that says nothing; how many seconds pass until the refusal."""
        began = trio.current_time()
        with pytest.raises(Unanswered) as refused:
            await self.workers.call(request, kept_open(), placement, LOCK)
        assert refused.value.errno == code
        for worker in self.spawner.workers:
            worker.reap()
        await trio.sleep(0.1)
        return trio.current_time() - began - 0.1


@pytest.fixture
def roots() -> Iterator[ProcRoots]:
    descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield ProcRoots(descriptor, descriptor)
    os.close(descriptor)


@pytest.fixture
def in_scene(
    roots: ProcRoots, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    """Runs a test with workers that are fakes."""
    spawner = FakeSpawner()
    monkeypatch.setattr(calls, "ForkServer", lambda *_: spawner)

    def run_in_scene(test: Callable[[Scene], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with trio.open_nursery() as nursery:
                workers = Workers(roots, TIMEOUT)
                nursery.start_soon(workers.run, nursery)
                await trio.sleep(0.01)
                await test(Scene(workers, spawner, nursery))
                nursery.cancel_scope.cancel()

        run(whole)

    return run_in_scene


InScene = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_a_timeout_of_a_worker_in_other_namespaces_delays_no_other_requester(
    in_scene: InScene,
) -> None:
    async def test(scene: Scene) -> None:
        waited = await scene.refused(REQUEST, in_container(), errno.ETIMEDOUT)
        assert waited == pytest.approx(TIMEOUT, abs=0.1)
        # The lock is not known to be held: the next requester waits as long as ever.
        for placement in (in_container(), IN_DAEMON):
            waited = await scene.refused(REQUEST, placement, errno.ETIMEDOUT)
            assert waited == pytest.approx(TIMEOUT, abs=0.1)

    in_scene(test)


def test_while_a_worker_in_other_namespaces_is_silent_nobody_else_waits_behind_it(
    in_scene: InScene,
) -> None:
    async def test(scene: Scene) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.refused, REQUEST, in_container(), errno.ETIMEDOUT)
            await trio.sleep(1)
            (stopped,) = scene.spawner.workers
            nursery.start_soon(scene.call, REQUEST, IN_DAEMON)
            await trio.sleep(0.1)
            _, other = scene.spawner.workers
            assert (stopped.handle.asked[1], other.handle.asked[1]) == (1000, 0)
            other.answer(Reply(DONE, b"content"))
            await trio.sleep(0.1)
            assert scene.values == [b"content"]

    in_scene(test)


def test_a_look_up_in_other_namespaces_waits_a_moment_only_and_is_then_refused(
    in_scene: InScene,
) -> None:
    async def test(scene: Scene) -> None:
        assert await scene.refused(LOOKUP, in_container(), errno.ETIMEDOUT) < 0.5
        waited = await scene.refused(LOOKUP, in_container(), errno.EBUSY)
        assert waited == pytest.approx(0, abs=0.1)
        # Of a worker in the daemon's namespaces nobody can stop the answer.
        waited = await scene.refused(LOOKUP, IN_DAEMON, errno.ETIMEDOUT)
        assert waited == pytest.approx(TIMEOUT, abs=0.1)

    in_scene(test)


def test_about_a_worker_another_one_answers_and_both_are_used_again(in_scene: InScene) -> None:
    async def test(scene: Scene) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.call, REQUEST, IN_DAEMON)
            await trio.sleep(0.1)
            (first,) = scene.spawner.workers
            first.answer(Reply(TARGET_IS_SELF))
            await trio.sleep(0.1)
            _, second = scene.spawner.workers
            second.answer(Reply(DONE, b"content"))
        assert scene.values == [b"content"]
        idle = {await scene.workers._pool.take(IN_DAEMON) for _ in range(2)}
        assert idle == {first.handle, second.handle}

    in_scene(test)


def test_what_a_worker_imports_before_it_is_refused_makes_nobody_late(in_scene: InScene) -> None:
    """As under a label that no worker can take on, which the next request is told, too."""

    async def test(scene: Scene) -> None:
        scene.spawner.preparation = None
        scene.spawner.introduction = Reply(errno.EACCES, "Permission denied")

        async def prepare() -> None:
            await trio.sleep(2)
            scene.spawner.workers[-1].answer(Reply(DONE))
            scene.spawner.workers[-1].answer(Reply(errno.EACCES, "Permission denied"))

        for _ in range(3):
            scene.nursery.start_soon(prepare)
            with pytest.raises(Unlabelled):
                await scene.workers.call(
                    LOOKUP, kept_open(), Placement(0, ALICE, 1000, {}, b"web"), None
                )
            assert scene.workers.state().refused == []
            await trio.sleep(UNLABELLED_SECONDS + 1)

    in_scene(test)


def test_a_name_waits_half_a_second_for_a_birth_in_other_namespaces(in_scene: InScene) -> None:
    """Where many workers are born at once: a LOOKUP keeps its directory from everybody."""

    async def test(scene: Scene) -> None:
        scene.spawner.seconds = 3.0
        lookup = Request(GetAttributes(b"sys"), ALICE)
        waited = await scene.refused(lookup, in_container(), errno.EBUSY)
        assert waited == pytest.approx(2 * SHORT_TIMEOUT_SECONDS, abs=0.1)

    in_scene(test)


def test_a_question_of_a_worker_goes_to_another_and_a_long_answer_is_refused(
    in_scene: InScene,
) -> None:
    async def test(scene: Scene) -> None:
        subrequest = Request(Answer([("content", b"1/environ")]), ALICE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.call, REQUEST, IN_DAEMON)
            await trio.sleep(0.1)
            (asking,) = scene.spawner.workers
            assert asking.received() == REQUEST
            asking.answer(Reply(SUBREQUEST, encode(subrequest)))
            await trio.sleep(0.1)
            _, other = scene.spawner.workers
            assert other.received() == subrequest
            spool = os.memfd_create("answer")
            other.answer(Reply(LONG, 10), spool)
            await trio.sleep(0.1)
            assert decode_reply(asking.channel.recv(1000)).code == errno.EFBIG
            asking.answer(Reply(DONE, b"content"))
        assert scene.values == [b"content"]

    in_scene(test)


def test_who_waits_for_a_worker_is_refused_where_too_many_are_lost_meanwhile(
    in_scene: InScene,
) -> None:
    """Else each of the 400 requests that may wait would cost one more worker."""

    async def test(scene: Scene) -> None:
        async def asks(refused: list[int]) -> None:
            try:
                await scene.workers.call(REQUEST, kept_open(), Placement(0, ALICE, 1000, {}), None)
            except Unanswered as unanswered:
                refused.append(unanswered.errno or 0)

        refused: list[int] = []
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(asks, refused)
        asked = [worker.handle.asked for worker in scene.spawner.workers]
        assert asked.count((b"", 1000)) == MOST_BUSY_OF_ACCOUNT
        assert set(refused) == {errno.EBUSY, errno.ETIMEDOUT}

    in_scene(test)


class Directories:
    """The directory of a process, which is another descriptor each time, or gone."""

    def __init__(self) -> None:
        self.asked = 0
        self.opened: list[int] = []
        self.refusal: OSError | None = None

    def __call__(self) -> tuple[int]:
        if self.refusal:
            raise self.refusal
        self.asked += 1
        self.opened.append(os.memfd_create(f"{self.asked}"))
        return (self.opened[-1],)

    def close(self) -> None:
        for descriptor in self.opened:
            os.close(descriptor)


@pytest.fixture
def directories() -> Iterator[Directories]:
    made = Directories()
    yield made
    made.close()


def received_with(worker: FakeWorker) -> str:
    """What came with the next request that a worker gets."""
    _, (descriptor,), _, _ = socket.recv_fds(worker.channel, 1 << 19, 1)
    name = os.readlink(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)
    return name.split(":")[1].removesuffix(" (deleted)")


def test_what_a_request_starts_from_is_asked_for_when_it_is_sent(
    in_scene: InScene, directories: Directories
) -> None:
    """While it waits, the directory of its process may be closed and be another's number."""

    async def test(scene: Scene) -> None:
        scene.spawner.seconds = 1.0

        async def call() -> None:
            await scene.workers.call(REQUEST, directories, IN_DAEMON, LOCK)

        scene.nursery.start_soon(call)
        await trio.sleep(0.5)
        assert directories.asked == 0
        await trio.sleep(1)
        assert received_with(scene.spawner.workers[0]) == "1"
        # The request is about this very worker: another gets what it starts from then.
        scene.spawner.workers[0].answer(Reply(TARGET_IS_SELF))
        await trio.sleep(2)
        assert received_with(scene.spawner.workers[1]) == "2"
        scene.spawner.workers[1].answer(Reply(0, b"x"))
        await trio.sleep(0.1)

    in_scene(test)


def test_of_a_process_that_has_ended_meanwhile_no_worker_is_asked(
    in_scene: InScene, directories: Directories
) -> None:
    directories.refusal = ProcessLookupError(errno.ESRCH, "")

    async def test(scene: Scene) -> None:
        for _ in range(2):
            with pytest.raises(ProcessLookupError):
                await scene.workers.call(REQUEST, directories, IN_DAEMON, LOCK)
        # The worker was not lost: it is there for the next one.
        (worker,) = scene.spawner.workers
        assert not worker.is_let_go()

    in_scene(test)
