"""Several users make any system calls on two mirrors: nothing more comes out than of the kernel."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from tests.attack.scene import ATTACKER, THIRD, measured, undisturbed
from tests.harness import ROOT, load, until
from tests.mounting import Mount
from tests.reliability.mirrors import RESTING, descriptors_of, living, mirrored

SECONDS = 600 if os.environ.get("PROCMIRROR_SOAK") else 60
USERS = ((0, "plain"), (ATTACKER, "plain"), (THIRD, "plain"), (ATTACKER, "namespace"))
# On a busy machine a worker in the namespaces of a requester, who may stop it, does not always answer
# within half a second, after some of which its account is refused for a moment, and an index of root's
# takes seconds; the many workers of one account have little of a busy processor, and a view of 15 MB
# may take them a minute. Of so many calls one may be refused.
_LATE = (
    "no answer in time",
    "no worker in time",
    "others wait for the same",
    "the workers of this account do not answer",
    "the view takes too long",
)
_CALLS_OF_ONE = 10_000
# How long others wait is asked of attacks that do not give way (seconds).
_ANSWERED_WITHIN = 20.0
# Kept of the last readers for two seconds, and of threads that asked.
_KEPT_DESCRIPTORS = 40


def _caller(seed: str, user: int, kind: str, mirrors: list[Mount]) -> subprocess.Popen[bytes]:
    command = ["-m", "tests.attack.random_users", seed, SECONDS, user, kind]
    paths = [mirror.path for mirror in mirrors]
    return subprocess.Popen(
        [sys.executable, *map(str, command), *map(str, paths)], cwd=ROOT, stdout=subprocess.PIPE
    )


def _said(caller: subprocess.Popen[bytes]) -> dict[str, Any]:
    said, _ = caller.communicate(timeout=(SECONDS + 120) * load())
    answer: dict[str, Any] = json.loads(said)
    return answer


# It takes whatever processor it gets for a minute.
@pytest.mark.gives_way
def test_any_calls_of_several_users(report: list[str]) -> None:
    """The seed makes the same calls again: PROCMIRROR_SEED."""
    seed = os.environ.get("PROCMIRROR_SEED") or str(random.SystemRandom().randrange(10**9))
    with mirrored() as read_only, mirrored("-o", "write") as writable:
        mirrors = [read_only, writable]
        before = [descriptors_of(mirror) for mirror in mirrors]
        with undisturbed(read_only), undisturbed(writable):
            callers = [_caller(seed, user, kind, mirrors) for user, kind in USERS]
            try:
                for mirror in mirrors:
                    measured(mirror, 1).check(_ANSWERED_WITHIN)
                said = [_said(caller) for caller in callers]
            finally:
                for caller in callers:
                    caller.kill()
                    caller.wait()
            for mirror in mirrors:
                measured(mirror, 1).check(_ANSWERED_WITHIN)
        found = [
            [user, *one]
            for (user, _), each in zip(USERS, said, strict=True)
            for one in each["found"]
        ]
        assert not found, f"PROCMIRROR_SEED={seed}: {found[:20]}"
        calls = sum(each["calls"] for each in said)
        for mirror, held in zip(mirrors, before, strict=True):
            until(lambda: len(living(mirror)) <= RESTING + 1, f"PROCMIRROR_SEED={seed}: workers")  # noqa: B023
            until(lambda: descriptors_of(mirror) < held + _KEPT_DESCRIPTORS, "descriptors")  # noqa: B023
            complaints = mirror.complaints()
            late = [line for line in complaints if line.endswith(_LATE)]
            assert complaints == late, f"PROCMIRROR_SEED={seed}: {complaints}"
            assert len(late) <= 1 + calls / _CALLS_OF_ONE, f"PROCMIRROR_SEED={seed}: {late}"
    report.append(f"{calls} calls of {len(USERS)} users, seed {seed}")
