"""The command as a user runs it: in a process of its own, with a limit of time."""

from __future__ import annotations

import subprocess
import sys

from tests.harness import ROOT

# Everything is imported as root, because another user may be unable to read where it is installed.
_AS_ANOTHER = """
import os, sys
from procmirror.cli import main, printing
from procmirror.stack import calls
calls.load(os.uname().machine)
os.setgroups([]); os.setgid({user}); os.setuid({user})
sys.exit(main.main(sys.argv[1:]))
"""


def run(*arguments: str, given: bytes = b"", user: int = 0) -> subprocess.CompletedProcess[bytes]:
    """What `procmirror ARGUMENTS` answers, as root or as another user without groups."""
    program = ["-c", _AS_ANOTHER.format(user=user)] if user else ["-m", "procmirror"]
    command = [sys.executable, *program, *arguments]
    return subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, timeout=60, check=False
    )


def answer(*arguments: str, given: bytes = b"") -> bytes:
    """What a command prints that succeeds and complains of nothing."""
    done = run(*arguments, given=given)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout


def complaint(*arguments: str, given: bytes = b"", status: int = 1) -> str:
    """The one line of a command that fails, with 1 or, where it made no sense, with 2."""
    done = run(*arguments, given=given)
    assert done.returncode == status and done.stderr.count(b"\n") == 1, done
    return done.stderr.decode().removeprefix("procmirror: ").removesuffix("\n")
