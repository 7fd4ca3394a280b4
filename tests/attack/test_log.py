"""A log that takes nothing costs lines of the log, and no answer."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.cli import log as log_handlers
from tests.harness import DEADLINE, ROOT, until
from tests.reliability.mirrors import at_once
from tests.reliability.readers import Job, ask, read
from tests.reliability.stuck import Stuck, stuck

# A mirror in the background, in a mount namespace whose syslog is the socket $1. It is seen by the
# root directory of the shell, which stays.
_OWN_LOG = (
    "mount -t tmpfs dev /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/fuse c 10 229 "
    '&& ln -s "$1" /dev/log && "$3" -m procmirror --timeout 0.3 "$2" && echo mounted && read end; '
    'umount -l "$2"'
)


def lines_caused(mirror: Path, target: Stuck, count: int) -> None:
    """Let the daemon log about `count` lines: of reads that end after their deadline."""
    for _ in range(count):
        ask([Job([read(mirror / str(target.pid) / "cmdline")])])
        time.sleep(1.1)


def assert_answers(mirror: Path) -> None:
    steps = [read(mirror / "1/comm"), read(mirror / "1/cmdline"), read("/proc/self/environ")]
    (answers,) = ask([Job(steps)], 30)
    assert [answer.error for answer in answers] == ["", "", ""]
    assert max(answer.seconds for answer in answers) < at_once() + 4 * answers[-1].seconds


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "proc"
    folder.mkdir()
    yield folder
    while os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_pipe_of_standard_error_stops_nobody_and_a_signal_ends(point: Path) -> None:
    ours, theirs = os.pipe()
    daemon = subprocess.Popen(
        [sys.executable, "-m", "procmirror", "-f", "--timeout", "0.3", point],
        stderr=theirs,
        cwd=ROOT,
    )
    try:
        until(lambda: os.path.ismount(point), "not mounted")
        os.set_blocking(theirs, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(theirs, b"x" * 4096)
        os.set_blocking(theirs, True)
        with stuck() as (target,):
            lines_caused(point, target, 2)
            assert_answers(point)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(DEADLINE) == 0
    finally:
        daemon.kill()
        daemon.wait()
        os.close(theirs)
        os.close(ours)


@contextlib.contextmanager
def background(log: Path, point: Path) -> Iterator[Path]:
    """Where a mirror is seen that runs in the background and logs to a socket."""
    shell = ["unshare", "-m", "--propagation", "private", "sh", "-c", _OWN_LOG, "sh"]
    with subprocess.Popen(
        [*shell, log, point, sys.executable],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdin and program.stdout
        assert program.stdout.readline() == b"mounted\n"
        try:
            yield Path(f"/proc/{program.pid}/root{point}")
        finally:
            program.stdin.close()


def filled(log: Path) -> None:
    """Let other programs have filled the queue of a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)  # noqa: FBT003
        other.connect(str(log))
        with contextlib.suppress(BlockingIOError):
            while True:
                other.send(b"<30>other: line")


def test_a_full_socket_of_syslog_stops_nobody(tmp_path: Path, point: Path) -> None:
    log = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(log))
        with background(log, point) as mirror, stuck() as (target,):
            filled(log)
            lines_caused(mirror, target, 2)
            assert_answers(mirror)
            syslog.setblocking(False)  # noqa: FBT003
            with contextlib.suppress(BlockingIOError):
                while True:
                    assert b"procmirror" not in syslog.recv(1 << 16)
            lines_caused(mirror, target, 1)
            lines = [syslog.recv(1 << 16) for _ in range(2)]
            assert all(b"procmirror[" in line for line in lines), "they come when there is room"


def test_a_log_daemon_that_reads_the_mirror_is_answered(tmp_path: Path, point: Path) -> None:
    log = tmp_path / "log"
    stop = threading.Event()
    seen: list[bytes] = []

    def flood() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.settimeout(1)
            other.connect(str(log))
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    other.send(b"<30>other: line")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(log))
        syslog.settimeout(DEADLINE)
        with background(log, point) as mirror, stuck() as (target,):

            def follow() -> None:
                while not stop.is_set():
                    line = syslog.recv(1 << 16)
                    # A reader of its own, so that a deadlock is not this test's.
                    ask([Job([read(mirror / "self/comm")])], 20)
                    seen.append(line)

            threads = [threading.Thread(target=one, daemon=True) for one in (flood, follow)]
            for one in threads:
                one.start()
            lines_caused(mirror, target, 2)
            assert_answers(mirror)
            before = len(seen)
            until(lambda: len(seen) > before, "the log daemon is not answered any more")
            stop.set()
            for one in threads:
                one.join(20)


def handler_to(send: list[bytes], room: list[int]) -> logging.Handler:
    def take(data: bytes) -> int:
        if not room[0]:
            raise BlockingIOError
        room[0] -= 1
        send.append(data)
        return len(data)

    return log_handlers.NonBlockingHandler(
        take, lambda _, line: line.encode() + b"\n", "%(message)s"
    )


def record(number: int) -> logging.LogRecord:
    return logging.LogRecord("x", logging.WARNING, "", 0, "line %d", (number,), None)


def test_lines_wait_and_what_was_dropped_is_told() -> None:
    taken: list[bytes] = []
    room = [1]
    handler = handler_to(taken, room)
    for number in range(150):
        handler.emit(record(number))
    assert taken == [b"line 0\n"]
    room[0] = 1000
    handler.flush()
    assert taken[1] == b"line 50\n"
    assert taken[2] == b"49 lines of the log were dropped\n"
    assert taken[-1] == b"line 149\n"
    assert len(taken) == 102
