"""The command as a user runs it: in a process of its own, with a limit of time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(
    *arguments: str, given: bytes = b"", user: int | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """What `procmirror ARGUMENTS` answers, as root or as another user without groups."""
    return subprocess.run(
        [sys.executable, "-m", "procmirror", *arguments],
        cwd=ROOT,
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env=environment,
    )


def answer(*arguments: str, given: bytes = b"") -> bytes:
    """What a command prints that succeeds and complains of nothing."""
    done = run(*arguments, given=given)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout


def complaint(*arguments: str, given: bytes = b"") -> str:
    """The one line of a command that fails."""
    done = run(*arguments, given=given)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done
    return done.stderr.decode().removeprefix("procmirror: ").removesuffix("\n")
