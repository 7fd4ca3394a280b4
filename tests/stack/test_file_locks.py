"""Who holds the file lock that a thread waits for, as the first line of its stack says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack import file_locks, other_end
from procmirror.stack.file_locks import FileLock, in_the_way, is_held
from procmirror.views.pid import stack
from tests.harness import at_last, until
from tests.live_target import LiveTarget
from tests.programs import running as becoming
from tests.stack.targets import asleep, available, running

# Takes a lock of an open file description on five bytes; waits for it if need be.
OFD = """import fcntl, os, struct, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, int(sys.argv[2]), 5, 0)
fcntl.fcntl(file, 38, lock)
time.sleep(600)"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the usual time may be over before the holder is found."""
    monkeypatch.setattr(other_end, "SECONDS", 10.0)
    monkeypatch.setattr(other_end, "ASKING_SECONDS", 10.0)


def named(pid: int) -> str:
    return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text(encoding='utf-8').strip()})"


def told(pid: int, target: type[LiveTarget] = LiveTarget) -> str:
    (thread,) = stack.join(target(f"/proc/{pid}"), Machine()).threads
    return thread.waits_for or ""


@contextmanager
def left_by_flock(lock: Path) -> Iterator[tuple[int, int]]:
    """A shell whose child flock(1) took a lock and ended, and a process that waits for it."""
    script = 'exec 9> "$0"; flock 9; exec sleep 600'
    with (
        # bash sleeps before, too, while flock(1) starts.
        becoming("bash", "-c", script, str(lock), name="sleep") as holder,
        subprocess.Popen([available("flock"), lock, "true"]) as waiting,
    ):
        try:
            asleep(waiting.pid)
            yield holder, waiting.pid
        finally:
            waiting.kill()


def test_a_lock_of_an_open_file(tmp_path: Path) -> None:
    python, lock = sys.executable, str(tmp_path / "lock")
    with (
        running(python, "-c", OFD, lock, "100") as other,
        running(python, "-c", OFD, lock, "0") as holder,
        running(python, "-c", OFD, lock, "3") as waiting,
    ):
        words = f"a file lock held by {named(holder)} (OFD lock)"
        assert at_last(words, lambda: told(waiting)) == words
        assert other != holder


def test_of_many_locks_in_the_way_the_rest_is_counted(tmp_path: Path) -> None:
    """For each lock of an open file there is one that waits; for which one is not told."""
    python, lock = sys.executable, str(tmp_path / "lock")
    with ExitStack() as stack_of:
        for at in range(5):
            stack_of.enter_context(running(python, "-c", OFD, lock, str(10 * at)))
        waiting = [
            stack_of.enter_context(running(python, "-c", OFD, lock, str(10 * at)))
            for at in range(5)
        ]
        asleep(waiting[-1])
        inode = f":{os.stat(lock).st_ino} "
        until(lambda: _waiting(-1, inode) == 5, "they do not wait")

        def in_time() -> str:
            said = told(waiting[0])
            return "" if "no time" in said or said.count(" held by ") != 3 else said

        words = until(in_time, "there is no time for all processes")
    assert words.endswith(" (OFD lock) or of 2 more locks")


def test_a_lock_whose_taker_has_ended(tmp_path: Path) -> None:
    with left_by_flock(tmp_path / "lock") as (holder, waiting):
        words = f"a file lock held by {named(holder)}"
        assert at_last(words, lambda: told(waiting)) == words


@pytest.mark.parametrize("limits", [("SECONDS", "LOCK_SECONDS"), ("ASKING_SECONDS",)])
def test_a_search_that_ended_early_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: tuple[str, ...]
) -> None:
    """No time to look for descriptors, or to ask which lock each has."""
    for name in limits:
        monkeypatch.setattr(other_end, name, 0.0)
    with left_by_flock(tmp_path / "lock") as (_, waiting):
        words = told(waiting)
    assert words.startswith("a file lock taken by process ")
    assert words.endswith(", which is not there; there was no time for all processes")


# Waits for a lock of flock(2) in as many threads.
WAITERS = """import fcntl, sys, threading, time
def wait():
    with open(sys.argv[1]) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
for _ in range(int(sys.argv[2])):
    threading.Thread(target=wait).start()
time.sleep(600)"""


class Counting(LiveTarget):
    """A target that keeps what was read beside the process itself."""

    seen: ClassVar[list[str]] = []

    def read(self, path: str) -> bytes:
        if path.startswith("../"):
            self.seen.append(path)
        return super().read(path)

    def system(self, path: str, most: int | None = None) -> bytes:
        self.seen.append(path)
        return super().system(path, most)


