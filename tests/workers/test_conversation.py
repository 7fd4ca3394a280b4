"""One exchange with a worker: what it says, how long it may say nothing, and how it is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import Identity
from procmirror.procfs import read_note
from procmirror.procfs.read_note import ReadNote
from procmirror.workers.admission import Admission
from procmirror.workers.conversation import (
    OVERDUE_SECONDS,
    STUCK_SECONDS,
    Conversation,
    Services,
    Stuck,
)
from procmirror.workers.file_operations import Read
from procmirror.workers.handle import result_of
from procmirror.workers.lock_queue import LockQueue, Slow
from procmirror.workers.lock_state import LockState
from procmirror.workers.placement import IN_DAEMON
from procmirror.workers.pool import Pool
from procmirror.workers.protocol import (
    DONE,
    LONG,
    PARTIAL,
    PROGRESS,
    SPOOLED,
    SUBREQUEST,
    Reply,
    Request,
    decode_reply,
    encode,
)
from procmirror.workers.stream import Stream
from procmirror.workers.view_operations import Answer
from tests.workers.fakes import FakeSpawner, FakeWorker, fake_lost, run

TIMEOUT = 5.0
ALICE = 1000
REQUEST = Request(Read(0, 10), Identity(ALICE, ALICE, (), 0), target=b"42")


class Scene:
    """A conversation with a fake worker about a lock."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.spawner = FakeSpawner()
        self.admission = Admission()
        self.locks = LockQueue(TIMEOUT)
        self.pool = Pool(self.spawner, self.admission, fake_lost()[1], -1, TIMEOUT)
        self.services = Services(self.pool, self.locks, self.admission, lambda *_: False)
        self.relayed: list[Request] = []
        self.state: LockState
        self.worker: FakeWorker
        self.talk: Conversation

    async def begin(self) -> None:
        """Take a worker."""
        await self.pool.start(self.nursery)
        self.state = await self.locks.enter(("process", "exec"), 0)
        handle = await self.pool.take(IN_DAEMON)
        self.worker = next(one for one in self.spawner.workers if one.handle is handle)
        self.talk = Conversation(self.services, handle, ALICE, self.state, self.relay)

    async def relay(self, request: Request) -> Reply:
        """Note what would be asked of another worker."""
        self.relayed.append(request)
        return Reply(DONE, [b"of another"])

    def later(self, seconds: float, *replies: Reply, descriptor: int | None = None) -> None:
        """Have the worker send replies, each so many seconds after the one before."""

        async def send() -> None:
            for reply in replies:
                await trio.sleep(seconds)
                with contextlib.suppress(OSError):
                    self.worker.answer(reply, descriptor)

        self.nursery.start_soon(send)

    async def refused(self, code: int) -> float:
        """How long it takes until the question is given up with an errno."""
        began = trio.current_time()
        with pytest.raises(Unanswered) as refused:
            await self.talk.ask(REQUEST, [])
        assert refused.value.errno == code
        return trio.current_time() - began


