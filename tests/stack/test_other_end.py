"""Who has the other end of what a thread waits for, as the first line of its stack says."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from procmirror.decoding.byte_order import ByteOrder, decoding_as
from procmirror.decoding.view import Machine
from procmirror.procfs.unix_peers import _peer, messages, unix_peer
from procmirror.stack import other_end
from procmirror.stack.sockets import Sockets
from procmirror.views.pid import stack
from tests.live_target import LiveTarget
from tests.readings import Imitated
from tests.stack.apart import waiting_for_a_fifo
from tests.stack.targets import asleep

HERE = Machine(namespaces={"net": os.readlink("/proc/self/ns/net")})
READS = "import os, sys; os.read(int(sys.argv[1]), 1)"
WRITES = "import os, sys\nwhile True:\n    os.write(int(sys.argv[1]), bytes(65536))"
SETS = """import contextlib, os, select, sys
n = int(sys.argv[1])
def FILL(number):
    os.set_blocking(number, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(number, bytes(65536))
def POLL(number, events):
    p = select.poll()
    p.register(number, events)
    p.poll()
"""
COMM = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
ME = f"process {os.getpid()} ({COMM})"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the usual time may be over before the other end is found.

    The process of the tests may have hundreds of descriptors.
    """
    monkeypatch.setattr(other_end, "SECONDS", 10.0)
    monkeypatch.setattr(other_end, "ASKING_SECONDS", 10.0)
    monkeypatch.setattr(other_end, "MOST_DESCRIPTORS", 100_000)


def pipe(opened: ExitStack, _: Path) -> int:
    ends = os.pipe()
    for one in ends:
        opened.callback(os.close, one)
    return ends[0]


def full_pipe(opened: ExitStack, _: Path) -> int:
    ends = os.pipe()
    for one in ends:
        opened.callback(os.close, one)
    return ends[1]


def fifo(opened: ExitStack, folder: Path) -> int:
    os.mkfifo(folder / "fifo")
    both = os.open(folder / "fifo", os.O_RDWR)
    reads = os.open(folder / "fifo", os.O_RDONLY)
    for one in (both, reads):
        opened.callback(os.close, one)
    return reads


def pair(opened: ExitStack, _: Path) -> int:
    ends = [opened.enter_context(one) for one in socket.socketpair()]
    return ends[0].fileno()


def unix(opened: ExitStack, folder: Path) -> int:
    server = opened.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(folder / "socket"))
    server.listen()
    client = opened.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(str(folder / "socket"))
    opened.enter_context(server.accept()[0])
    return client.fileno()


def tcp(opened: ExitStack, _: Path) -> int:
    server = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = opened.enter_context(socket.create_connection(server.getsockname()))
    opened.enter_context(server.accept()[0])
    return client.fileno()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack_of_files:
        yield stack_of_files


def waits(
    number: int, script: str = READS, target: type[LiveTarget] = LiveTarget, machine: Machine = HERE
) -> str:
    """What a process that has one descriptor of ours waits for."""
    with subprocess.Popen([sys.executable, "-c", script, str(number)], pass_fds=[number]) as other:
        try:
            asleep(other.pid)
            (thread,) = stack.join(target(f"/proc/{other.pid}"), machine).threads
        finally:
            other.kill()
    return thread.waits_for or ""


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (pipe, "data in a pipe from "),
        (full_pipe, "room in a pipe to "),
        (fifo, "data in a pipe from "),
        (pair, "data on a socket from "),
        (unix, "data on a socket from "),
        (tcp, "data on a socket from "),
    ],
)
def test_the_process_at_the_other_end(
    made: Callable[[ExitStack, Path], int], words: str, opened: ExitStack, tmp_path: Path
) -> None:
    script = WRITES if made is full_pipe else READS
    assert waits(made(opened, tmp_path), script) == words + ME


@pytest.mark.parametrize(
    ("made", "script", "words"),
    [
        (pipe, "select.select([n], [], [])", "(select): {} from {}"),
        (full_pipe, "FILL(n)\nPOLL(n, 4)", "(poll): {} to {}"),
        (fifo, "POLL(n, 1)", "(poll): {} from {}"),
        (tcp, "e = select.epoll(); e.register(n, 1); e.poll()", "(epoll): {} from {}"),
        (unix, "POLL(n, 1)", "(poll): {} from {}"),
    ],
)
def test_the_other_end_of_a_member_of_a_set(
    made: Callable[[ExitStack, Path], int],
    script: str,
    words: str,
    opened: ExitStack,
    tmp_path: Path,
) -> None:
    number = made(opened, tmp_path)
    found = waits(number, SETS + script)
    target = re.search(r": (\d+<.*?>)(?: (?:from|to) |$)", found)
    assert target and target[1].startswith(f"{number}<")
    assert found == "an event on a descriptor " + words.format(target[1], ME)


def test_of_a_large_set_three_are_named(opened: ExitStack) -> None:
    script = SETS + "q = [os.pipe()[0] for _ in range(90)]; select.select(q, [], [])"
    found = waits(pipe(opened, Path()), script)
    assert found.startswith("an event on a descriptor (select): ") and found.endswith(", 87 more")
    assert found.count("<pipe:[") == 3
    assert found.count("> from the process itself") == 3


