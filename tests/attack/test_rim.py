"""What goes wrong in one request costs that request, and never the mount or an operation."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyfuse3
import pytest
import trio

from procmirror.fuse import loop
from procmirror.fuse.counts import Counts
from procmirror.fuse.errno_limits import sendable
from procmirror.fuse.operations import ProcMirror
from procmirror.fuse.session_tasks import SessionNursery
from tests.harness import DEADLINE, ROOT, until
from tests.programs import children
from tests.reliability.mirrors import forge_of, mirrored
from tests.reliability.readers import Job, ask, read

# A mirror whose own calls fail by orders: the name of a file that asks for it is the errno.
_FAILING = """
import errno, os, runpy
from procmirror.procfs import proc
opened = proc.open_file
def open_file(directory, path, *rest):
    if path.endswith(b"loadavg"):
        raise OSError(int(open("ORDER").read()), "by order")
    return opened(directory, path, *rest)
proc.open_file = open_file
runpy.run_module("procmirror", None, "__main__")
"""


@pytest.mark.parametrize("code", [errno.ENOSYS, 512, 516, 4095])
def test_an_errno_that_would_end_an_operation_is_not_sent(tmp_path: Path, code: int) -> None:
    order = tmp_path / "order"
    order.write_text(str(code))
    with mirrored(program=("-c", _FAILING.replace("ORDER", str(order)))) as mirror:
        (answers,) = ask([Job([read(mirror.path / "loadavg"), read(mirror.path / "version")] * 2)])
        assert [answer.error for answer in answers] == ["EIO", "", "EIO", ""]


def test_which_errnos_are_sent() -> None:
    assert [sendable(code) for code in (1, errno.EACCES, 511)] == [1, errno.EACCES, 511]
    assert {sendable(code) for code in (errno.ENOSYS, 0, -1, 512, 524, 4096)} == {errno.EIO}


@pytest.mark.parametrize(
    "handler",
    ["release", "releasedir", "statfs", "create", "fsync", "lookup", "read", "readdir"],
)
def test_no_handler_lets_anything_but_an_errno_out(handler: str) -> None:
    mirror = object.__new__(ProcMirror)
    mirror._complained = 0.0
    mirror.counts = Counts()

    async def called() -> None:
        await getattr(mirror, handler)([(1, 1)], b"", 0)

    with pytest.raises(pyfuse3.FUSEError):
        trio.run(called)


def test_what_cannot_be_forgotten_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    mirror = object.__new__(ProcMirror)
    trio.run(mirror.forget, [(1, 1), (2, 1)])
    assert len(caplog.records) == 2


def test_a_receive_that_fails_for_now_does_not_end_the_loop() -> None:
    times = []

    async def session(*_: object) -> None:
        times.append(trio.current_time())
        if len(times) < 3:
            raise OSError(errno.ENOMEM, "no memory")

    async def run() -> None:
        nursery = SessionNursery(loop.Loop(10))
        async with nursery:
            nursery.start_soon(session)

    trio.run(run)
    assert len(times) == 3


def test_a_stopped_fork_server_costs_the_timeout_and_the_daemon_ends_by_a_signal() -> None:
    with mirrored("--timeout", "1") as mirror:
        # A daemon whose first worker does not come is not ready, and ends.
        until((mirror.path / "self/environ").read_bytes, "no worker answers")
        server = forge_of(mirror)
        workers = children(server)
        assert workers
        os.kill(server, 19)
        for worker in workers:
            os.kill(worker, 9)
        (answers,) = ask([Job([read(mirror.path / "1/cmdline")] * 3)], 20)
        assert max(answer.seconds for answer in answers) < 6
        assert answers[-1].error == ""


@contextlib.contextmanager
def fusectl() -> Iterator[Path]:
    folder = Path("/sys/fs/fuse/connections")
    ours = not any(folder.iterdir()) and not os.path.ismount(folder)
    if ours:
        subprocess.run(["mount", "-t", "fusectl", "none", folder], check=True)
    try:
        yield folder
    finally:
        if ours:
            subprocess.run(["umount", "-l", folder], check=True)


def test_a_connection_that_the_kernel_aborts_is_unmounted_and_a_failure(tmp_path: Path) -> None:
    with (
        fusectl() as connections,
        subprocess.Popen(
            [sys.executable, "-m", "procmirror", "-f", tmp_path], cwd=ROOT, stderr=subprocess.PIPE
        ) as daemon,
    ):
        assert daemon.stderr
        try:
            until(lambda: os.path.ismount(tmp_path), "not mounted")
            number = os.minor(tmp_path.stat().st_dev)
            (connections / str(number) / "abort").write_text("1")
            assert daemon.wait(DEADLINE) == 1
            assert b"aborted" in daemon.stderr.read()
            assert not os.path.ismount(tmp_path)
        finally:
            daemon.kill()
            subprocess.run(["umount", "-lq", tmp_path], check=False, stderr=subprocess.DEVNULL)
