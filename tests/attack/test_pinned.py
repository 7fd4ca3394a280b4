"""A view of a process leaves no file of it open: what is unmounted afterwards is free."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.attack.scene import ATTACKER
from tests.harness import rests, until
from tests.mounting import Mount
from tests.reliability.mirrors import mirrored

_SLEEPER = (
    *("setpriv", f"--reuid={ATTACKER}", f"--regid={ATTACKER}", "--clear-groups"),
    *("unshare", "-Urm", "sleep", "600"),
)


@contextlib.contextmanager
def contained() -> Iterator[int]:
    """A process in user and mount namespaces of a user's own, with copies of all mounts."""
    with subprocess.Popen(_SLEEPER) as program:
        until(lambda: rests(program.pid), "no sleep")
        try:
            yield program.pid
        finally:
            program.kill()


def regular_files(mirror: Mount) -> list[str]:
    """The files on other file systems than proc that the mirror's processes have open."""
    found = []
    for pid in mirror.processes():
        for one in Path(f"/proc/{pid}/fd").iterdir():
            text = os.readlink(one)
            if text.startswith("/") and not text.startswith(
                ("/dev/", "/proc", "/memfd:", str(mirror.log))
            ):
                found.append(text)
    return found


def test_no_file_stays_open_after_a_stack() -> None:
    with mirrored() as mirror, contained() as pid:
        for name in ("stack.json", "syscall.txt", "process.txt"):
            assert (mirror.path / str(pid) / name).read_bytes()
        assert "sleep+0x" in (mirror.path / str(pid) / "stack.txt").read_text()
        assert regular_files(mirror) == []


def test_an_unmounted_mirror_ends_whose_copy_was_in_a_namespace_of_a_shown_process() -> None:
    # The mount namespace of the process has copies of both mirrors. That the daemon of
    # `mirror` ends with its umount, while `other` lives, is seen at the end of `mirrored`.
    with mirrored() as other, mirrored() as mirror, contained() as pid:
        assert (other.path / str(pid) / "stack.txt").read_bytes()
        assert (mirror.path / str(pid) / "stack.txt").read_bytes()
