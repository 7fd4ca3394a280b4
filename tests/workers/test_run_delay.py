"""How long others keep a process from running, as the kernel counts it, with real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.workers.run_delay import RunDelay, run_delay

_SPINS = "print(flush=True)\nwhile True: pass"
_SECONDS = 0.5


@pytest.fixture
def own() -> Iterator[int]:
    descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@contextlib.contextmanager
def spinning(count: int) -> Iterator[list[int]]:
    """Processes that want a processor all the time, all of them the same one."""
    programs = [
        subprocess.Popen([sys.executable, "-c", _SPINS], stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        for program in programs:
            assert program.stdout
            assert program.stdout.readline()
        for program in programs:
            os.sched_setaffinity(program.pid, {min(os.sched_getaffinity(0))})
        yield [program.pid for program in programs]
    finally:
        for program in programs:
            program.kill()
            program.communicate()


_DIRECTORIES: list[int] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _DIRECTORIES:
        os.close(_DIRECTORIES.pop())


def delay_of(own: int, pid: int) -> RunDelay:
    """The waits of a process from now on."""
    _DIRECTORIES.append(os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY))
    return RunDelay(own, _DIRECTORIES[-1], pid)


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """Have this process where those that spin are."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def test_who_shares_a_processor_waits_for_it(own: int) -> None:
    with spinning(3) as pids, on_one_processor():
        delay = delay_of(own, pids[0])
        time.sleep(_SECONDS)
        # Two others and this process have theirs meanwhile.
        assert delay.look(_SECONDS)
        assert _SECONDS / 4 < delay.seconds < 2 * _SECONDS


def test_who_runs_does_not_wait(own: int) -> None:
    """A long read in the kernel is no wait, though its state is R, too."""
    with spinning(1) as (pid,), on_one_processor():
        delay = delay_of(own, pid)
        before = Path(f"/proc/{pid}/schedstat").read_text("ascii").split()
        time.sleep(_SECONDS)
        kept = delay.look(_SECONDS)
        ran, waited = (
            (int(now) - int(then)) / 1e9
            for now, then in zip(
                Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[:2],
                before[:2],
                strict=True,
            )
        )
        # On a busy machine it waits for other programs than this one.
        assert kept == (waited > _SECONDS / 2 or ran < _SECONDS / 2)


def test_whom_its_user_has_wait_has_no_excuse(own: int) -> None:
    with spinning(4) as pids:
        nicer, batch, placed, _ = pids
        os.setpriority(os.PRIO_PROCESS, nicer, 19)
        os.sched_setscheduler(batch, os.SCHED_BATCH, os.sched_param(0))
        with on_one_processor():
            delays = [delay_of(own, pid) for pid in (nicer, batch)]
            time.sleep(_SECONDS)
            assert [(one.look(_SECONDS), one.seconds) for one in delays] == [(False, 0.0)] * 2
        if len(os.sched_getaffinity(0)) > 1:
            delay = delay_of(own, placed)
            time.sleep(_SECONDS)
            assert (delay.look(_SECONDS), delay.seconds) == (False, 0.0)


def test_who_is_stopped_does_not_wait_for_a_processor(own: int) -> None:
    with spinning(2) as pids, on_one_processor():
        os.kill(pids[0], signal.SIGSTOP)
        os.waitid(os.P_PID, pids[0], os.WSTOPPED)
        stopped = delay_of(own, pids[0])
        time.sleep(_SECONDS / 5)
        assert (stopped.look(_SECONDS / 5), stopped.seconds) == (False, 0.0)


def test_who_is_gone_has_waited_for_nothing(own: int, tmp_path: Path) -> None:
    program = subprocess.Popen(["sleep", "100"])
    gone = delay_of(own, program.pid)
    program.kill()
    program.wait()
    assert (gone.look(1.0), gone.seconds) == (False, 0.0)
    here = os.open(tmp_path, os.O_RDONLY)
    assert run_delay(here, b"self") == 0
    os.close(here)


def test_the_time_of_this_process_grows(own: int) -> None:
    first = run_delay(own, b"self")
    assert 0 <= first <= run_delay(own, b"self")
