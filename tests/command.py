"""The command as a user runs it: in a process of its own, with a limit of time."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from functools import cache

from tests.harness import ROOT

_SECONDS = 60


class _Server:
    """The process that forks a run of the command; it ends with this one."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.command_server", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._channel.settimeout(_SECONDS)

    def run(
        self, arguments: tuple[str, ...], given: bytes, user: int
    ) -> subprocess.CompletedProcess[bytes]:
        """One run; TimeoutExpired beyond the limit of time."""
        files = [os.memfd_create(name) for name in ("request", "stdin", "stdout", "stderr")]
        os.write(files[0], pickle.dumps((arguments, dict(os.environ), user)))
        with open(files[1], "wb", closefd=False) as stdin:
            stdin.write(given)
        for file in files[:2]:
            os.lseek(file, 0, os.SEEK_SET)
        try:
            socket.send_fds(self._channel, [b"\0"], files)
            child = int(self._channel.recv(20))
            try:
                status = int(self._channel.recv(20))
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._channel.recv(20)
                raise subprocess.TimeoutExpired(list(arguments), _SECONDS) from None
            stdout, stderr = (os.pread(file, os.fstat(file).st_size, 0) for file in files[2:])
        finally:
            for file in files:
                os.close(file)
        code = os.waitstatus_to_exitcode(status)
        return subprocess.CompletedProcess(["procmirror", *arguments], code, stdout, stderr)


_server = cache(_Server)


def run(*arguments: str, given: bytes = b"", user: int = 0) -> subprocess.CompletedProcess[bytes]:
    """What `procmirror ARGUMENTS` answers, as root or as another user without groups."""
    return _server().run(arguments, given, user)


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
