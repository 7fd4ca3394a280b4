"""A mirror under attack, and the bystanders who use it meanwhile.

Bystanders are root and an ordinary user. Each reads small files and lists directories, and asks the
kernel's own /proc between: so the machine's load is measured with each answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.harness import ROOT, beside, runnable, stat_of, until
from tests.mounting import Mount
from tests.reliability.mirrors import forge_of
from tests.reliability.readers import Answer, Job, Readers, Step, names, read

ATTACKER, THIRD, ANOTHER, FOURTH = 61021, 61022, 61023, 61024
# The number of /dev/fuse (include/uapi/linux/miscdevice.h, FUSE_MINOR 229).
_FUSE = os.makedev(10, 229)
_ENDED_WITHIN = 60.0


@contextlib.contextmanager
def fuse_node() -> Iterator[Path]:
    """A device node of FUSE that everybody may open, as udev makes it, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    folder.chmod(0o755)
    node = folder / "fuse"
    os.mknod(node, stat.S_IFCHR | 0o666, _FUSE)
    node.chmod(0o666)
    try:
        yield node
    finally:
        node.unlink()
        folder.rmdir()


class _Others:
    """How busy the machine was with other programs before the attacks that are under way."""

    tasks, attacks = 1.0, 0

    @contextlib.contextmanager
    def attacked(self) -> Iterator[None]:
        if not self.attacks:
            self.tasks = runnable()
        self.attacks += 1
        try:
            yield
        finally:
            self.attacks -= 1


_others = _Others()


@contextlib.contextmanager
def attacker(module: str, *arguments: object) -> Iterator[Any]:
    """A program of this folder (`python -m tests.attack.MODULE …`) for the length of the block.

    Yields the line of JSON that it writes when the attack is under way. It ends with its stdin.
    """
    with _others.attacked(), _attacking(module, *arguments) as said:
        yield said


@contextlib.contextmanager
def _attacking(module: str, *arguments: object) -> Iterator[Any]:
    program = subprocess.Popen(
        [sys.executable, "-m", f"tests.attack.{module}", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdin and program.stdout
    try:
        said = program.stdout.readline()
        assert said, f"{module} {arguments} ended before it began"
        yield json.loads(said)
        assert program.poll() is None, f"{module} {arguments} ended before it was to"
    finally:
        program.stdin.close()
        try:
            program.wait(_ENDED_WITHIN)
        finally:
            program.kill()
            program.wait()
            program.stdout.close()


def usual(mirror: Path, pid: int) -> list[Step]:
    """What a bystander asks of the mirror: files of the daemon and of workers, directories."""
    return [
        read(mirror / "self/status"),
        read(mirror / f"{pid}/cmdline"),
        read(mirror / f"{pid}/environ.txt"),
        read(mirror / f"{pid}/status.json"),
        read(mirror / "sys/kernel/hostname"),
        read(mirror / "version"),
        names(mirror),
        names(mirror / f"{pid}/fd"),
        names(mirror / "sys"),
    ]


class Measured:
    """What the bystanders got: the answers of the mirror, and those of the kernel beside them."""

    def __init__(self) -> None:
        self.mirror: list[tuple[Step, Answer]] = []
        self.native: list[Answer] = []

    def __str__(self) -> str:
        seconds = sorted(answer.seconds for _, answer in self.mirror)
        median, slow = seconds[len(seconds) // 2], seconds[len(seconds) * 9 // 10]
        of = f"{len(seconds)} answers, load {os.getloadavg()[0]:.0f}"
        return f"median {median:.4f} s, nine of ten {slow:.3f} s, most {seconds[-1]:.3f} s of {of}"

    def check(self, most: float = 1.0) -> None:
        """No error; each answer within a second, or as much more as the machine is busy.

        With other programs before the attack, and while it lasts: then the kernel's own answers
        wait too.
        """
        assert self.mirror, "the bystanders did not begin"
        refused = {(step[1], answer.error) for step, answer in self.mirror if answer.error}
        assert not refused, refused
        busy = max(answer.seconds for answer in self.native)
        step, slowest = max(self.mirror, key=lambda one: one[1].seconds)
        limit = most * max(_others.tasks, beside()) + 4 * busy
        assert slowest.seconds < limit, f"{step[1]} took {slowest.seconds:.2f} s, not {limit:.2f}"


def measured(mirror: Mount, rounds: int = 3, limit: float = 120.0) -> Measured:
    """What root and a third user get for the usual things, asked `rounds` times."""
    victims = [
        subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(user)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for user in (0, THIRD)
    ]
    try:
        jobs = []
        for victim, user in zip(victims, (0, THIRD), strict=True):
            assert victim.stdout
            victim.stdout.readline()
            steps = [
                step
                for asked in usual(mirror.path, victim.pid)
                for step in (asked, read("/proc/self/status"))
            ]
            jobs.append(Job(steps * rounds, user))
        answers = Readers(jobs, limit).answers()
    finally:
        for victim in victims:
            victim.kill()
            victim.communicate()
    result = Measured()
    for job, given in zip(jobs, answers, strict=True):
        assert given is not None, f"a bystander still waits after {limit} s"
        result.mirror += list(zip(job.steps[::2], given[::2], strict=True))
        result.native += given[1::2]
    return result


_VICTIM = """
import ctypes, os, sys
user = int(sys.argv[1])
if user:
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print(flush=True)
sys.stdin.read()
"""


def serving(mirror: Mount) -> dict[int, bytes]:
    """The daemon and its forking process, each with the moment of its start."""
    found = {}
    for pid in [mirror.daemon, *_children(mirror.daemon)]:
        found[pid] = stat_of(pid)[19]
    return found


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for one in Path(f"/proc/{pid}/task").glob("*/children")
        for child in one.read_text(encoding="ascii").split()
    ]


@contextlib.contextmanager
def undisturbed(mirror: Mount) -> Iterator[None]:
    """The daemon and its forking process are the same at the end, and everybody is served then."""
    # It is mounted a moment before all its processes are there.
    until(lambda: forge_of(mirror), "no forking process")
    before = serving(mirror)
    yield
    after = serving(mirror)
    assert after == before, f"the daemon or its forking process is another: {before}, {after}"