def test_threads_that_wait_for_one_lock_cost_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may have thousands of threads wait, and each has a line in /proc/locks."""
    parsed: list[bytes] = []

    def counted(content: bytes) -> object:
        parsed.append(content)
        return in_the_way(content)

    monkeypatch.setattr(file_locks, "in_the_way", counted)
    monkeypatch.setattr(Counting, "seen", [])
    # Beside other tests the time of a request may not reach all processes.
    for name in ("LOCK_SECONDS", "ASKING_SECONDS"):
        monkeypatch.setattr(other_end, name, 60.0)
    lock = tmp_path / "lock"
    with (
        left_by_flock(lock) as (holder, _),
        running(sys.executable, "-c", WAITERS, str(lock), "9") as waiting,
    ):
        inode = f":{lock.stat().st_ino} "
        until(lambda: _waiting(waiting, inode) == 9, "they do not wait")
        threads = stack.join(Counting(f"/proc/{waiting}"), Machine()).threads
        assert [one.waits_for for one in threads].count(f"a file lock held by {named(holder)}") == 9
    assert len(parsed) == 1
    infos = [path for path in Counting.seen if f"../{holder}/fdinfo/" in path]
    assert infos and len(infos) == len(set(infos))


def _waiting(pid: int, inode: str) -> int:
    table = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return sum("->" in line and f" {pid} " in line and inode in line for line in table)


class Alone(LiveTarget):
    """A requester that may not read the descriptors of others."""

    def names(self, path: str) -> list[str]:
        if path.startswith("../") and path.endswith("/fd"):
            raise PermissionError(13, "Permission denied", path)
        return super().names(path)


def test_a_holder_that_the_requester_does_not_see(tmp_path: Path) -> None:
    with left_by_flock(tmp_path / "lock") as (_, waiting):
        words = told(waiting, Alone)
    assert words.endswith(", which is not there")


def test_a_lock_of_another_file_is_another() -> None:
    """A process that waits for two locks in two threads has two requests."""
    held = FileLock(b"FLOCK", 5, ("8:1", 5), tuple(b"FLOCK ADVISORY WRITE 5 08:01:5 0 EOF".split()))
    table = (
        b"1: FLOCK  ADVISORY  WRITE 5 08:01:5 0 EOF\n"
        b"1: -> FLOCK  ADVISORY  WRITE 6 08:01:5 0 EOF\n"
        b"1: -> FLOCK  ADVISORY  WRITE 7 08:01:5 0 EOF\n"
        b"2: FLOCK  ADVISORY  WRITE 4 08:01:6 0 EOF\n"
        b"2: -> FLOCK  ADVISORY  WRITE 7 08:01:6 0 EOF\n"
        b"3: OFDLCK ADVISORY  WRITE -1 08:01:5 0 EOF\n"
        b"3: -> OFDLCK ADVISORY  READ -1 08:01:5 0 9\n"
    )
    assert in_the_way(table)[7, ("8:1", 5)] == [held]
    assert [one.pid for one in in_the_way(table)[7, None]] == [5, 4]
    assert [one.kind for one in in_the_way(table)[-1, ("8:1", 5)]] == [b"OFDLCK"]
    assert (7, ("8:2", 5)) not in in_the_way(table)
    assert (6, None) not in in_the_way(table.replace(b"1:", b"9:", 1))
    assert is_held(held, b"pos:\t0\nlock:\t1: FLOCK  ADVISORY  WRITE 5 08:01:5 0 EOF\n")
    assert not is_held(held, b"pos:\t0\nlock:\t1: FLOCK  ADVISORY  WRITE 6 08:01:5 0 EOF\n")
    assert not is_held(held, b"")


@pytest.mark.parametrize("table", [b"", b"\xff\0: ->\n" * 1000 + b"1:", b"1: -> FLOCK  A  W 7"])
def test_any_table_is_read_without_harm(table: bytes) -> None:
    assert not in_the_way(table)


def test_the_process_itself_holds_it_by_another_descriptor(tmp_path: Path) -> None:
    again = "again = os.open(sys.argv[1], os.O_RDWR); fcntl.fcntl(again, 38, lock)"
    script = OFD.replace("time.sleep(600)", again)
    with running(sys.executable, "-c", script, str(tmp_path / "lock"), "0") as pid:
        words = "a file lock held by the process itself (OFD lock)"
        assert at_last(words, lambda: told(pid)) == words
