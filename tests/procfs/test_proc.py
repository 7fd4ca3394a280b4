"""Processes that are told from others by their directories, on a folder that stands for /proc."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.procfs.mounts import mount_of, mounts
from procmirror.procfs.processes import Proc, Process

STAT = "{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 {start} 8400896 1010\n"


class Folder:
    """The folder, and a `Proc` that keeps one directory open."""

    def __init__(self, path: Path, kept: int = 1) -> None:
        self.path = path
        root, own = (os.open(name, os.O_RDONLY | os.O_DIRECTORY) for name in (path, "/proc"))
        self.descriptors = (root, own)
        self.proc = Proc(root, own, kept)
        self._ended = 0

    def begin(self, pid: int, start: int, comm: str = "sh") -> Process:
        """A process begins."""
        directory = self.path / str(pid)
        directory.mkdir()
        (directory / "stat").write_text(STAT.format(pid=pid, start=start, comm=comm))
        (directory / "status").write_text(f"Name:\tTgid:\t1\nTgid:\t{pid}\n")
        return Process(b"%d" % pid, directory.stat().st_ino)

    def end(self, pid: int) -> None:
        """It ends; its directory is kept elsewhere, so that no other gets the inode."""
        self._ended += 1
        (self.path / str(pid)).rename(self.path / f"ended-{self._ended}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for descriptor in made.descriptors:
        os.close(descriptor)


def test_a_directory_stays_open_while_it_is_used(folder: Folder) -> None:
    process = folder.begin(40, 100)
    descriptor = folder.proc.directory(process)
    assert folder.proc.directory(process) == descriptor
    folder.end(40)
    folder.begin(40, 200)
    # The very directory, whoever has the number now.
    assert folder.proc.directory(process) == descriptor
    folder.proc.release(process)
    with pytest.raises(ProcessLookupError):
        folder.proc.directory(process)


@pytest.mark.parametrize("comm", ["sh", ") S 1 1 ("])
def test_a_number_that_was_used_again_is_another_process(folder: Folder, comm: str) -> None:
    """Also where the directory was given back, and only the start tells them apart."""
    process, other = folder.begin(40, 100, comm), folder.begin(41, 100)
    folder.proc.directory(process)
    folder.proc.directory(other)
    assert process.descriptor == -1
    folder.end(40)
    folder.begin(40, 200, comm)
    with pytest.raises(ProcessLookupError) as gone:
        folder.proc.directory(process)
    assert gone.value.errno == errno.ESRCH
    assert not folder.proc.is_there(process)
    assert folder.proc.is_there(other)


def test_a_directory_that_the_kernel_made_anew_is_the_same_process(folder: Folder) -> None:
    """Procfs forgets inodes of directories that nobody holds, and makes others."""
    process, other = folder.begin(40, 100), folder.begin(41, 100)
    folder.proc.directory(process)
    folder.proc.directory(other)
    folder.end(40)
    again = folder.begin(40, 100)
    descriptor = folder.proc.directory(process)
    assert os.fstat(descriptor).st_ino == again.inode == process.inode


def test_a_process_that_was_never_opened_is_told_by_its_directory(folder: Folder) -> None:
    process = folder.begin(40, 100)
    folder.end(40)
    with pytest.raises(ProcessLookupError):
        folder.proc.directory(process)
    folder.begin(40, 100)
    with pytest.raises(ProcessLookupError):
        folder.proc.directory(process)


def test_so_many_directories_are_kept_and_the_last_used_ones(tmp_path: Path) -> None:
    folder = Folder(tmp_path, kept=3)
    processes = [folder.begin(pid, 100) for pid in range(40, 50)]
    before = len(os.listdir("/proc/self/fd"))
    for process in processes:
        folder.proc.directory(processes[0])
        folder.proc.directory(process)
    kept = [process for process in processes if process.descriptor >= 0]
    assert kept == [processes[0], *processes[-2:]]
    assert len(os.listdir("/proc/self/fd")) == before + 3
    for process in processes:
        folder.proc.release(process)
    for descriptor in folder.descriptors:
        os.close(descriptor)
    assert len(os.listdir("/proc/self/fd")) == before - 2


def test_a_thread_is_known_by_the_list_of_its_process(folder: Folder) -> None:
    process, thread = folder.begin(40, 100), folder.begin(41, 100)
    (folder.path / "40" / "task" / "41").mkdir(parents=True)
    assert folder.proc.is_thread(thread, b"40") and folder.proc.is_thread(thread, b"40")
    assert not folder.proc.is_thread(process, b"41") and not folder.proc.is_thread(process, b"42")


def test_what_was_no_thread_of_a_process_is_not_looked_for_again(folder: Folder) -> None:
    """A process that gets the number later is younger, and so are its threads."""
    process = folder.begin(40, 100)
    assert not folder.proc.is_thread(process, b"39")
    (folder.path / "39" / "task" / "40").mkdir(parents=True)
    assert not folder.proc.is_thread(process, b"39")


def test_our_own_threads_are_known(folder: Folder) -> None:
    (folder.path / "self" / "task" / "41").mkdir(parents=True)
    root = folder.descriptors[0]
    proc = Proc(root, folder.descriptors[1])
    process, own = folder.begin(40, 100), folder.begin(41, 100)
    proc.directory(process)
    proc.directory(own)
    assert (process.own, own.own) == (False, True)


def test_mounts_and_the_mount_of_a_descriptor(tmp_path: Path) -> None:
    """As a folder tells them that stands for /proc: mount points are told without escapes."""
    (tmp_path / "self" / "fdinfo").mkdir(parents=True)
    (tmp_path / "self" / "fdinfo" / "9").write_text("pos:\t0\nflags:\t012\nmnt_id:\t22\nino:\t1\n")
    (tmp_path / "self" / "fdinfo" / "8").write_text("pos:\t0\nmnt_id:\t2\n")
    (tmp_path / "self" / "mountinfo").write_bytes(
        rb"21 1 0:5 / /a rw - tmpfs none rw"
        b"\n"
        rb"22 21 0:6 / /a\040b rw - proc proc rw,hidepid=2"
        b"\n"
    )
    own = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert [mount.mount_point for mount in mounts(own)] == [b"/a", b"/a b"]
        found = mount_of(own, 9)
        assert found
        assert (found.mount_id, found.device) == (22, b"0:6")
        assert mount_of(own, 8) is None
    finally:
        os.close(own)