def test_a_file_with_a_name_has_no_other_end(opened: ExitStack) -> None:
    ours, theirs = pty.openpty()
    opened.callback(os.close, ours)
    opened.callback(os.close, theirs)
    found = waits(theirs, SETS + "POLL(n, 1)")
    assert found == f"an event on a descriptor (poll): {theirs}<{os.ttyname(theirs)}>"


def test_a_process_that_waits_for_itself() -> None:
    script = "import os; os.read(os.pipe()[0], 1)"
    with subprocess.Popen([sys.executable, "-c", script]) as other:
        try:
            asleep(other.pid)
            (thread,) = stack.join(LiveTarget(f"/proc/{other.pid}"), HERE).threads
        finally:
            other.kill()
    assert thread.waits_for == "data in a pipe from the process itself"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("libc.splice(n, None, os.pipe()[1], None, 9, 0)", "data in a pipe from "),
        ("libc.tee(n, os.pipe()[1], 9, 0)", "data in a pipe from "),
        (
            "libc.sendfile(n, os.open(sys.executable, os.O_RDONLY), None, 1 << 20)",
            "room in a pipe to ",
        ),
    ],
)
def test_calls_with_two_descriptors(call: str, words: str, opened: ExitStack) -> None:
    number = (full_pipe if "sendfile" in call else pipe)(opened, Path())
    script = f"{SETS}import ctypes; libc = ctypes.CDLL(None)\n"
    script += "if 'sendfile' in " + repr(call) + ": FILL(n); os.set_blocking(n, True)\n"
    assert waits(number, script + call) == words + ME


class Private(LiveTarget):
    """A requester that may not look into other processes."""

    def names(self, path: str) -> list[str]:
        if path.startswith("../") and path.endswith("/fd"):
            raise PermissionError(13, "Permission denied", path)
        return super().names(path)


class Owner(LiveTarget):
    """A requester that may not read kernel frames, as the owner of a process."""

    def read(self, path: str) -> bytes:
        if path.endswith("stack"):
            raise PermissionError(13, "Permission denied", path)
        return super().read(path)


def test_the_owner_is_told_who_has_the_other_end_of_tcp(opened: ExitStack) -> None:
    assert waits(tcp(opened, Path()), target=Owner) == f"data on a socket from {ME}"


@pytest.mark.parametrize(
    ("order", "own", "mapped"),
    [
        ("little", b"0100007F", b"0000000000000000FFFF00000100007F"),
        ("big", b"7F000001", b"00000000000000000000FFFF7F000001"),
    ],
)
def test_a_connection_of_ipv4_may_end_in_the_table_of_ipv6(
    order: ByteOrder, own: bytes, mapped: bytes
) -> None:
    """That of a server which listens at `::` does."""
    row = b"  0: %b:%b %b:%b 01 0:0 00:0 0     0        0 %d 1\n"
    reading = Imitated(
        {
            "net/tcp": row % (own, b"9C40", own, b"1F90", 111),
            "net/tcp6": row % (mapped, b"1F90", mapped, b"9C40", 222)
            + row % (mapped, b"1F90", mapped, b"9C41", 333),
        }
    )
    with decoding_as(order):
        ends = [Sockets(reading).other_end(inode) for inode in (111, 222, 333)]
    assert ends == [222, 111, None]


def test_nobody_is_named_whose_descriptors_the_requester_may_not_read(opened: ExitStack) -> None:
    assert waits(pipe(opened, Path()), target=Private) == "data in a pipe"


def test_nobody_of_another_network_namespace_is_named(opened: ExitStack) -> None:
    assert waits(pair(opened, Path()), machine=Machine()) == "data on a socket"


def test_nobody_is_named_for_whom_there_is_no_time(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_end, "SECONDS", 0.0)
    assert waits(pipe(opened, Path())) == "data in a pipe"


class Elsewhere(LiveTarget):
    """A target in whose own file of fdinfo another inode stands, as in another mount namespace."""

    def read(self, path: str) -> bytes:
        raw = super().read(path)
        if path.startswith("fdinfo/"):
            return b"\n".join(b"ino:\t7" if one[:4] == b"ino:" else one for one in raw.split(b"\n"))
        return raw


def test_a_fifo_of_the_same_name_elsewhere_is_another(opened: ExitStack, tmp_path: Path) -> None:
    assert waits(fifo(opened, tmp_path), target=Elsewhere) == "data in a pipe"


@pytest.mark.root
def test_a_fifo_of_another_file_system_is_another(tmp_path: Path) -> None:
    """Two tmpfs at one place, in two mount namespaces: even the numbers of the files are equal."""
    with waiting_for_a_fifo(tmp_path) as one, waiting_for_a_fifo(tmp_path) as other:
        files = [os.stat(f"/proc/{pid}/fd/0") for pid in (one, other)]
        assert files[0].st_ino == files[1].st_ino and files[0].st_dev != files[1].st_dev
        for pid in (one, other):
            assert os.readlink(f"/proc/{pid}/fd/0") == str(tmp_path / "fifo")
            (thread,) = stack.join(LiveTarget(f"/proc/{pid}"), HERE).threads
            assert thread.waits_for == "data in a pipe from the process itself"


def test_any_answer_of_the_kernel_is_read_without_harm() -> None:
    assert unix_peer(1) is None
    assert unix_peer(1 << 40) is None
    for size in range(64):
        for answer in (b"\xff" * size, bytes(size)):
            assert all(kind != 20 for kind, _ in messages(answer)) and _peer(answer) == 0
