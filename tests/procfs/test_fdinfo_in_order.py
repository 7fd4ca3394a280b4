"""Files of `fdinfo` that are read together: the same bytes as one by one, and none that may wait."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.procfs import fdinfo_in_order
from procmirror.procfs.fdinfo_in_order import contents

# Descriptors of each kind, in this order, with a number between two that is none.
_KINDS = ("pipe", "file", "device", "socket", "epoll", "terminals", "locked", "folder")
HELD = {kind: 100 + 2 * at for at, kind in enumerate(_KINDS)}
_HOLDS = """
import fcntl, os, select, socket, sys
poll, listener, pipe = select.epoll(), socket.socket(), os.pipe()
file, locked = os.open("/etc/passwd", 0), os.open(sys.argv[1], os.O_RDWR)
for at in range(40):
    fcntl.lockf(locked, fcntl.LOCK_EX, 1, 2 * at)
null, many, root = os.open("/dev/null", 0), os.open("/dev/ptmx", 2), os.open("/", 0)
for at, number in enumerate((pipe[0], file, null, listener.fileno(), poll.fileno(), many, locked, root)):
    os.dup2(number, 100 + 2 * at)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The pid of a process that holds them."""
    locked = tmp_path_factory.mktemp("held") / "locked"
    locked.touch()
    words = sys.executable, "-S", "-c", _HOLDS, locked
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe) as process:
        assert process.stdout and process.stdout.readline() == b"\n"
        yield process.pid
        process.kill()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the two milliseconds may be over before all are read."""
    monkeypatch.setattr(fdinfo_in_order, "_SECONDS", 60.0)


def read(pid: int, first: int, most: int, *, looks: bool = True) -> dict[int, bytes]:
    process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY)
    try:
        return dict(contents(process, b"fdinfo", first, most, looks=looks))
    finally:
        os.close(process)


def test_the_bytes_are_those_of_each_file_and_none_is_of_a_driver(target: int) -> None:
    """Nor is a long one, of many locks, told to who did not ask for that file alone."""
    found = read(target, HELD["pipe"], 50)
    assert set(found) == {HELD[kind] for kind in ("pipe", "file", "device", "socket", "folder")}
    for number, content in found.items():
        assert content == Path(f"/proc/{target}/fdinfo/{number}").read_bytes()


def test_where_files_may_not_be_looked_at_only_pipes_and_sockets_are_read(target: int) -> None:
    assert set(read(target, HELD["pipe"], 50, looks=False)) == {HELD["pipe"], HELD["socket"]}


def test_the_first_one_is_read_whatever_it_is(target: int) -> None:
    assert set(read(target, HELD["epoll"], 1)) == {HELD["epoll"]}
    assert set(read(target, HELD["pipe"], 2)) == {HELD["pipe"], HELD["file"]}


def test_what_is_no_descriptor_is_refused_as_by_the_kernel(target: int) -> None:
    with pytest.raises(FileNotFoundError):
        read(target, 5000, 2)
