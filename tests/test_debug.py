"""`-d` and `-o debug`: one line a request, read from the daemon of a real mount."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import until
from tests.mounting import Mount, mounted
from tests.programs import environment, ran, running

SECRET = "no-line-may-have-this"
LINE = re.compile(
    r'procmirror: DEBUG: (?P<operation>[A-Z]+) path="(?P<path>(?:[^"\\]|\\.)*)" '
    r"(?:tid=(?P<tid>\d+) uid=(?P<uid>\d+)|\?|kernel) "
    r"at=(?:here|ring|worker:(?P<worker>\d+) worker_us=(?P<worker_us>\d+))(?: lock=(?P<lock>\S+))? "
    r"us=(?P<us>\d+) errno=(?P<errno>0|E[A-Z0-9]+)"
)
Line = dict[str, str | None]


@pytest.fixture(scope="module")
def logged() -> Iterator[Mount]:
    with mounted("-d") as mount:
        yield mount


def lines(mount: Mount) -> list[Line]:
    """The requests of a log, each line of it checked."""
    found = []
    for line in mount.log.read_text().splitlines():
        if "DEBUG" in line:
            match = LINE.fullmatch(line)
            assert match, line
            found.append(match.groupdict())
    return found


def line_of(mount: Mount, operation: str, path: str, **wanted: str) -> Line:
    """The last line of an operation on a path, once there is one with what is wanted."""

    def found() -> list[Line]:
        return [
            line
            for line in lines(mount)
            if wanted.items() | {"operation": operation, "path": path}.items() <= line.items()
        ]

    return until(found, f"no line of {operation} {path} {wanted}")[-1]


def test_a_file_that_cannot_wait_is_read_in_the_daemon(logged: Mount) -> None:
    (logged.path / "1/status.txt").read_bytes()
    for operation in ("LOOKUP", "OPEN", "READ", "RELEASE"):
        line = line_of(logged, operation, "/1/status.txt")
        assert (line["uid"], line["worker"], line["lock"], line["errno"]) == ("0", None, None, "0")
    assert line_of(logged, "OPEN", "/1/status.txt")["tid"] == str(os.getpid())


def test_a_file_that_may_wait_is_read_in_a_worker(logged: Mount) -> None:
    with running("sleep", "600", env=environment(SECRET=SECRET)) as pid:
        assert SECRET in (logged.path / str(pid) / "environ.txt").read_text()
        (logged.path / str(pid) / "smaps_rollup.txt").read_bytes()
        line = line_of(logged, "OPEN", f"/{pid}/smaps_rollup.txt")
        assert int(line["worker"] or 0) in logged.processes()
        assert line["lock"] == f"{pid}/memory" and line["errno"] == "0"
        assert 0 < int(line["worker_us"] or 0) <= int(line["us"] or 0)
    assert SECRET not in logged.log.read_text()


def test_a_refusal_has_its_errno_and_its_requester(logged: Mount, wes: int) -> None:
    said = ran("cat", logged.path / str(os.getpid()) / "smaps_rollup", user=wes)
    assert said.code == 1
    line = line_of(logged, "OPEN", f"/{os.getpid()}/smaps_rollup", errno="EACCES")
    assert line["uid"] == str(wes) and line["worker"]
    with pytest.raises(FileNotFoundError):
        (logged.path / "nothing").lstat()
    assert line_of(logged, "LOOKUP", "/nothing", errno="ENOENT")["tid"] == str(os.getpid())


def test_names_are_escaped(logged: Mount) -> None:
    name = b'a\n\x1b[31m"\\\xff b'
    with pytest.raises(FileNotFoundError):
        os.lstat(os.fsencode(logged.path / "1") + b"/" + name)
    assert line_of(logged, "LOOKUP", r"/1/a\n\x1b[31m\"\\\xff b")["errno"] == "ENOENT"
    assert b"\x1b" not in logged.log.read_bytes()


def test_a_directory_is_named_for_its_listing(logged: Mount) -> None:
    listed = os.listdir(logged.path / "self/fd")
    for operation in ("OPENDIR", "READDIR", "RELEASEDIR"):
        assert line_of(logged, operation, f"/{os.getpid()}/fd")["errno"] == "0"
    assert listed


def test_the_mount_option_is_the_same() -> None:
    with mounted("-o", "debug") as mount:
        (mount.path / "uptime").read_bytes()
        assert line_of(mount, "OPEN", "/uptime")["errno"] == "0"


def test_nothing_is_logged_without_it(mirror: Mount) -> None:
    Path(mirror.path / "uptime.json").read_bytes()
    assert "DEBUG" not in mirror.log.read_text()
