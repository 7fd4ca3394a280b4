"""Whom a connect(2) waits for that finds the queue of the listener full."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.procfs.unix_peers import listener, unix_listeners
from procmirror.stack import other_end
from procmirror.stack.sockets import Sockets
from procmirror.views.pid import stack
from tests.live_target import LiveTarget
from tests.readings import Imitated
from tests.stack.targets import asleep

HERE = Machine(namespaces={"net": os.readlink("/proc/self/ns/net")})
WAITS = "the peer of a socket to answer or make room: "
COMM = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
LISTENS = f", where process {os.getpid()} ({COMM}) listens"
CONNECTS = """import ast, os, socket, sys
os.chdir(sys.argv[3])
q = []
while True:
    q.append(socket.socket(socket.AddressFamily[sys.argv[1]]))
    q[-1].connect(ast.literal_eval(sys.argv[2]))
"""

LISTENS_AT = """import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(0)
print(flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the usual time may be over before the listener is found.

    Also beside a process of another test that makes its readers wait.
    """
    monkeypatch.setattr(other_end, "SECONDS", 60.0)
    monkeypatch.setattr(other_end, "MOST_DESCRIPTORS", 100_000)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack_of_files:
        yield stack_of_files


def listens(opened: ExitStack, family: socket.AddressFamily, address: object) -> socket.socket:
    """A socket of ours that takes one connection and accepts none."""
    server = opened.enter_context(socket.socket(family))
    server.bind(address)  # type: ignore[arg-type]
    server.listen(0)
    return server


def waits(family: str, address: object, machine: Machine = HERE, place: Path = Path("/")) -> str:
    """What a process waits for that connects until it has to wait."""
    command = [sys.executable, "-c", CONNECTS, family, repr(address), str(place)]
    with subprocess.Popen(command) as other:
        try:
            asleep(other.pid)
            (thread,) = stack.join(LiveTarget(f"/proc/{other.pid}"), machine).threads
        finally:
            other.kill()
    return thread.waits_for or ""


def test_a_path(opened: ExitStack, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listens(opened, socket.AF_UNIX, path)
    assert waits("AF_UNIX", path) == f'{WAITS}"{path}"{LISTENS}'


def test_a_path_from_the_working_directory(opened: ExitStack, tmp_path: Path) -> None:
    listens(opened, socket.AF_UNIX, str(tmp_path / "socket"))
    assert waits("AF_UNIX", "./socket", place=tmp_path) == f'{WAITS}"./socket"{LISTENS}'


@pytest.mark.parametrize("name", [b"caf\xe9", b"caf\\xe9"])
def test_a_path_from_a_working_directory_that_is_not_utf8(
    opened: ExitStack, tmp_path: Path, name: bytes
) -> None:
    place = tmp_path / os.fsdecode(name)
    place.mkdir()
    listens(opened, socket.AF_UNIX, str(place / "socket"))
    assert waits("AF_UNIX", "./socket", place=place) == f'{WAITS}"./socket"{LISTENS}'


def test_the_file_counts_and_not_its_name(opened: ExitStack, tmp_path: Path) -> None:
    """Another process took over the name of a listener by rename(2)."""
    path = str(tmp_path / "socket")
    command = [sys.executable, "-c", LISTENS_AT, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as before:
        try:
            assert before.stdout and before.stdout.readline()
            listens(opened, socket.AF_UNIX, path + ".new")
            Path(path + ".new").rename(path)
            assert waits("AF_UNIX", path) == f'{WAITS}"{path}"{LISTENS}'
        finally:
            before.kill()


def test_an_abstract_name(opened: ExitStack, tmp_path: Path) -> None:
    name = f"{tmp_path}\0x"
    listens(opened, socket.AF_UNIX, "\0" + name)
    listens(opened, socket.AF_UNIX, "\0" + name + "y")
    found = waits("AF_UNIX", "\0" + name)
    assert found.startswith(f'{WAITS}"@{tmp_path}') and found.endswith(LISTENS)


def test_of_another_network_namespace_the_address_alone(opened: ExitStack, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listens(opened, socket.AF_UNIX, path)
    assert waits("AF_UNIX", path, machine=Machine()) == f'{WAITS}"{path}"'


@pytest.mark.parametrize(
    ("family", "own", "target"),
    [
        ("AF_INET", "127.0.0.1", "127.0.0.1"),
        ("AF_INET", "", "127.0.0.9"),
        ("AF_INET6", "::1", "::1"),
        ("AF_INET6", "::", "::1"),
        ("AF_INET6", "::", "::ffff:127.0.0.1"),
    ],
)
def test_a_local_tcp_port(family: str, own: str, target: str, opened: ExitStack) -> None:
    server = listens(opened, socket.AddressFamily[family], (own, 0))
    port = server.getsockname()[1]
    shown = f"[{target}]:{port}" if ":" in target else f"{target}:{port}"
    assert waits(family, (target, port)) == f"{WAITS}{shown}{LISTENS}"


def test_nobody_is_named_if_several_listen_there(opened: ExitStack) -> None:
    servers = [opened.enter_context(socket.socket()) for _ in range(2)]
    port = 0
    for one in servers:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", port))
        one.listen(0)
        port = one.getsockname()[1]
    assert waits("AF_INET", ("127.0.0.1", port)) == f"{WAITS}127.0.0.1:{port}"


HEAD = "  sl  local_address rem_address   st tx rx tr tm retrnsmt   uid  timeout inode\n"
ROW = "   0: {} {} {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100 0\n"


@pytest.mark.parametrize(
    ("source", "target", "state", "socket_of_listener"),
    [
        ("0100007F:D001", "0100007F:1F90", "02", 7),
        ("0100007F:D001", "0100007F:1F90", "01", None),  # connected
        ("0100007F:D001", "0100007F:1F91", "02", None),  # another port
        ("0500000A:D001", "0500000A:1F90", "02", 7),  # an address of this machine
        ("0500000A:D001", "0600000A:1F90", "02", None),  # of whom, nobody knows
    ],
)
def test_a_listener_of_this_machine_alone(
    source: str, target: str, state: str, socket_of_listener: int | None
) -> None:
    rows = ROW.format("00000000:1F90", "00000000:0000", "0A", 7)
    rows += ROW.format(source, target, state, 8)
    assert Sockets(Imitated({"net/tcp": (HEAD + rows).encode()})).listener(8) == socket_of_listener


def test_any_answer_of_the_kernel_about_listeners_is_read_without_harm(
    opened: ExitStack, tmp_path: Path
) -> None:
    for size in range(16, 80):
        for answer in (b"\xff" * size, bytes(size), b"\4" * size):
            assert listener(answer).file is None
    path = str(tmp_path / "socket")
    server = listens(opened, socket.AF_UNIX, path)
    told = {one.socket: one.name for one in unix_listeners()}
    assert all(told)
    assert told[os.fstat(server.fileno()).st_ino].rstrip(b"\0") == os.fsencode(path)
