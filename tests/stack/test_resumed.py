"""A call that was interrupted by a signal and goes on: only the kernel knows which it is."""

from __future__ import annotations

import os
import signal
import subprocess

from procmirror.decoding.view import Machine
from procmirror.views.pid import process, stack
from tests.harness import state_of, until
from tests.live_target import LiveTarget
from tests.stack.targets import asleep


def test_a_sleep_that_was_stopped_and_continued_is_still_a_sleep() -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        try:
            asleep(sleeper.pid)
            os.kill(sleeper.pid, signal.SIGSTOP)
            until(lambda: state_of(sleeper.pid) == "T")
            os.kill(sleeper.pid, signal.SIGCONT)
            until(lambda: state_of(sleeper.pid) == "S")
            target = LiveTarget(f"/proc/{sleeper.pid}")
            (thread,) = stack.join(target, Machine()).threads
            told = process.join(target, Machine()).waits_for
        finally:
            sleeper.kill()
    assert told and "sleep" in told
    assert thread.waits_for and "sleep" in thread.waits_for
