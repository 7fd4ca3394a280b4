"""Workers are used again while they live, are the right ones, and are no more than may be."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable

import pytest
import trio

from procmirror.identity.errors import Unanswered, Unlabelled
from procmirror.identity.identity import Identity
from procmirror.workers import pool
from procmirror.workers.admission import Admission
from procmirror.workers.placement import IN_DAEMON, Placement
from procmirror.workers.pool import MOST_BEYOND, MOST_WORKERS, Pool
from procmirror.workers.protocol import Reply
from procmirror.workers.shares import MOST_BUSY_OF_ACCOUNT, nice
from tests.workers.fakes import FakeLost, FakeSpawner, fake_lost, run

TIMEOUT = 5.0
USER = Identity(1000, 1000, (), 0)


class Scene:
    """A pool of fake workers whose nursery is open."""

    def __init__(self, own: int, nursery: trio.Nursery) -> None:
        self.spawner = FakeSpawner()
        self.lost: FakeLost
        self.lost, lost = fake_lost()
        self.admission = Admission()
        self.pool = Pool(self.spawner, self.admission, lost, own, TIMEOUT)
        self.nursery = nursery


def in_scene(test: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a test with a pool; what still waits at its end is given up."""
    own = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)

    async def whole() -> None:
        async with trio.open_nursery() as nursery:
            scene = Scene(own, nursery)
            await scene.pool.start(nursery)
            await test(scene)
            nursery.cancel_scope.cancel()

    run(whole)
    os.close(own)


def elsewhere(kind: str, account: int = 1000) -> Placement:
    """A placement in a namespace that this process is in too, so that it can be opened."""
    link = os.readlink(f"/proc/self/ns/{kind}")
    return Placement(os.getpid(), USER, account, {kind: link})


def account(number: int) -> Placement:
    """A placement in the daemon's namespaces that is charged to an account."""
    return Placement(0, USER, number, {})


def test_an_idle_worker_is_used_again_and_the_last_one_first() -> None:
    async def test(scene: Scene) -> None:
        first, second = (worker.handle for worker in scene.spawner.workers)
        assert [await scene.pool.take(IN_DAEMON), await scene.pool.take(IN_DAEMON)] == [
            second,
            first,
        ]
        assert await scene.pool.take(IN_DAEMON) not in {first, second}
        assert scene.pool.count == 3

    in_scene(test)


def test_an_idle_worker_that_has_ended_or_speaks_unasked_is_not_used() -> None:
    async def test(scene: Scene) -> None:
        dead, chatty = scene.spawner.workers
        dead.end()
        chatty.channel.send(b"?")
        handle = await scene.pool.take(IN_DAEMON)
        assert handle is scene.spawner.workers[2].handle
        assert chatty.is_let_go()
        assert scene.pool.count == 1

    in_scene(test)


def test_a_worker_that_retires_is_let_go() -> None:
    async def test(scene: Scene) -> None:
        handle = await scene.pool.take(IN_DAEMON)
        scene.pool.put_back(handle, retire=True)
        assert scene.spawner.workers[1].is_let_go()
        assert scene.pool.count == 1

    in_scene(test)


def test_a_worker_serves_its_own_namespaces_only() -> None:
    async def test(scene: Scene) -> None:
        handle = await scene.pool.take(elsewhere("uts"))
        identity, namespaces = scene.spawner.asked[-1]
        assert (identity, list(namespaces)) == (USER, ["uts"])
        scene.pool.put_back(handle)
        assert await scene.pool.take(IN_DAEMON) is not handle
        assert await scene.pool.take(elsewhere("ipc")) is not handle
        assert await scene.pool.take(elsewhere("uts", 1001)) is handle

    in_scene(test)


def test_in_a_user_namespace_a_worker_is_of_one_identity() -> None:
    async def test(scene: Scene) -> None:
        scene.pool.put_back(await scene.pool.take(elsewhere("user")))
        other = elsewhere("user")
        other.identity = Identity(1, 1, (), 0)
        assert elsewhere("user").key() != other.key()
        await scene.pool.take(other)
        assert scene.spawner.asked[-1][0] == other.identity

    in_scene(test)


