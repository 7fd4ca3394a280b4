"""What an inotify or fanotify descriptor watches, as the first line of a stack says."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.view import Machine
from procmirror.procfs import local_files
from procmirror.stack import file_watches
from procmirror.stack.caller import Caller
from procmirror.stack.file_watches import FileWatches
from procmirror.views import VIEWS
from tests.harness import until
from tests.live_target import LiveTarget
from tests.stack.crafted import Crafted
from tests.stack.targets import PROGRAMS, asleep, available, running, seen

SET = "an event on a descriptor (poll): 9<anon_inode:inotify>"


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search has enough time on a loaded machine too."""
    monkeypatch.setattr(file_watches, "SECONDS", 10.0)


@contextmanager
def watching(way: str, *files: bytes, folder: Path) -> Iterator[int]:
    """A process that watches these, whose command line does not name them."""
    program = [sys.executable, "-I", str(PROGRAMS / "watches.py"), way]
    with subprocess.Popen(
        [*program, *(one.hex() for one in files)], cwd=folder, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            asleep(process.pid)
            yield process.pid
        finally:
            process.kill()


def told(pid: int) -> str | None:
    """What its main thread waits for, by the view."""
    return seen(pid)[pid].waits_for


def test_the_directory_in_which_the_process_is_and_those_above(tmp_path: Path) -> None:
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    files = [os.fsencode(one) for one in (inner, inner.parent, tmp_path)]
    with watching("read", *files, folder=inner) as pid:
        shown = f"{tmp_path}, {tmp_path}/one, {tmp_path}/one/two"
        assert told(pid) == f"a change in the file system: {shown}"


def test_a_member_of_a_set(tmp_path: Path) -> None:
    with watching("poll", os.fsencode(tmp_path), folder=tmp_path) as pid:
        assert told(pid) == f"{SET} ({tmp_path})"
    with watching("poll", folder=tmp_path) as pid:
        assert told(pid) == SET


def test_the_file_of_tail(tmp_path: Path) -> None:
    log = tmp_path / "a log\n\x1b[31m"
    log.touch()
    command = f'cd {tmp_path}; exec tail -f "$0" > /dev/null'
    with running("sh", "-c", command, log.name) as pid:
        assert f"{tmp_path}/a log\\n\\x1b[31m" in (told(pid) or "")


def rows_of(pid: int) -> tuple[dict[str, Any], str]:
    """The row of descriptor 9 of a process in fd.json, and its line in fd.txt."""
    view = next(one for one in VIEWS if one.name == "PID/fd")
    target = LiveTarget(f"/proc/{pid}")
    rows = json.loads(
        b"".join(rendered(view, "json", view.record_of(target, Machine()), Machine()))
    )
    text = b"".join(rendered(view, "txt", view.record_of(target, Machine()), Machine())).decode()
    line = next(line for line in text.splitlines() if line.split()[:1] == ["9"])
    return next(row for row in rows if row["fd"] == 9), line


def test_rows_of_descriptors_have_the_paths(tmp_path: Path) -> None:
    odd = tmp_path / "odd\n\x1b[31m"
    odd.mkdir()
    hidden = tmp_path / "not" / "told"
    hidden.mkdir(parents=True)
    files = [os.fsencode(one) for one in (tmp_path, odd, hidden)]
    with watching("read", *files, folder=odd) as pid:
        row, line = rows_of(pid)
    shown = [(mark["inode"], mark["path"]) for mark in reversed(row["inotify"])]
    known = [
        (one.stat().st_ino, path)
        for one, path in (
            (tmp_path, str(tmp_path)),
            (odd, f"{tmp_path}/odd\n\x1b[31m"),
            (hidden, None),
        )
    ]
    assert shown == known
    assert f"{tmp_path} (modify)" in line
    assert f"{tmp_path}/odd\\n\\x1b[31m (modify)" in line
    assert f"inode {hidden.stat().st_ino} on " in line


def test_fdinfo_itself_says_where_the_paths_are(tmp_path: Path) -> None:
    view = next(one for one in VIEWS if one.name == "PID/fdinfo/N")
    with watching("read", os.fsencode(tmp_path), folder=tmp_path) as pid:
        raw = {fd: Path(f"/proc/{pid}/fdinfo/{fd}").read_bytes() for fd in (1, 9)}
    told = {fd: view.decoded(content, Machine()) for fd, content in raw.items()}
    reason = "fd.json looks for it, this file does not"
    assert [one.path for one in told[9].inotify] == [None]
    assert [(one.part, one.reason) for one in told[9].incomplete] == [("inotify.path", reason)]
    assert told[1].incomplete == []
    text = b"".join(rendered(view, "txt", told[9], Machine())).decode()
    assert text.endswith(f"incomplete  inotify.path: {reason}\n")


def test_inotifywait(tmp_path: Path) -> None:
    with running(available("inotifywait"), "-qm", str(tmp_path)) as pid:
        assert (told(pid) or "").endswith(f"3<anon_inode:inotify> ({tmp_path})")


def test_a_path_that_leads_to_another_file_by_now_is_not_shown(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    number = place.stat().st_ino
    with watching("read", os.fsencode(place), folder=place) as pid:
        assert told(pid) == f"a change in the file system: {place}"
        os.rename(place, tmp_path / "elsewhere")
        place.mkdir()
        moved = told(pid) or ""
        assert moved == f"a change in the file system: {tmp_path}/elsewhere"
    with watching("read", os.fsencode(tmp_path / "elsewhere"), folder=Path("/")) as pid:
        assert f"inode {number} on " in (told(pid) or "")


def test_who_watches_does_not_hear_of_it(tmp_path: Path) -> None:
    """Inotifywait writes a line for each event of what it watches, also of an open."""
    command = ["inotifywait", "-qm", str(tmp_path)]
    with subprocess.Popen(
        [available(command[0]), *command[1:]], cwd=tmp_path, stdout=subprocess.PIPE
    ) as process:
        try:
            asleep(process.pid)
            until(lambda: str(tmp_path) in (told(process.pid) or ""), "it does not watch")
            (tmp_path / "last").touch()
            assert process.stdout
            assert process.stdout.readline().split()[-2:] == [b"CREATE", b"last"]
        finally:
            process.kill()


def test_without_time_the_inode_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watches, "SECONDS", 1e-9)
    with watching("read", os.fsencode(tmp_path), folder=tmp_path) as pid:
        shown = f"inode {tmp_path.stat().st_ino} on /"
        assert (told(pid) or "").startswith(f"a change in the file system: {shown}")


def test_of_many_the_outer_ones_are_named(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:04}" for number in range(1500)]
    for file in files:
        file.touch()
    with watching("read", *map(os.fsencode, [*files, tmp_path]), folder=tmp_path) as pid:
        shown = told(pid) or ""
    # The first thousand lines are of the newest ones.
    assert shown.startswith(f"a change in the file system: {tmp_path}, ")
    assert shown.endswith(", at least 993 more")


def test_files_that_others_serve_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files.Mounts, "is_local", lambda *_: False)
    with watching("read", os.fsencode(tmp_path), folder=tmp_path) as pid:
        target = LiveTarget(f"/proc/{pid}")
        assert "inode" in FileWatches(target, Caller(target, Machine())).of(9)


