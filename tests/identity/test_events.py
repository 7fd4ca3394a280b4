"""Performance events of a requester's threads: who may, as the kernel says it to himself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from procmirror.identity import file_calls, thread_calls
from procmirror.identity.credentials import Credentials
from procmirror.identity.events import perf_event
from procmirror.identity.identity import Identity
from procmirror.stack.sample import attributes
from tests.harness import ROOT
from tests.programs import running

pytestmark = pytest.mark.root

UID, OTHER = 40101, 40102
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")
# What the user is told himself.
ASKING = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from procmirror.identity import file_calls
from procmirror.stack.sample import attributes
try:
    file_calls.perf_event_open(attributes("x86_64", kernel=False), int(sys.argv[1]))
    print(0)
except OSError as refused:
    print(refused.errno)
"""


def told(uid: int, tid: int) -> int:
    """The errno of perf_event_open(2) when the user calls it; 0 if it is allowed."""
    command = [sys.executable, "-c", ASKING, str(tid)]
    return int(
        subprocess.run(
            command,
            user=uid,
            group=uid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def asked(credentials: Credentials, identity: Identity, tid: int) -> int:
    """The errno of perf_event_open(2) when this process calls it in the user's name."""
    with credentials.acting_as(identity):
        try:
            os.close(perf_event(credentials, identity, attributes("x86_64", kernel=False), tid))
        except OSError as refused:
            return refused.errno or -1
        return 0


def test_the_kernel_answers_as_for_the_user() -> None:
    credentials = Credentials()
    mine = Identity(UID, UID, (), 0)
    with (
        running("sleep", "600", user=UID) as own,
        running("sleep", "600", user=OTHER) as others,
        running("sleep", "600") as roots,
    ):
        for tid in (own, others, roots):
            assert asked(credentials, mine, tid) == told(UID, tid)
        assert asked(credentials, mine, roots) != 0 != asked(credentials, mine, others)


def test_nothing_of_it_stays() -> None:
    credentials, mine = Credentials(), Identity(UID, UID, (), 0)
    before, handler = thread_calls.capget(), signal.getsignal(signal.SIGCHLD)
    descriptors = len(os.listdir("/proc/self/fd"))
    with running("sleep", "600") as roots:
        others = CHILDREN.read_text()
        asked(credentials, mine, roots)
        assert CHILDREN.read_text() == others
    assert (thread_calls.capget(), signal.getsignal(signal.SIGCHLD)) == (before, handler)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_requester_who_stops_the_child_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGSTOP)
        return -1

    monkeypatch.setattr(file_calls, "perf_event_open", stopped)
    with running("sleep", "600", user=UID) as own:
        assert asked(Credentials(), Identity(UID, UID, (), 0), own) == 11  # EAGAIN
