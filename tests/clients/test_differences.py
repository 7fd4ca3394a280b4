"""What FUSE makes different for clients, as docs/CLIENTS.md has it.

On /proc, on the mirror, and how else to get it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.agreement import PROC
from tests.harness import ROOT, comes_true, until
from tests.mounting import Mount
from tests.programs import Ran, free_port, listens, over_one, over_proc, running

HOLDS = """import os, socket, sys, time
held = socket.create_server(("127.0.0.1", int(sys.argv[1]))), open("/etc/passwd"), os.pipe()
time.sleep(600)"""


# fuser and lsof look at every descriptor of the machine.
_LONG = 120.0


@pytest.fixture(scope="module")
def held() -> Iterator[tuple[int, int]]:
    """A process that holds a socket, a file and a pipe, and the port of the socket."""
    port = free_port()
    with running(sys.executable, "-S", "-c", HOLDS, port, name="python") as pid:
        until(lambda: listens(port), "it does not listen")
        yield pid, port


def both(mirror: Mount, *command: object) -> tuple[Ran, Ran]:
    """What a program does over /proc and over the mirror."""
    return over_proc(PROC, *command), over_proc(mirror.path, *command, deadline=_LONG)


def test_lsof_tells_files_and_sockets_but_not_pipes(mirror: Mount, held: tuple[int, int]) -> None:
    pid, port = held
    native, mirrored = both(mirror, "lsof", "-w", "-nP", "-a", "-p", pid, "-d", "0-99", "-Ftn")
    for told in (f"tIPv4\nn127.0.0.1:{port}\n", "tREG\nn/etc/passwd\n"):
        assert told in native.out and told in mirrored.out
    assert "tFIFO\n" in native.out and "tunknown\nnpipe" in mirrored.out
    assert "socket" not in mirrored.out
    native, mirrored = both(mirror, "lsof", "-w", "-nP", "-a", "-p", pid, f"-iTCP:{port}")
    assert native.code == 0 and mirrored == native


def test_fuser_finds_files_but_not_ports(mirror: Mount, held: tuple[int, int]) -> None:
    """It compares the device of the socket too, and every file here is on that of the mirror."""
    pid, port = held
    native, mirrored = both(mirror, "fuser", "-n", "tcp", port)
    assert (native.code, native.out.split()) == (0, [str(pid)])
    assert (mirrored.code, mirrored.out) == (1, "")
    native, mirrored = both(mirror, "fuser", "/etc/passwd")
    assert native.out.split().count(str(pid)) == mirrored.out.split().count(str(pid)) == 1
    (row,) = [
        line
        for line in (mirror.path / "sockets.txt").read_text().splitlines()
        if f"127.0.0.1:{port} " in line
    ]
    assert f"python({pid}) fd 3" in row


@pytest.mark.parametrize("command", [("fuser",), ("lsof", "-t", "-a", "-p")])
def test_who_has_another_file_of_that_path_open_is_not_named(
    mirror: Mount, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The path is that of a file in another mount namespace; `fuser -k` would kill there.

    lsof looks at two processes: at those of a whole machine it looks for long.
    """
    file = tmp_path / "file"
    file.write_text("here")
    inside = f"mount -t tmpfs none {tmp_path}; echo there > {file}; exec sleep 600 < {file}"
    shell = ("sh", "-c", inside)
    with running("unshare", "-m", *shell, name="sleep") as pid, file.open() as held:
        both_processes = [f"{pid},{os.getpid()}"] if "-p" in command else []
        native, mirrored = both(mirror, *command, *both_processes, file)
        assert str(os.getpid()) in native.out.split()
        assert str(pid) not in (native.out + mirrored.out).split()
        assert str(os.getpid()) in mirrored.out.split()
        text = os.readlink(mirror.path / str(pid) / "fd" / "0")
    assert held.closed and text == f"(unreachable){file}"