class Told(Crafted):
    """A process whose descriptor 3 is a fanotify group with these lines of fdinfo."""

    def __init__(self, *rows: bytes) -> None:
        super().__init__(b"", b"", 0)
        self.rows = rows

    def link(self, path: str) -> str:
        return "anon_inode:[fanotify]" if path == "fd/3" else "/"

    def lines(self, path: str) -> Iterator[bytes]:
        assert path == "fdinfo/3"
        return iter(self.rows)

    def names(self, path: str) -> list[str]:
        raise OSError(path)

    def read(self, path: str) -> bytes:
        assert path == "mountinfo"
        return (
            b"75 1 8:1 /sub /part rw - ext4 /dev/sda1 rw\n"
            b"76 1 8:1 / /a\\040b rw - ext4 /dev/sda1 rw\n"
        )

    def part(self, path: str, offset: int, size: int) -> bytes:
        raise OSError(path, offset, size)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"fanotify ino:40 sdev:800001 mflags:0 mask:2 ignored_mask:0", "inode 64 on /a b"),
        (b"fanotify ino:40 sdev:900001 mflags:0 mask:2 ignored_mask:0", "inode 64 on device 9:1"),
        (b"fanotify mnt_id:4b mflags:0 mask:2 ignored_mask:0", "the mount /part"),
        (b"fanotify mnt_id:99 mflags:0 mask:2 ignored_mask:0", "the mount 153"),
        (b"fanotify sdev:800001 mflags:0 mask:2 ignored_mask:0", "the file system at /a b"),
        (b"fanotify ino: sdev:zz", ""),
        (b"fanotify", ""),
        (b"", ""),
    ],
)
def test_the_marks_of_fanotify(row: bytes, words: str) -> None:
    target = Told(b"pos:\t0", b"fanotify flags:0 event-flags:0", row)
    assert FileWatches(target, Caller(target, Machine())).of(3) == words


@pytest.mark.skipif(os.geteuid() != 0, reason="fanotify_init(2) needs CAP_SYS_ADMIN")
def test_a_group_of_fanotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    libc = ctypes.CDLL(None, use_errno=True)
    group = libc.fanotify_init(0, os.O_RDONLY)
    assert group >= 0
    try:
        add, modified = 1, ctypes.c_uint64(2)
        assert libc.fanotify_mark(group, add, modified, -1, os.fsencode(tmp_path)) == 0
        target = LiveTarget("/proc/self")
        words = FileWatches(target, Caller(target, Machine())).of(group)
    finally:
        os.close(group)
    assert words == str(tmp_path)
