"""When the loop waits for a request by its read alone: where nothing else can come meanwhile."""

from __future__ import annotations

import itertools
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
import trio
import trio.testing

from procmirror.fuse import loop


def in_a_pass(beside: Callable[[], Awaitable[object]] | None = None, waiting: int = 0) -> bool:
    """Whether the loop counts as alone in a pass, beside a task of trio."""

    async def main() -> bool:
        async with trio.open_nursery() as nursery:
            if beside:
                nursery.start_soon(beside)
            await trio.testing.wait_all_tasks_blocked()
            tried = loop.Loop(1)
            tried.waiting = waiting
            tried.begin_pass()
            found = tried.alone
            tried.end_pass()
            assert not tried.alone
            nursery.cancel_scope.cancel()
        return found

    return trio.run(main)


def test_a_read_waits_alone_where_nothing_else_can_come() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert in_a_pass()
        assert in_a_pass(partial(trio.sleep, 10))
        assert in_a_pass(trio.sleep_forever)
        assert not in_a_pass(partial(trio.lowlevel.wait_readable, one))
        assert not in_a_pass(partial(trio.sleep, 0.05))
        assert not in_a_pass(waiting=1)


def test_without_a_timer_no_read_waits_alone() -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(in_a_pass()))
    thread.start()
    thread.join()
    assert found == [False]


def test_where_no_signal_would_end_it_nothing_waits_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a version of trio that keeps its epoll descriptor elsewhere."""
    monkeypatch.setattr(loop, "_epoll_of_trio", lambda: -1)
    assert not in_a_pass()


class Alone:
    """A loop in a pass in which nothing else can come, with what stands for /dev/fuse."""

    def __init__(self, requests: socket.socket) -> None:
        self.loop = loop.Loop(1)
        self.loop._known.add(requests.fileno())
        self.loop._poller.register(requests, select.POLLIN)
        self.loop.limit.runs = True
        self.loop.begin_pass()
        assert self.loop.alone


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(2)]
    yield made
    for one in itertools.chain(*made):
        one.close()


def test_an_answer_is_waited_for_without_a_limit_until_a_request_comes(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    (requests, client), (channel, worker) = pairs
    found: list[tuple[bool, bool]] = []

    async def main() -> None:
        tried = Alone(requests).loop
        answer = threading.Timer(0.05, worker.send, (b"answer",))
        answer.start()
        found.append((tried.poll_alone(channel.fileno()), tried.alone))
        channel.recv(10)
        answer.join()
        request = threading.Timer(0.05, client.send, (b"request",))
        request.start()
        found.append((tried.poll_alone(channel.fileno()), tried.alone))
        request.join()

    trio.run(main)
    assert found == [(True, True), (False, False)]


@pytest.mark.parametrize("case", ["without a timer", "not alone"])
def test_nobody_waits_without_a_limit_but_the_handler_of_a_request(
    pairs: list[tuple[socket.socket, socket.socket]], case: str
) -> None:
    (requests, _), (channel, worker) = pairs
    worker.send(b"answer")

    async def main() -> None:
        tried = Alone(requests).loop
        if case == "without a timer":
            tried.limit.runs = False
        else:
            tried.end_pass()
        assert not tried.poll_alone(channel.fileno())

    trio.run(main)