def test_namespaces_are_opened_for_the_worker_and_closed_again() -> None:
    async def test(scene: Scene) -> None:
        placement = elsewhere("uts")
        await scene.pool.take(placement)
        assert not placement.opened
        held = elsewhere("ipc")
        held.hold(os.open("/proc", os.O_RDONLY))
        await scene.pool.take(held)
        assert list(held.opened) == ["ipc"]
        held.release()

    in_scene(test)


def test_namespaces_that_the_requester_has_left_are_refused() -> None:
    async def test(scene: Scene) -> None:
        placement = elsewhere("uts")
        placement.differing["uts"] = "uts:[1]"
        with pytest.raises(Unanswered) as refused:
            await scene.pool.take(placement)
        assert refused.value.errno == errno.EACCES
        assert scene.pool.count == 2
        assert not placement.opened

    in_scene(test)


def test_an_account_has_at_most_four_workers_in_other_namespaces() -> None:
    kinds = ("uts", "ipc", "net", "mnt")

    async def test(scene: Scene) -> None:
        handles = [await scene.pool.take(elsewhere(kind)) for kind in kinds]
        with pytest.raises(Unanswered) as refused:
            await scene.pool.take(elsewhere("cgroup"))
        assert refused.value.errno == errno.EBUSY
        await scene.pool.take(elsewhere("cgroup", 1001))
        # An idle one of the account makes room, the one that is idle longest.
        for handle in handles[:2]:
            scene.pool.put_back(handle)
            await trio.sleep(1)
        count = scene.pool.count
        await scene.pool.take(elsewhere("user"))
        assert scene.pool.count == count
        assert await scene.pool.take(elsewhere("ipc")) is handles[1]

    in_scene(test)


def test_a_full_pool_waits_for_a_worker_and_then_refuses() -> None:
    async def test(scene: Scene) -> None:
        handles = [await scene.pool.take(account(one % 2)) for one in range(MOST_WORKERS)]
        began = trio.current_time()
        with pytest.raises(Unanswered) as refused:
            await scene.pool.take(IN_DAEMON)
        assert refused.value.errno == errno.EBUSY
        assert trio.current_time() - began == pytest.approx(TIMEOUT, abs=0.1)

        async def give_back() -> None:
            await trio.sleep(1)
            scene.pool.put_back(handles[0])

        scene.nursery.start_soon(give_back)
        assert await scene.pool.take(IN_DAEMON) is handles[0]

    in_scene(test)


def test_a_full_pool_ends_an_idle_worker_of_other_namespaces_but_none_of_its_own() -> None:
    async def test(scene: Scene) -> None:
        special = await scene.pool.take(elsewhere("uts"))
        for one in range(MOST_WORKERS - 1):
            await scene.pool.take(account(one % 2))
        scene.pool.put_back(special)
        await scene.pool.take(IN_DAEMON)
        assert scene.pool.count == MOST_WORKERS

    in_scene(test)


def test_a_worker_that_cannot_be_started_is_not_counted() -> None:
    async def test(scene: Scene) -> None:
        scene.spawner.refusal = Unanswered(errno.EIO, "no worker")
        for _ in range(9):
            with pytest.raises(Unanswered):
                await scene.pool.take(elsewhere("uts"))
        assert scene.pool.count == 2
        assert scene.admission.may_have_namespace_worker(1000)

    in_scene(test)


def test_what_is_idle_for_long_is_let_go_but_for_two() -> None:
    async def test(scene: Scene) -> None:
        handles = [await scene.pool.take(IN_DAEMON) for _ in range(4)]
        handles.append(await scene.pool.take(elsewhere("uts")))
        for handle in handles:
            scene.pool.put_back(handle)
        await trio.sleep(9)
        scene.pool.retire_idle()
        assert scene.pool.count == 5
        await trio.sleep(2)
        scene.pool.retire_idle()
        assert scene.pool.count == 2
        assert scene.admission.may_have_namespace_worker(1000)

    in_scene(test)


