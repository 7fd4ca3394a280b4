"""What the thread that polls an io_uring for its program waits for (IORING_SETUP_SQPOLL)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from procmirror.decoding.view import Machine
from procmirror.views.pid import task
from tests.harness import ROOT, until
from tests.live_target import LiveTarget

POLLED = """import time
from tests.permissions.ring import Ring
ring = Ring("polled")
print(flush=True)
time.sleep(600)
"""


@pytest.fixture
def program() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", POLLED], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout and process.stderr
            if not process.stdout.readline():
                error = process.stderr.read().decode()
                assert "io_uring_setup" in error or "Errno" in error, error
                pytest.skip("the kernel gives this user no io_uring")
            yield process.pid
        finally:
            process.kill()


def test_it_waits_for_a_submission_when_none_came_for_a_while(program: int) -> None:
    def poller() -> task.Thread | None:
        threads = task.join(LiveTarget(f"/proc/{program}"), Machine())
        (found,) = (one for one in threads if one.tid != program)
        return found if found.wchan else None

    found = until(poller, "the thread never rests")
    assert (found.comm, found.wchan) == (f"iou-sqp-{program}", "io_sq_thread")
    assert found.waits_for == "a submission to its io_uring"
