"""The daemon's side of the fork server: each answer is for its request, and a lost server is replaced.

The other side is a socket of the test, so that no process is started.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from procmirror.identity.errors import Unanswered
from procmirror.workers import forkserver_client
from procmirror.workers.forkserver_client import ForkServer
from procmirror.workers.placement import IN_DAEMON
from procmirror.workers.protocol import (
    LOAD_VIEWS,
    MESSAGE_BYTES,
    SpawnRequest,
    decode_spawn_request,
    encode,
)
from tests.workers.fakes import run

TIMEOUT = 5.0


class Far:
    """A zygote whose fork servers are sockets of the test."""

    def __init__(self, *_: object) -> None:
        self.servers: list[socket.socket] = []

    def fork_server(self) -> tuple[socket.socket, int]:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        far.settimeout(10)
        self.servers.append(far)
        return near, -1

    def received(self) -> tuple[SpawnRequest, list[int]]:
        """The next request of the last server, with its descriptors."""
        message, descriptors, _, _ = socket.recv_fds(self.servers[-1], MESSAGE_BYTES, 8)
        return decode_spawn_request(message), descriptors

    def answer(self, serial: int, number: int, count: int = 3) -> None:
        """Send the pid of a worker, with `count` descriptors of pipes beside a socket."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipe = os.pipe()
        descriptors = [near.fileno(), *pipe][:count]
        socket.send_fds(self.servers[-1], [encode((serial, number))], descriptors)
        for one in (near, far):
            one.close()
        for descriptor in pipe:
            os.close(descriptor)

    def close(self) -> None:
        for one in self.servers:
            one.close()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    zygote = Far()
    monkeypatch.setattr(forkserver_client, "Zygote", lambda _: zygote)
    yield zygote
    zygote.close()


@pytest.fixture
def server(far: Far) -> Iterator[ForkServer]:
    roots: Any = SimpleNamespace(own=os.open("/proc", os.O_RDONLY | os.O_DIRECTORY))
    made = ForkServer(roots, TIMEOUT)
    assert not far.servers
    made.begin()
    assert len(far.servers) == 1
    yield made
    made.channel.close()
    os.close(roots.own)


def together(*steps: Callable[[], Awaitable[None]]) -> None:
    """Run the first step, and each other one when nothing else can go on."""

    async def test() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(steps[0])
            for step in steps[1:]:
                await trio.testing.wait_all_tasks_blocked()
                await step()

    run(test)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_worker_comes_with_its_number_and_its_note(server: ForkServer, far: Far) -> None:
    async def asks() -> None:
        handle = await server.spawn(IN_DAEMON.identity, {"uts": 0}, b"label")
        assert handle.pid == 4711 and handle.note >= 0
        # No process has this number.
        assert handle.directory == -1
        handle.close()

    async def answers() -> None:
        request, namespaces = far.received()
        assert (request.kinds, request.label, len(namespaces)) == (("uts",), b"label", 1)
        os.close(namespaces[0])
        far.answer(request.serial, -4711)

    together(asks, answers)


def test_the_directory_is_that_of_a_worker_that_lives(server: ForkServer) -> None:
    before = descriptors()
    with subprocess.Popen(["sleep", "100"]) as program:
        pidfd = os.pidfd_open(program.pid)
        found = server._directory_of(program.pid, pidfd)
        assert os.path.samestat(os.fstat(found), Path(f"/proc/{program.pid}").stat())
        os.close(found)
        program.kill()
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        # Its number may be another's at any moment.
        assert server._directory_of(program.pid, pidfd) == -1
        program.wait()
        assert server._directory_of(program.pid, pidfd) == -1
        os.close(pidfd)
    assert descriptors() == before


def test_a_worker_that_could_not_be_made_is_no_reason_for_another_server(
    server: ForkServer, far: Far
) -> None:
    async def asks() -> None:
        with pytest.raises(Unanswered):
            await server.spawn(IN_DAEMON.identity, {})

    async def answers() -> None:
        request, _ = far.received()
        far.answer(request.serial, 11, count=0)

    together(asks, answers)
    assert len(far.servers) == 1


@pytest.mark.parametrize("ends", [True, False])
def test_a_server_that_ends_or_answers_another_request_is_replaced(
    server: ForkServer, far: Far, ends: bool
) -> None:
    async def asks() -> None:
        with pytest.raises(Unanswered):
            await server.spawn(IN_DAEMON.identity, {})

    async def answers() -> None:
        request, _ = far.received()
        if ends:
            far.servers[-1].close()
        else:
            far.answer(request.serial - 1, -4711)

    before = descriptors()
    together(asks, answers)
    assert len(far.servers) == 2
    # What came with the answer to another request is closed; the new server has a socket more.
    assert descriptors() - before == (0 if ends else 1)


def test_a_server_that_does_not_answer_in_time_is_replaced(server: ForkServer, far: Far) -> None:
    async def asks() -> None:
        began = trio.current_time()
        with pytest.raises(Unanswered):
            await server.spawn(IN_DAEMON.identity, {})
        assert trio.current_time() - began == TIMEOUT

    run(asks)
    assert len(far.servers) == 2


def test_a_request_is_completed_also_if_its_requester_gave_up(server: ForkServer, far: Far) -> None:
    pids = []

    async def asks() -> None:
        with trio.move_on_after(1) as scope:
            (await server.spawn(IN_DAEMON.identity, {})).close()
        assert scope.cancel_called
        handle = await server.spawn(IN_DAEMON.identity, {})
        pids.append(handle.pid)
        handle.close()

    async def answers(pid: int) -> None:
        await trio.sleep(2)
        far.answer(far.received()[0].serial, -pid)

    together(asks, lambda: answers(1), lambda: answers(2))
    assert pids == [2]


def test_each_server_is_told_once_that_the_mount_is_used(server: ForkServer, far: Far) -> None:
    async def asks() -> None:
        server.note_use()
        server.note_use()
        with pytest.raises(Unanswered):
            await server.spawn(IN_DAEMON.identity, {})

    async def is_lost() -> None:
        assert far.servers[0].recv(MESSAGE_BYTES) == LOAD_VIEWS
        far.received()
        far.servers[0].close()

    together(asks, is_lost)
    assert far.servers[-1].recv(MESSAGE_BYTES) == LOAD_VIEWS