def test_a_killed_worker_takes_a_place_for_a_second_and_then_counts_against_its_cause() -> None:
    async def test(scene: Scene) -> None:
        handle = await scene.pool.take(IN_DAEMON)
        handle.asked = (b"42", 1000)
        reaped: list[float] = []
        scene.pool.kill(handle, lambda: reaped.append(trio.current_time()))
        await trio.sleep(0.9)
        assert (scene.pool.count, scene.lost.counted) == (2, [])
        await trio.sleep(0.2)
        assert (scene.pool.count, scene.lost.counted) == (1, [(b"42", 1000)])
        assert not reaped
        scene.spawner.workers[1].reap()
        await trio.sleep(0.1)
        assert scene.lost.counted == []
        assert len(reaped) == 1

    in_scene(test)


def test_a_killed_worker_that_only_gets_no_processor_counts_against_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is busy for its account as long as that takes."""

    async def test(scene: Scene) -> None:
        starved = [True]
        monkeypatch.setattr("procmirror.workers.pool.could_run", lambda *_: starved[0])
        taken = [await scene.pool.take(account(7)) for _ in range(MOST_BUSY_OF_ACCOUNT)]
        scene.pool.kill(taken[0], lambda: None)
        told: list[int] = []
        scene.nursery.start_soon(given, scene, 7, told)
        await trio.sleep(2.5)
        assert (told, scene.lost.counted) == ([], [])
        starved[0] = False
        await trio.sleep(1)
        assert (told, len(scene.lost.counted)) == ([7], 1)

    in_scene(test)


def test_a_killed_worker_that_gets_no_processor_for_long_counts_against_who_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(scene: Scene) -> None:
        monkeypatch.setattr("procmirror.workers.pool.could_run", lambda *_: True)
        handle = await scene.pool.take(account(7))
        handle.asked = (b"42", 7)
        scene.pool.kill(handle, lambda: None)
        await trio.sleep(9.9)
        assert scene.lost.counted == []
        await trio.sleep(0.2)
        assert scene.lost.counted == [(b"", 7)]

    in_scene(test)


def test_a_killed_worker_is_busy_for_its_account_until_it_counts_as_lost() -> None:
    async def test(scene: Scene) -> None:
        taken = [await scene.pool.take(account(7)) for _ in range(MOST_BUSY_OF_ACCOUNT)]
        scene.pool.kill(taken[0], lambda: None)
        told: list[int] = []
        scene.nursery.start_soon(given, scene, 7, told)
        await trio.sleep(0.9)
        assert (told, scene.lost.counted) == ([], [])
        await trio.sleep(0.2)
        assert (told, len(scene.lost.counted)) == ([7], 1)

    in_scene(test)


def test_a_killed_worker_that_ends_at_once_counts_against_nobody() -> None:
    async def test(scene: Scene) -> None:
        handle = await scene.pool.take(IN_DAEMON)
        reaped: list[bool] = []
        scene.pool.kill(handle, lambda: reaped.append(True))
        scene.spawner.workers[1].reap()
        await trio.sleep(0.1)
        assert (scene.pool.count, scene.lost.counted, reaped) == (1, [], [True])

    in_scene(test)


def test_an_account_at_its_limit_ends_no_worker_of_another_account() -> None:
    async def test(scene: Scene) -> None:
        other = await scene.pool.take(elsewhere("time", 1001))
        scene.pool.put_back(other)
        for kind in ("uts", "ipc", "net", "mnt"):
            await scene.pool.take(elsewhere(kind))
        with pytest.raises(Unanswered):
            await scene.pool.take(elsewhere("cgroup"))
        assert await scene.pool.take(elsewhere("time", 1001)) is other

    in_scene(test)


async def given(scene: Scene, number: int, told: list[int]) -> None:
    """Wait for a worker as an account, and tell who got one."""
    await scene.pool.take(account(number))
    told.append(number)


def test_an_account_has_its_most_and_leaves_the_rest_to_others() -> None:
    async def test(scene: Scene) -> None:
        taken = [await scene.pool.take(account(7)) for _ in range(MOST_BUSY_OF_ACCOUNT)]
        told: list[int] = []
        scene.nursery.start_soon(given, scene, 7, told)
        await trio.sleep(1)
        assert told == [] and scene.pool.count < MOST_WORKERS
        await scene.pool.take(account(8))
        scene.pool.put_back(taken[0])
        await trio.sleep(1)
        assert told == [7]

    in_scene(test)


def test_who_has_no_worker_gets_one_beyond_the_limit_of_all() -> None:
    async def test(scene: Scene) -> None:
        for one in range(MOST_WORKERS):
            await scene.pool.take(account(one % 2))
        await scene.pool.take(account(8))
        assert scene.pool.count == MOST_WORKERS + 1
        # A worker that is busy may need another to go on.
        await scene.pool.take(account(8), relayed=True)
        with pytest.raises(Unanswered):
            await scene.pool.take(account(8))
        for one in range(100, 100 + MOST_BEYOND - 2):
            await scene.pool.take(account(one))
        with pytest.raises(Unanswered):
            await scene.pool.take(account(99))

    in_scene(test)


def test_the_next_worker_is_for_the_account_that_has_the_fewest() -> None:
    async def test(scene: Scene) -> None:
        await scene.pool.take(account(8))
        greedy = [await scene.pool.take(account(7)) for _ in range(MOST_BUSY_OF_ACCOUNT)]
        for _ in range(MOST_WORKERS - 1 - MOST_BUSY_OF_ACCOUNT):
            await scene.pool.take(account(9))
        told: list[int] = []
        for number in (7, 7, 9, 8):
            scene.nursery.start_soon(given, scene, number, told)
            await trio.sleep(0.1)
        for handle in greedy[:3]:
            scene.pool.put_back(handle)
            await trio.sleep(0.1)
        assert told == [8, 9, 7]

    in_scene(test)


def test_a_worker_beyond_the_limit_is_for_nobody_who_has_some() -> None:
    async def test(scene: Scene) -> None:
        for one in range(MOST_WORKERS):
            await scene.pool.take(account(one % 2))
        scene.pool.put_back(await scene.pool.take(account(8)))
        with pytest.raises(Unanswered):
            await scene.pool.take(account(0))
        count = scene.pool.count
        await scene.pool.take(account(8))
        assert scene.pool.count == count

    in_scene(test)


def test_who_gives_up_waiting_leaves_the_turn_to_the_next() -> None:
    async def test(scene: Scene) -> None:
        busy = [await scene.pool.take(account(one % 2)) for one in range(MOST_WORKERS)]
        told: list[int] = []
        with trio.move_on_after(1):
            await given(scene, 0, told)
        scene.nursery.start_soon(given, scene, 0, told)
        await trio.sleep(0.1)
        scene.pool.kill(busy[0], lambda: None)
        scene.spawner.workers[1].reap()
        await trio.sleep(0.1)
        assert told == [0]

    in_scene(test)


def test_workers_of_one_account_have_together_the_weight_of_one() -> None:
    weights = [1 / 1.25 ** nice(busy) for busy in range(1, MOST_BUSY_OF_ACCOUNT + 1)]
    assert nice(1) == 0
    for busy, weight in enumerate(weights, 1):
        assert 0.85 < busy * weight < 1.15


def confined(label: bytes = b"web (enforce)") -> Placement:
    """A placement under a label of a security module."""
    return Placement(os.getpid(), USER, 1000, {}, label)


def test_a_worker_is_used_for_the_label_that_it_has_taken_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = {"worker": b"web (enforce)"}
    monkeypatch.setattr(pool, "label_of", lambda *_: labels["worker"])

    async def test(scene: Scene) -> None:
        handle = await scene.pool.take(confined())
        assert (handle.key, handle.account) == (confined().key(), 1000)
        scene.pool.put_back(handle)
        assert await scene.pool.take(confined()) is handle
        scene.pool.put_back(handle)
        # A policy that is taken away takes the label from who has it, and never gives it back.
        labels["worker"] = b"unconfined"
        with pytest.raises(Unlabelled):
            await scene.pool.take(confined())
        scene.spawner.workers[-1].end()
        await trio.sleep(0.1)
        assert scene.pool.count == 2

    in_scene(test)


def test_a_label_that_cannot_be_taken_on_is_refused_and_not_tried_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "label_of", lambda *_: b"web (enforce)")

    async def test(scene: Scene) -> None:
        scene.spawner.introduction = Reply(errno.EACCES, "Permission denied")
        before = len(scene.spawner.workers)
        for _ in range(3):
            with pytest.raises(Unlabelled):
                await scene.pool.take(confined())
        assert len(scene.spawner.workers) == before + 1
        scene.spawner.workers[-1].end()
        scene.spawner.introduction = Reply(0)
        await trio.sleep(pool.UNLABELLED_SECONDS + 1)
        assert (await scene.pool.take(confined())).key == confined().key()
        assert (scene.pool.count, scene.admission.may_have_namespace_worker(1000)) == (3, True)

    in_scene(test)


def test_only_until_a_worker_is_ready_its_start_has_time() -> None:
    """From then on its requester can stop it."""

    async def test(scene: Scene) -> None:
        scene.spawner.preparation = None

        async def prepare() -> None:
            await trio.sleep(3)
            scene.spawner.workers[-1].answer(Reply(0))

        scene.nursery.start_soon(prepare)
        with trio.move_on_after(0.5) as limit:
            await scene.pool.take(elsewhere("uts"), limit=limit)
        assert not limit.cancelled_caught
        assert limit.deadline == pytest.approx(trio.current_time() + 0.5)
        scene.spawner.seconds = 1.0
        with trio.move_on_after(0.5) as limit:
            await scene.pool.take(elsewhere("ipc"), limit=limit)
        assert limit.cancelled_caught

    in_scene(test)


@pytest.mark.parametrize("ends", [False, True])
def test_a_worker_that_is_never_ready_is_none(*, ends: bool) -> None:
    async def test(scene: Scene) -> None:
        scene.spawner.preparation = None if ends is False else Reply(errno.EIO, "no modules")
        with pytest.raises(Unanswered) as refused:
            await scene.pool.take(elsewhere("uts"))
        assert refused.value.errno == errno.EIO
        assert scene.spawner.workers[-1].is_let_go()
        scene.spawner.workers[-1].reap()
        await trio.sleep(0.1)
        assert scene.pool.count == 2

    in_scene(test)


def test_a_worker_from_before_all_modules_were_there_is_not_used_again() -> None:
    async def test(scene: Scene) -> None:
        first = await scene.pool.take(IN_DAEMON)
        scene.pool.put_back(first)
        scene.pool.complete_from = trio.current_time() + 1
        assert await scene.pool.take(IN_DAEMON) is first
        scene.pool.put_back(first)
        await trio.sleep(2)
        second = await scene.pool.take(IN_DAEMON)
        assert second is not first and first.channel.fileno() == -1
        scene.pool.put_back(second)
        assert await scene.pool.take(IN_DAEMON) is second

    in_scene(test)


def test_idle_workers_from_before_are_replaced() -> None:
    async def test(scene: Scene) -> None:
        count = scene.pool.count
        before = list(scene.spawner.workers)
        scene.pool.complete_from = trio.current_time() + 1
        await scene.pool.replace_early()
        assert scene.spawner.workers == before
        await trio.sleep(2)
        await scene.pool.replace_early()
        assert scene.pool.count == count > 0
        assert all(one.handle.channel.fileno() == -1 for one in before)
        assert len(scene.spawner.workers) == 2 * len(before)

    in_scene(test)
