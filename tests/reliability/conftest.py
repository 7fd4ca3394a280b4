"""Each test here has an end: after it whoever waits is let go, and the test fails."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.harness import load
from tests.reliability.mirrors import end_all

DEADLINE = 200.0


@pytest.fixture(autouse=True)
def deadline(request: pytest.FixtureRequest) -> Iterator[None]:
    """The hard limit of a test: `DEADLINE` of its module, or the one above; more under load."""
    seconds = float(getattr(request.module, "DEADLINE", DEADLINE)) * load()

    def late() -> None:
        end_all()
        os.kill(os.getpid(), signal.SIGALRM)

    def fail(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGALRM, before)