def test_lsfd_shows_a_link_that_is_held_as_its_target(mirror: Mount, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/etc/passwd")
    held = os.open(link, os.O_PATH | os.O_NOFOLLOW)
    columns = ("-o", "TYPE", "-Q", f"FD == {held}")
    native, mirrored = both(mirror, "lsfd", "-np", os.getpid(), *columns)
    os.close(held)
    assert (native.out.split(), mirrored.out.split()) == (["LINK"], ["REG"])


def test_lsfd_tells_all_but_pipes(mirror: Mount, held: tuple[int, int]) -> None:
    pid, _ = held

    def rows(ran: Ran) -> set[tuple[str, ...]]:
        return {tuple(line.split(None, 2)) for line in ran.out.splitlines()}

    native, mirrored = map(rows, both(mirror, "lsfd", "-np", pid, "-o", "ASSOC,TYPE,NAME"))
    missing = {re.sub(r":.*", "", name) for _, _, name in native - mirrored}
    assert "pipe" in missing
    assert {kind for assoc, kind, _ in mirrored if assoc == "3"} == {"SOCK"}
    assert {assoc for assoc, *_ in mirrored} >= {"net", "pid", "mnt", "user", "3", "4"}
    # Nothing else differs but the protocol of the socket.
    unlike = {re.sub(r"\[.*", "", name) for _, kind, name in mirrored - native if kind == "SOCK"}
    assert unlike == {"socket:"} and missing == {"pipe", "TCP"}
    assert {kind for _, kind, _ in mirrored - native} == {"SOCK"}


def test_lslocks_takes_a_pipe_for_the_locked_file(mirror: Mount, tmp_path: Path) -> None:
    file, command = tmp_path / "lock", ("lslocks", "-no", "PID,PATH")
    ends = os.pipe()
    with running(
        *("flock", "--no-fork", file, "sleep", "613"), name="sleep", stdout=ends[1]
    ) as pid:

        def path_on(proc: Path) -> str:
            """Empty where the kernel leaves the lock out, while locks of others come and go."""
            rows = over_proc(proc, *command).out.splitlines()
            return dict(line.split(None, 1) for line in rows).get(str(pid), "")

        native, mirrored = (until(lambda: path_on(proc)) for proc in (PROC, mirror.path))  # noqa: B023

        def is_listed() -> bool:
            rows = json.loads((mirror.path / "locks.json").read_bytes())
            return str(file) in [one["path"] for one in rows]

        assert comes_true(is_listed)
    for end in ends:
        os.close(end)
    assert native == str(file) and mirrored.startswith("pipe:[")


def test_lsns_finds_the_namespaces_of_all(mirror: Mount, held: tuple[int, int]) -> None:
    pid, _ = held
    command = ("lsns", "-no", "NS,TYPE", "-p", pid)
    # It gives up, without a word, at a process that ends while it reads, or that has a newline in
    # its name.
    native, mirrored = (over_one(proc, pid, *command) for proc in (PROC, mirror.path))
    assert "net" in native.out.split() and mirrored == native


@pytest.mark.parametrize("which", [("-n",), ("-a",), ("-n", "-m")])
def test_nsenter_fails_instead_of_staying_where_it_is(
    mirror: Mount, which: tuple[str, ...]
) -> None:
    with running("unshare", "-n", "sh", "-c", "exec sleep 600", name="sleep") as pid:
        native, mirrored = both(
            mirror, "nsenter", "-t", pid, *which, "readlink", "/proc/self/ns/net"
        )
        assert native.code == 0
        assert (mirrored.code, mirrored.out) == (1, "")
        assert "cannot open /proc/" in mirrored.err and "Permission denied" in mirrored.err


def test_killall_kills_nobody(mirror: Mount, tmp_path: Path) -> None:
    name = "differs-by-us"
    (tmp_path / name).symlink_to("/bin/sleep")
    with running(tmp_path / name, "600", name=name):
        native, mirrored = both(mirror, "killall", "-0", name)
    assert native == Ran(0, "", "")
    assert mirrored.code == 1 and "Bad file descriptor" in mirrored.err


def test_sockets_and_namespaces_can_be_looked_at_but_not_opened(
    mirror: Mount, held: tuple[int, int]
) -> None:
    pid, _ = held
    for entry, refusal in (("fd/3", errno.ENXIO), ("ns/net", errno.EACCES)):
        native, here = Path("/proc", str(pid), entry), mirror.path / str(pid) / entry
        shown = [(one.stat().st_mode, one.stat().st_ino) for one in (native, here)]
        assert shown[0] == shown[1]
        with pytest.raises(OSError, match=re.escape(os.strerror(refusal))):
            here.read_bytes()
        assert not (here.parent / os.readlink(here)).with_name("socket:[2]").exists()


@pytest.mark.parametrize(
    "script", ["echo read | cat /dev/stdin", "cat <(echo read)", "echo read > >(cat); wait $!"]
)
def test_pipes_cannot_be_opened_by_their_path(mirror: Mount, script: str) -> None:
    native, mirrored = both(mirror, "bash", "-c", script)
    assert native == Ran(0, "read\n", "")
    assert mirrored.out == ""
    assert re.search(
        r"/dev/\S+: (No such file or directory|Read-only file system)$", mirrored.err.strip()
    )
    files = over_proc(mirror.path, "bash", "-c", "cat /dev/stdin < /etc/passwd")
    assert files == Ran(0, Path("/etc/passwd").read_text(encoding="utf-8"), "")


def test_nothing_is_written(mirror: Mount) -> None:
    adjusted = "echo 100 > /proc/self/oom_score_adj && cat /proc/self/oom_score_adj"
    native, mirrored = both(mirror, "sh", "-c", adjusted)
    assert native == Ran(0, "100\n", "")
    assert mirrored.out == "" and mirrored.err.endswith("Read-only file system\n")
    native, mirrored = both(mirror, "choom", "-n", "100", "--", "true")
    assert native == Ran(0, "", "")
    assert mirrored.code == 1 and "Read-only file system" in mirrored.err


def test_the_file_system_says_that_it_is_fuse(mirror: Mount) -> None:
    native, mirrored = both(mirror, "stat", "-fc", "%T", "/proc")
    assert (native.out, mirrored.out) == ("proc\n", "fuseblk\n")
    native, mirrored = both(mirror, "findmnt", "-no", "FSTYPE", "-M", "/proc")
    assert (native.out.split()[-1], mirrored.out.split()[-1]) == ("proc", "fuse.procmirror")


def test_every_client_of_the_document_is_in_a_test() -> None:
    document = (ROOT / "docs" / "CLIENTS.md").read_text(encoding="utf-8")
    tests = {
        path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py")
    }
    rows = re.findall(r"^\| (.+?) \|.*\| `(test_\w+\.py)` \|$", document, re.MULTILINE)
    assert len(rows) > 20
    assert len(rows) + 3 == len(
        re.findall(r"^\|.*(?:\| Test |`test_\w+\.py` )\|$", document, re.MULTILINE)
    )
    for clients, test in rows:
        for client in re.findall(r"`([^`]+)`", clients):
            assert re.search(rf"\b{re.escape(client)}\b", tests[test]), f"{client} is not in {test}"
