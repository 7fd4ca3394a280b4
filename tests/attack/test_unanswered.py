"""Memory whose bytes never come: nobody waits for it who did not ask for those bytes himself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.decoding.view import FileStatus
from procmirror.identity import file_calls
from tests.attack import unanswered
from tests.attack.scene import ATTACKER, attacker, fuse_node, measured, undisturbed
from tests.harness import DEADLINE, state_of, until
from tests.live_target import LiveTarget
from tests.mounting import Mount
from tests.reliability.mirrors import at_once, mirrored
from tests.reliability.readers import Job, Readers, ask, piece, read

TIMEOUT = 2.0


@pytest.fixture
def node() -> Iterator[Path]:
    with fuse_node() as made:
        yield made


@pytest.fixture
def mirror() -> Iterator[Mount]:
    with mirrored("--timeout", str(TIMEOUT)) as mount:
        yield mount


def unkillable(mirror: Mount) -> list[int]:
    """The processes of the mirror that wait where no signal ends them."""
    return [pid for pid in mirror.processes() if state_of(pid) == "D"]


@pytest.mark.parametrize("kind", ["argument", "overlay", "program", "watcher"])
def test_root_looks_at_the_calls_and_stacks_of_a_user(mirror: Mount, node: Path, kind: str) -> None:
    with attacker("unanswered", kind, ATTACKER, node, 3) as made, undisturbed(mirror):
        for pid, _ in made:
            steps = [read(mirror.path / f"{pid}/{name}") for name in ("syscall.txt", "stack.txt")]
            steps += [read(mirror.path / f"{pid}/auxv.txt"), read("/proc/self/environ")]
            (answers,) = ask([Job(steps)])
            assert [answer.error for answer in answers] == [""] * 4
            busy = answers[-1].seconds
            assert max(answer.seconds for answer in answers) < at_once() + 4 * busy
        assert unkillable(mirror) == []


def test_what_is_shown_of_a_call_says_that_its_bytes_are_not(mirror: Mount, node: Path) -> None:
    with attacker("unanswered", "argument", ATTACKER, node, 1) as ((pid, address),):
        text = (mirror.path / f"{pid}/syscall.txt").read_text(encoding="utf-8")
        assert text.startswith("open")
        assert f"={address:#x}," in text


def test_an_overlay_of_local_layers_is_read(mirror: Mount, tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    shutil.copy("/usr/bin/sleep", tmp_path / "lower/slumber")
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    merged = tmp_path / "merged"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", merged], check=True)
    try:
        with subprocess.Popen([merged / "slumber", "600"]) as program:
            try:
                stack = mirror.path / f"{program.pid}/stack.txt"
                until(lambda: "_start" in stack.read_text(encoding="utf-8"), "no names of a file")
            finally:
                program.kill()
    finally:
        subprocess.run(["umount", merged], check=True)


def test_forty_pages_of_a_user_who_reads_them(mirror: Mount, node: Path) -> None:
    with attacker("unanswered", "page", ATTACKER, node, 40) as made, undisturbed(mirror):
        jobs = [
            Job([piece(mirror.path / f"{pid}/mem", address)] * 3, ATTACKER) for pid, address in made
        ]
        attack = Readers(jobs, 60)
        time.sleep(4 * TIMEOUT)
        try:
            measured(mirror).check()
        finally:
            attack.answers()
        measured(mirror).check()


def test_arguments_in_such_pages_are_not_read(mirror: Mount, node: Path) -> None:
    """As natively: the kernel reads arguments of anonymous memory alone (FOLL_ANON, Linux 4.17)."""
    with attacker("unanswered", "arguments", ATTACKER, node, 20) as made, undisturbed(mirror):
        names = ("cmdline", "cmdline.json", "environ.txt", "process.json")
        steps = [read(mirror.path / f"{pid}/{name}") for pid, _ in made for name in names]
        for answers in ask([Job(steps, 0), Job(steps, ATTACKER)], 60):
            assert {answer.error for answer in answers} == {""}
        for _ in range(6):
            lines = (mirror.path / "processes.ndjson").read_text(encoding="utf-8").splitlines()
            found = {one["pid"]: one for one in map(json.loads, lines)}
            assert all(found[pid]["cmdline"] == [] for pid, _ in made)
            assert all(found[pid]["incomplete"] == [] for pid, _ in made)
        measured(mirror, 1).check()
        assert unkillable(mirror) == []


def test_a_descriptor_that_is_exchanged_for_one_of_a_silent_server(
    node: Path, tmp_path: Path
) -> None:
    """Its fdinfo told of a local mount, and its status is asked for a moment later."""
    ours, theirs = os.pipe()
    armed, point = tmp_path / "armed", tmp_path / "point"
    point.mkdir()
    if not (server := os.fork()):
        try:
            unanswered._serve(str(node), str(point), theirs, armed, bytes(4096))
        finally:
            os._exit(1)
    try:
        os.read(ours, 1)
        path = f"fd/{os.open(point / 'file', os.O_PATH)}"
        armed.touch()
        target = LiveTarget(f"/proc/{os.getpid()}")
        with Path("/proc/self/mounts").open("rb") as local:
            mount, *_ = file_calls.object_of(local.fileno())
        told: list[FileStatus] = []
        asking = threading.Thread(target=lambda: told.append(target.opened(path, mount)))
        asking.start()
        asking.join(DEADLINE)
        answered = list(told)
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        file_calls.unmount_lazily(str(point))
    asking.join()
    assert [stat.S_ISREG(one.mode) for one in answered] == [True]