def in_scene(test: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with trio.open_nursery() as nursery:
            scene = Scene(nursery)
            await scene.begin()
            await test(scene)
            nursery.cancel_scope.cancel()

    run(whole)


def test_the_request_arrives_and_the_answer_comes_back() -> None:
    async def test(scene: Scene) -> None:
        scene.later(0.1, Reply(DONE, b"content", retire=True))
        reply, descriptor = await scene.talk.ask(REQUEST, [])
        assert (reply, descriptor) == (Reply(DONE, b"content", retire=True), -1)
        assert scene.worker.received() == REQUEST
        assert scene.worker.handle.asked == (b"42", ALICE)

    in_scene(test)


def test_an_answer_may_bring_a_descriptor() -> None:
    async def test(scene: Scene) -> None:
        spool = os.memfd_create("test")
        os.write(spool, encode(Reply(DONE, ["long"])))
        scene.later(0.1, Reply(LONG, 10), descriptor=spool)
        reply, descriptor = await scene.talk.ask(REQUEST, [])
        result = result_of(reply, descriptor)
        assert (result.value, result.descriptor) == (["long"], -1)

    in_scene(test)


def test_who_says_nothing_is_killed_after_the_timeout_and_holds_up_the_lock() -> None:
    async def test(scene: Scene) -> None:
        assert await scene.refused(errno.ETIMEDOUT) == pytest.approx(TIMEOUT)
        assert scene.worker.is_let_go()
        assert scene.state.of_all.unreaped == 1
        scene.worker.reap()
        await trio.sleep(0.1)
        assert scene.state.of_all.unreaped == 0

    in_scene(test)


def test_with_a_short_timeout_it_is_given_up_without_being_overdue() -> None:
    async def test(scene: Scene) -> None:
        with contextlib.ExitStack() as overdue:
            for _ in range(16):
                overdue.enter_context(scene.admission.overdue(ALICE))
            scene.state.timeout = 0.25
            assert await scene.refused(errno.ETIMEDOUT) == pytest.approx(0.25)

    in_scene(test)


@pytest.mark.parametrize(("runs", "unreaped"), [(True, 0), (False, 1)])
def test_what_is_given_up_as_too_many_wait_holds_up_the_lock_if_the_kernel_has_it_wait(
    monkeypatch: pytest.MonkeyPatch, runs: bool, unreaped: int
) -> None:
    async def test(scene: Scene) -> None:
        monkeypatch.setattr("procmirror.workers.conversation.could_run", lambda *_: runs)
        with contextlib.ExitStack() as overdue:
            for _ in range(16):
                overdue.enter_context(scene.admission.overdue(ALICE))
            assert await scene.refused(errno.EBUSY) == pytest.approx(OVERDUE_SECONDS)
        assert scene.state.of_all.unreaped == unreaped

    in_scene(test)


class FakeDelay:
    """What keeps the worker from running: so many seconds until each look."""

    laps: list[float]
    seconds = 0.0

    def __init__(self, *_: object) -> None:
        pass

    def look(self, passed: float = 0.0) -> bool:
        waited = self.laps.pop(0) if self.laps else 0.0
        self.seconds += waited
        return waited > passed / 2


@pytest.mark.parametrize(
    ("laps", "seconds"),
    [
        ([], 0.25),
        ([0.1], 0.25),
        # Longer than half of the time: it gets another moment each time.
        ([0.13], 0.3),
        ([0.13, 0.03, 0.02], 0.35),
        ([0.2] * 100, 1.0),
    ],
)
def test_who_has_little_time_has_more_while_others_keep_the_worker_from_running(
    monkeypatch: pytest.MonkeyPatch, laps: list[float], seconds: float
) -> None:
    monkeypatch.setattr("procmirror.workers.conversation.RunDelay", FakeDelay)
    monkeypatch.setattr(FakeDelay, "laps", list(laps), raising=False)

    async def test(scene: Scene) -> None:
        scene.state.timeout = 0.25
        assert await scene.refused(errno.ETIMEDOUT) == pytest.approx(seconds)
        told = len(laps) - len(FakeDelay.laps)
        assert scene.state.excused == pytest.approx(sum(laps[:told]))

    in_scene(test)


def test_what_others_kept_the_worker_from_running_is_excused_when_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("procmirror.workers.conversation.RunDelay", FakeDelay)
    monkeypatch.setattr(FakeDelay, "laps", [0.2, 0.01], raising=False)

    async def test(scene: Scene) -> None:
        scene.state.timeout = 0.25
        scene.later(0.28, Reply(DONE, b"late"))
        assert (await scene.talk.ask(REQUEST, []))[0].result == b"late"
        assert scene.state.excused == pytest.approx(0.21)

    in_scene(test)


def test_progress_keeps_a_long_view_alive_but_not_for_ever() -> None:
    async def test(scene: Scene) -> None:
        scene.later(4, *[Reply(PROGRESS)] * 10, Reply(DONE, b"at last"))
        assert (await scene.talk.ask(REQUEST, []))[0].result == b"at last"
        scene.later(4, *[Reply(PROGRESS)] * 20)
        assert 60 <= await scene.refused(errno.ETIMEDOUT) <= 64

    in_scene(test)


def test_progress_is_noted_at_the_lock() -> None:
    async def test(scene: Scene) -> None:
        began = trio.current_time()
        scene.later(1, Reply(PROGRESS), Reply(PROGRESS))
        assert await scene.refused(errno.ETIMEDOUT) == pytest.approx(2 + TIMEOUT)
        assert scene.state.since == pytest.approx(began + 2)

    in_scene(test)


def test_the_seventeenth_that_is_overdue_is_refused_and_its_worker_killed() -> None:
    async def test(scene: Scene) -> None:
        with contextlib.ExitStack() as overdue:
            for _ in range(16):
                overdue.enter_context(scene.admission.overdue(ALICE))
            assert await scene.refused(errno.EBUSY) == pytest.approx(0.25)
        assert scene.worker.is_let_go()
        # Its worker waits in the lock as one does that has timed out.
        assert scene.state.of_all.unreaped == 1

    in_scene(test)


def test_while_it_is_overdue_it_is_counted() -> None:
    async def test(scene: Scene) -> None:
        seen: list[bool] = []

        async def look() -> None:
            for _ in range(3):
                await trio.sleep(0.2)
                seen.append(scene.admission.nobody_overdue)

        scene.nursery.start_soon(look)
        scene.later(0.5, Reply(DONE))
        await scene.talk.ask(REQUEST, [])
        await trio.sleep(0.5)
        assert seen == [True, False, True]

    in_scene(test)


def test_a_worker_that_ends_holds_up_nobody() -> None:
    async def test(scene: Scene) -> None:
        async def end() -> None:
            await trio.sleep(1)
            scene.worker.end()

        scene.nursery.start_soon(end)
        assert await scene.refused(errno.EIO) == pytest.approx(1)
        assert scene.state.of_all.unreaped == 0

    in_scene(test)


def test_a_worker_that_has_ended_before_is_noticed_when_it_is_asked() -> None:
    async def test(scene: Scene) -> None:
        scene.worker.end()
        assert await scene.refused(errno.EIO) == 0
        await trio.sleep(0.1)
        assert scene.pool.count == 1

    in_scene(test)


def test_who_gives_up_leaves_no_worker_with_an_answer_for_another() -> None:
    async def test(scene: Scene) -> None:
        with trio.move_on_after(1) as scope:
            await scene.talk.ask(REQUEST, [])
        assert scope.cancelled_caught
        assert scene.worker.is_let_go()
        assert scene.state.of_all.unreaped == 0

    in_scene(test)


@pytest.mark.parametrize(
    "message", [b"\xc1", encode("text"), encode(Reply(SUBREQUEST, "no request"))]
)
def test_a_worker_that_sends_no_message_is_killed(message: bytes) -> None:
    async def test(scene: Scene) -> None:
        reading, writing = os.pipe()
        socket.send_fds(scene.worker.channel, [message], [writing])
        os.close(writing)
        with pytest.raises(Unanswered) as lost:
            await scene.talk.ask(REQUEST, [])
        assert lost.value.errno == errno.EIO
        assert scene.worker.is_let_go()
        assert os.read(reading, 1) == b"", "what came with it is not closed"
        os.close(reading)

    in_scene(test)


def test_a_request_of_the_worker_is_answered_by_another() -> None:
    async def test(scene: Scene) -> None:
        question = Request(Answer([("content", b"7/stat")]), REQUEST.identity)
        scene.later(0.1, Reply(SUBREQUEST, encode(question)), Reply(DONE, b"done"))
        assert (await scene.talk.ask(REQUEST, []))[0].result == b"done"
        assert scene.relayed == [question]
        assert scene.worker.received() == REQUEST
        assert decode_reply(scene.worker.channel.recv(1000)) == Reply(DONE, [b"of another"])

    in_scene(test)


def test_the_first_part_is_an_answer_and_the_next_let_the_stream_grow() -> None:
    async def test(scene: Scene) -> None:
        spool = os.memfd_create("test")
        scene.later(0.1, Reply(PARTIAL, 100), descriptor=spool)
        reply, descriptor = await scene.talk.ask(REQUEST, [])
        assert (reply.code, reply.result) == (PARTIAL, 100)
        stream = Stream(descriptor, reply.result)
        sizes: list[int] = []

        def charged(size: int) -> None:
            sizes.append(size)

        stream.charge = charged
        scene.later(1, Reply(PARTIAL, 150), Reply(PARTIAL, 400), Reply(SPOOLED, 500))
        reply, descriptor = await scene.talk.next_reply(stream)
        assert (reply, descriptor) == (Reply(SPOOLED, 500), -1)
        assert (stream.size, sizes) == (400, [50, 250])
        os.close(stream.descriptor)

    in_scene(test)


def test_a_stream_for_which_there_is_no_room_ends_its_worker() -> None:
    async def test(scene: Scene) -> None:
        stream = Stream(-1, 0)

        def refuse(_: int) -> None:
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

        stream.charge = refuse
        scene.later(1, Reply(PARTIAL, 150))
        with pytest.raises(Unanswered):
            await scene.talk.next_reply(stream)
        assert scene.worker.is_let_go()
        assert scene.state.of_all.unreaped == 0

    in_scene(test)


def test_an_errno_is_raised_as_such_and_a_spool_without_descriptor_is_no_content() -> None:
    with pytest.raises(ProcessLookupError):
        result_of(Reply(errno.ESRCH), -1)
    for code in (SPOOLED, LONG):
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            result_of(Reply(code, 10), -1)
    assert result_of(Reply(DONE, 3), -1).value == 3


def note_of(scene: Scene, monkeypatch: pytest.MonkeyPatch, *, blocked: bool) -> ReadNote:
    """Have the conversation look at what the worker reads; the worker's side of its note."""
    monkeypatch.setattr("procmirror.workers.conversation.is_blocked", lambda *_: blocked)
    handle = scene.worker.handle
    handle.note = read_note.new()
    scene.talk = Conversation(scene.services, handle, ALICE, scene.state, scene.relay, looks=True)
    return ReadNote(handle.note)


def test_a_worker_that_is_blocked_in_one_read_is_stuck_long_before_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(scene: Scene) -> None:
        note_of(scene, monkeypatch, blocked=True).begin("cmdline")
        began = trio.current_time()
        with pytest.raises(Stuck) as stuck:
            await scene.talk.ask(REQUEST, [])
        assert (stuck.value.path, stuck.value.errno) == ("cmdline", errno.ETIMEDOUT)
        assert trio.current_time() - began == pytest.approx(OVERDUE_SECONDS + STUCK_SECONDS)
        assert scene.worker.is_let_go()

    in_scene(test)


def test_a_worker_that_only_gets_no_processor_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(scene: Scene) -> None:
        note_of(scene, monkeypatch, blocked=False).begin("cmdline")
        assert await scene.refused(errno.ETIMEDOUT) == pytest.approx(TIMEOUT)

    in_scene(test)


@pytest.mark.parametrize("timeout", [TIMEOUT, 0.25])
def test_a_worker_that_could_run_and_is_late_does_not_hold_up_the_lock(
    monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    async def test(scene: Scene) -> None:
        monkeypatch.setattr("procmirror.workers.conversation.could_run", lambda *_: True)
        scene.state.timeout = timeout
        with pytest.raises(Slow):
            await scene.talk.ask(REQUEST, [])
        assert scene.worker.is_let_go()
        assert scene.state.of_all.unreaped == 0

    in_scene(test)


def test_a_worker_that_waits_for_something_else_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(scene: Scene) -> None:
        note_of(scene, monkeypatch, blocked=True)
        assert await scene.refused(errno.ETIMEDOUT) == pytest.approx(TIMEOUT)

    in_scene(test)


def test_a_worker_that_reads_one_source_after_the_other_is_not_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(scene: Scene) -> None:
        note = note_of(scene, monkeypatch, blocked=True)

        async def read() -> None:
            for number in range(20):
                note.begin(f"task/{number}/stack")
                await trio.sleep(0.1)
                note.end()
            scene.worker.answer(Reply(DONE, b"content"))

        scene.nursery.start_soon(read)
        reply, _ = await scene.talk.ask(REQUEST, [])
        assert reply.result == b"content"

    in_scene(test)
