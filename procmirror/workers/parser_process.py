"""The processes that parse what others wrote: without a capability, root's user id, files, calls.

One server forks them. It starts before the first request and never parses anything itself, so
nothing of a requester is in its memory, and it has no rights that a parser could inherit. A parser
has its socket, reads the files that it is sent, and computes; any other system call ends it.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import time
from contextlib import suppress
from typing import NoReturn

from procmirror.identity import own_process, seccomp
from procmirror.identity.credentials import drop_all
from procmirror.stack.process import FILES, Process
from procmirror.stack.user_side import HereParser
from procmirror.workers.children import kept_as_zombies
from procmirror.workers.parsing import MOST_FILES, Channel, Done, Work, decode_order
from procmirror.workers.remote_target import RemoteTarget

# What a parser may take: bytes of memory, and of the processor in its whole life.
_MEMORY_BYTES = 512 << 20
_CPU_SECONDS = 60
# After so many seconds of the processor it is replaced.
_RETIRE_SECONDS = 20.0
_MOST_OPEN = 1024


def serve(spawner: socket.socket) -> NoReturn:
    """Fork a parser for each socket that comes through `spawner`, to which its pidfd is sent.

    With the socket comes the pidfd of the worker.
    """
    own_process.close_all_but({0, 1, 2, spawner.fileno()})
    _let_go_of_streams()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    drop_all()
    own_process.die_with_parent()
    _limit()
    gc.freeze()
    pairs = Pairs(spawner)
    while True:
        pairs.wait()
        message, descriptors, _, _ = socket.recv_fds(spawner, 1, 2)
        if not message:
            os._exit(0)
        if len(descriptors) == 2:
            with socket.socket(fileno=descriptors[0]) as connected:
                parser = _spawn(pairs, descriptors[1], connected, message[0])
            pairs.add(descriptors[1], parser)
        else:
            # There was no room for both.
            for descriptor in descriptors:
                os.close(descriptor)


class Pairs:
    """Each parser with the worker that uses it: a parser ends with its worker, whatever it does.

    That its socket has ended is nothing to one that an attacker has taken over.
    """

    def __init__(self, spawner: socket.socket) -> None:
        self._spawner = spawner
        self._poller = select.poll()
        self._poller.register(spawner, select.POLLIN)
        # The pidfds of a worker and its parser, by each of the two.
        self._pairs: dict[int, tuple[int, int]] = {}

    def wait(self) -> None:
        """Wait until there is a request."""
        asked = False
        while not asked:
            for descriptor, _ in self._poller.poll():
                asked = asked or descriptor == self._spawner.fileno()
                if pair := self._pairs.get(descriptor):
                    self._part(*pair)

    def add(self, worker: int, parser: int) -> None:
        """Have a parser end with a worker; -1 for no parser."""
        if parser < 0:
            os.close(worker)
            return
        for descriptor in (worker, parser):
            self._pairs[descriptor] = worker, parser
            self._poller.register(descriptor, select.POLLIN)

    def _part(self, worker: int, parser: int) -> None:
        """One of them has ended."""
        # It ended by itself if that fails.
        with suppress(OSError):
            signal.pidfd_send_signal(parser, signal.SIGKILL)
        for descriptor in (worker, parser):
            self._poller.unregister(descriptor)
            os.close(descriptor)
            del self._pairs[descriptor]

    def close(self) -> None:
        """Keep nothing of this in a child."""
        self._spawner.close()
        for descriptor in self._pairs:
            os.close(descriptor)


def _let_go_of_streams() -> None:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_DATA, _MEMORY_BYTES),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_NOFILE, _MOST_OPEN),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        _, hard = resource.getrlimit(what)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


def _spawn(pairs: Pairs, worker: int, connected: socket.socket, nice: int) -> int:
    """Fork a parser for a worker, with a nice value; returns its pidfd.

    -1 if that fails: who waits for it gets nothing, and the end of the socket.
    """
    server = os.getpid()
    with kept_as_zombies(), suppress(OSError):
        pid = os.fork()
        if pid == 0:
            try:
                own_process.die_with_parent()
                if os.getppid() != server:
                    os._exit(0)
                pairs.close()
                os.close(worker)
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, 0, nice)
                _parse(Channel(connected))
            finally:
                os._exit(0)
        watch = os.pidfd_open(pid)
        # A worker that has ended meanwhile is found out at once.
        with suppress(OSError):
            socket.send_fds(connected, [b"\0"], [watch])
        return watch
    return -1


def _parse(channel: Channel) -> None:
    """Answer one worker until it goes away."""
    for number in (0, 1, 2):
        os.close(number)
    seccomp.only_compute()
    Parsing(channel).serve()


class Parsing:
    """The serving side of a parser's socket."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._remote: RemoteTarget | None = None
        self._parser: HereParser | None = None

    def serve(self) -> None:
        """Find user sides until the other side goes away."""
        while True:
            message, descriptors = self._channel.receive(MOST_FILES)
            if not message:
                return
            order = decode_order(message)
            if isinstance(order, Work):
                self._work(order, descriptors)
            else:
                self._end()
                self._channel.send(Done())

    def _work(self, order: Work, descriptors: list[int]) -> None:
        if order.maps is not None:
            self._end()
            self._remote = RemoteTarget(self._channel, order.maps)
            self._parser = HereParser(Process(self._remote))
        found = None
        if self._remote:
            self._remote.learn(order.told, descriptors)
        with suppress(MemoryError):
            if self._parser:
                found = self._parser.user_side(order.job)
        if order.job.last:
            self._end()
        retire = found is None or time.process_time() > _RETIRE_SECONDS
        self._channel.send(Done(found, retire))

    def _end(self) -> None:
        if self._remote:
            self._remote.close()
            FILES.settle()
        self._remote = self._parser = None
