"""Directories of real processes that are given back, links, and writes, without a mount."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from procmirror.procfs import link_targets, mounts, proc
from procmirror.procfs.link_targets import Link
from procmirror.procfs.processes import Proc, Process
from tests.harness import until


@pytest.fixture
def own() -> Iterator[int]:
    descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def is_gone(there: Proc, process: Process) -> bool:
    """Whether the process is told to have ended, by the errno of the kernel."""
    try:
        there.directory(process)
    except ProcessLookupError as told:
        return told.errno == errno.ESRCH
    return False


def test_real_processes_survive_that_their_directories_are_given_back(own: int) -> None:
    there = Proc(own, own, kept=1)
    with subprocess.Popen(["sleep", "600"]) as one, subprocess.Popen(["sleep", "600"]) as other:
        processes = [
            Process(b"%d" % each.pid, os.stat(f"/proc/{each.pid}").st_ino) for each in (one, other)
        ]
        # Popen returns when the new program has closed its files, which is before it is named.
        until(
            lambda: all(
                Path(f"/proc/{each.pid}/comm").read_bytes() == b"sleep\n" for each in (one, other)
            )
        )
        for process in (*processes, *processes):
            stat = os.open("stat", os.O_RDONLY, dir_fd=there.directory(process))
            assert os.read(stat, 100).split()[0] == process.name
            os.close(stat)
        one.kill()
        one.wait()
        assert is_gone(there, processes[0])
        other.kill()
    there.release(processes[1])


@pytest.mark.parametrize("text_first", [True, False])
def test_the_object_of_a_link_is_what_the_link_leads_to(
    own: int, tmp_path: Path, text_first: bool
) -> None:
    (tmp_path / "file").touch()
    there = (tmp_path / "file").stat()

    def link(descriptor: int) -> Link:
        path = b"self/fd/%d" % descriptor
        return link_targets.link_with_object(own, path, own, text_first=text_first)

    with (tmp_path / "file").open() as file:
        found = link(file.fileno())
    assert found.text == os.fsencode(tmp_path / "file")
    assert found.object
    assert found.object[1:] == (
        f"{os.major(there.st_dev)}:{os.minor(there.st_dev)}",
        there.st_ino,
    )
    directory = os.open(tmp_path, os.O_RDONLY)
    assert link(directory).is_directory
    os.close(directory)
    reading, writing = os.pipe()
    assert link(reading) == Link(b"pipe:[%d]" % os.fstat(reading).st_ino)
    os.close(reading)
    os.close(writing)


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "place").symlink_to("/etc")
    folder = os.open(tmp_path, os.O_RDONLY)
    for opening, name in ((proc.open_file, b"link"), (proc.open_directory, b"place")):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            opening(folder, name)
    assert proc.attributes(folder, b"link").size == len("/etc/passwd")
    os.close(folder)


def test_a_write_without_an_offset_goes_where_the_descriptor_stands(tmp_path: Path) -> None:
    """A seek that nobody asked for makes a file of procfs produce its content."""
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    descriptor = os.open(file, os.O_RDWR)
    os.lseek(descriptor, 4, os.SEEK_SET)
    assert proc.write(descriptor, b"AB", -1) == 2
    assert proc.write(descriptor, b"CD", 0) == 2
    os.close(descriptor)
    assert file.read_bytes() == b"CD23AB6789"


def test_what_cannot_be_sought_is_written_all_the_same() -> None:
    reading, writing = os.pipe()
    assert proc.write(writing, b"AB", 7) == 2
    assert os.read(reading, 9) == b"AB"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("option", "hides"),
    [
        ("rw", ""),
        ("rw,hidepid=0", ""),
        ("rw,hidepid=off", ""),
        ("rw,hidepid=1", "noaccess"),
        ("rw,hidepid=2", "invisible"),
        ("rw,gid=5,hidepid=4", "ptraceable"),
        ("rw,hidepid=invisible", "invisible"),
        ("rw,hidepid=0,hidepid=2", "invisible"),
    ],
)
def test_a_mount_that_hides_processes_is_known_by_number_and_by_name(
    monkeypatch: pytest.MonkeyPatch, option: str, hides: str
) -> None:
    """Kernels before 5.8 have the numbers."""
    monkeypatch.setattr(
        mounts, "mount_of", lambda *_: SimpleNamespace(super_options=option.encode())
    )
    assert mounts.hidden_processes(-1, -1) == hides


def test_what_a_mount_hides_that_is_not_shown_here_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mounts, "mount_of", lambda *_: None)
    assert mounts.hidden_processes(-1, -1) == mounts.UNKNOWN


@pytest.mark.parametrize(
    ("times", "expected"), [((5, None), (5, 2000)), ((None, 7), (1000, 7)), ((8, 9), (8, 9))]
)
def test_of_two_times_the_one_that_is_left_out_stays(
    tmp_path: Path, times: proc.Times, expected: tuple[int, int]
) -> None:
    file = tmp_path / "file"
    file.touch()
    os.utime(file, ns=(1000, 2000))
    directory = os.open(tmp_path, os.O_RDONLY)
    proc.touch(directory, b"file", None, times)
    os.close(directory)
    assert (file.stat().st_atime_ns, file.stat().st_mtime_ns) == expected
