"""What the kernel and psutil say of scheduling, timers and personality, and what the views say."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from procmirror.decoding.text import interval
from tests.harness import until
from tests.live import of

pytestmark = pytest.mark.root

SELF = Path("/proc/self")


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(
        ["setarch", "--addr-no-randomize", "--uname-2.6", "chrt", "--rr", "7", "sleep", "300"]
    ) as process:
        try:
            comm = Path(f"/proc/{process.pid}/comm")
            until(lambda: comm.read_text(encoding="ascii") == "sleep\n", "chrt does not start it")
            yield process.pid
        finally:
            process.kill()


def test_the_policy_and_priority_are_those_that_chrt_set(sleeper: int) -> None:
    sched = of("PID/sched", f"/proc/{sleeper}")
    assert (sched.comm, sched.pid, sched.policy, sched.prio) == (
        "sleep",
        sleeper,
        "SCHED_RR",
        99 - 7,
    )


def test_the_personality_is_the_one_that_setarch_set(sleeper: int) -> None:
    personality = of("PID/personality", f"/proc/{sleeper}")
    assert (personality.domain, set(personality.flags)) == (
        "PER_LINUX",
        {"UNAME26", "ADDR_NO_RANDOMIZE"},
    )


def test_switches_and_times_are_those_of_psutil(sleeper: int) -> None:
    process, sched, schedstat = (
        psutil.Process(sleeper),
        of("PID/sched", f"/proc/{sleeper}"),
        of("PID/schedstat", f"/proc/{sleeper}"),
    )
    switches = process.num_ctx_switches()
    assert (sched.nr_voluntary_switches, sched.nr_involuntary_switches) == (
        switches.voluntary,
        switches.involuntary,
    )
    assert schedstat.cpu_time == pytest.approx(sched.sum_exec_runtime)
    assert schedstat.cpu_time == pytest.approx(sum(process.cpu_times()[:2]), abs=0.03)


def test_a_thread_s_own_cpu_time_is_that_of_its_clock() -> None:
    before = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
    shown = of("PID/schedstat", f"/proc/self/task/{os.getpid()}").cpu_time
    after = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
    assert before - 0.02 <= shown <= after


def test_a_core_dump_holds_what_was_asked_for(sleeper: int) -> None:
    path = Path(f"/proc/{sleeper}/coredump_filter")
    path.write_text("0x10a", encoding="ascii")
    assert of("PID/coredump_filter", path.parent).dumped == [
        "ANON_SHARED",
        "MAPPED_SHARED",
        "DAX_SHARED",
    ]


def test_the_slack_of_timers_is_the_one_written(sleeper: int) -> None:
    with subprocess.Popen(["sleep", "300"]) as process:
        Path(f"/proc/{process.pid}/timerslack_ns").write_text("123456", encoding="ascii")
        assert of("PID/timerslack_ns", f"/proc/{process.pid}").timerslack == pytest.approx(
            123456e-9
        )
        process.kill()
    assert of("PID/timerslack_ns", f"/proc/{sleeper}").timerslack in {0, 50e-6}


def test_the_offsets_of_a_time_namespace_are_those_unshare_set() -> None:
    with subprocess.Popen(
        ["unshare", "--time", "--fork", "--monotonic", "1000", "--boottime", "-5", "sleep", "300"]
    ) as process:
        while (
            not (children := psutil.Process(process.pid).children())
            or children[0].name() != "sleep"
        ):
            time.sleep(0.02)
        offsets = of("PID/timens_offsets", f"/proc/{children[0].pid}")
        children[0].kill()
    assert [(one.clock, one.offset) for one in offsets] == [("monotonic", 1000), ("boottime", -5)]


def test_a_process_without_timers_has_none() -> None:
    assert of("PID/timers", SELF) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0, "0"),
        (5e-8, "50ns"),
        (5e-5, "50us"),
        (-0.0015, "-1.5ms"),
        (2.5, "2.5s"),
        (61, "1m01s"),
    ],
)
def test_short_times_have_their_unit(seconds: float | None, shown: str) -> None:
    assert interval(seconds) == shown
