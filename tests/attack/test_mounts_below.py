"""What root mounts below the mirror stays there, whoever is refused the name below it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.scene import ATTACKER
from tests.mounting import Mount, mounted
from tests.programs import running

MASK = "masked by root\n"


@contextlib.contextmanager
def masked(path: Path, mask: Path) -> Iterator[None]:
    mask.write_text(MASK)
    subprocess.run(["mount", "--bind", mask, path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mounted() as mount:
        yield mount


def looked_at(path: Path, *before: str) -> str:
    """What an ordinary user is told of a path: an error's words, or nothing."""
    who = ("setpriv", f"--reuid={ATTACKER}", f"--regid={ATTACKER}", "--clear-groups")
    done = subprocess.run(
        [*before, *who, "stat", path], capture_output=True, check=False, text=True
    )
    return done.stderr.rpartition(": ")[2].strip()


def test_a_mount_on_a_descriptor_of_roots(own_mirror: Mount, tmp_path: Path) -> None:
    with running("sleep", "1000") as pid:
        path = own_mirror.path / f"{pid}/fd/0"
        target = own_mirror.path / f"{pid}/environ"
        with masked(target, tmp_path / "mask"):
            for _ in range(3):
                looked_at(target)
                looked_at(path)
            assert target.read_text() == MASK


@pytest.mark.parametrize("name", ["fdinfo/0", "map_files", "ns", "fd"])
def test_a_mount_below_a_directory_that_others_may_not_search(
    own_mirror: Mount, tmp_path: Path, name: str
) -> None:
    with running("sleep", "1000") as pid:
        path = own_mirror.path / f"{pid}/{name}"
        if path.is_dir():
            subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
            (path / "mask").write_text(MASK)
            try:
                for _ in range(3):
                    looked_at(path / "x")
                    looked_at(path)
                assert (path / "mask").read_text() == MASK
            finally:
                subprocess.run(["umount", path], check=True)
            return
        with masked(path, tmp_path / "mask"):
            for _ in range(3):
                assert looked_at(path)
            assert path.read_text() == MASK


def test_a_mount_in_a_closed_directory_of_the_machine(own_mirror: Mount, tmp_path: Path) -> None:
    folder = Path("/proc/tty/driver")
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    if not names:
        pytest.skip("no driver of a terminal has a file")
    path = own_mirror.path / "tty/driver" / names[0]
    with masked(path, tmp_path / "mask"):
        for _ in range(3):
            assert looked_at(path)
        assert path.read_text() == MASK


def test_a_mask_stays_for_others_when_a_private_proc_hides_it(
    own_mirror: Mount, tmp_path: Path
) -> None:
    path = own_mirror.path / "cpuinfo"
    private = ("unshare", "-m", "--propagation", "private", "sh", "-c")
    with masked(path, tmp_path / "mask"):
        done = subprocess.run(
            [*private, f"mount -t proc -o subset=pid proc /proc && stat {path}.txt; cat {path}"],
            capture_output=True,
            check=False,
            text=True,
        )
        assert "stat:" in done.stderr
        assert path.read_text() == MASK


def test_a_mount_below_another_mirror_changes_nothing(
    own_mirror: Mount, few: Mount, tmp_path: Path
) -> None:
    with running("sleep", "1000") as pid, masked(few.path / f"{pid}/fdinfo/0", tmp_path / "mask"):
        assert looked_at(own_mirror.path / f"{pid}/fdinfo/0") == "Permission denied"


# A mirror that keeps few names, so that a few look-ups are too many.
_FEW = """
import runpy
from procmirror.fuse import nodes
nodes._MOST_LEAVES = nodes._MOST_DIRECTORIES = nodes._MOST_INDEX_NODES = 60
runpy.run_module("procmirror", None, "__main__")
"""
# A user who looks up a name of each descriptor of each of its threads, and of an index.
_LOOKING = """
import os, sys, threading
mirror = sys.argv[1]
for _ in range(80):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
for _ in range(20):
    os.dup(0)
for tid in os.listdir(f"{mirror}/self/task"):
    for name in os.listdir("/proc/self/fd"):
        try:
            os.lstat(f"{mirror}/self/task/{tid}/fd/{name}")
        except FileNotFoundError:
            pass
for number in range(200):
    try:
        os.lstat(f"{mirror}/by-name/none-{number}")
        os.lstat(f"{mirror}/by-name/{number}")
    except FileNotFoundError:
        pass
os._exit(0)
"""


@pytest.fixture(scope="module")
def few() -> Iterator[Mount]:
    with mounted(program=("-c", _FEW)) as mount:
        yield mount


def look_up_many(mirror: Mount, user: int = ATTACKER) -> None:
    """As a user, more names than are kept."""
    who = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    command = [*who, "/usr/bin/python3", "-c", _LOOKING, str(mirror.path)]
    subprocess.run(command, check=True, timeout=60, cwd="/")


def test_a_mount_on_a_file_of_a_thread_stays_when_too_many_names_are_looked_up(
    few: Mount, tmp_path: Path
) -> None:
    with running("sleep", "1000") as pid:
        path = few.path / f"{pid}/task/{pid}/environ"
        with masked(path, tmp_path / "mask"):
            for user in (ATTACKER, 0, ATTACKER):
                look_up_many(few, user)
            assert path.read_text() == MASK


@pytest.mark.parametrize("place", ["task", "index"])
def test_a_working_directory_stays_when_a_user_looks_up_too_many_names(
    few: Mount, place: str
) -> None:
    with running("sleep", "1000") as pid:
        folder = few.path / (f"{pid}/task/{pid}" if place == "task" else "by-name/sleep")
        shell = subprocess.Popen(
            ["sh", "-c", "read go; exec /bin/pwd -P"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3):
            look_up_many(few)
        out, _ = shell.communicate("go\n")
        assert (shell.returncode, out) == (0, f"{folder}\n")
