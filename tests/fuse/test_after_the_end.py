"""What is open stays so when its process ends: fstat(2) of it succeeds, as of procfs's own files."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.mounting import Mount

NAMES = ["status", "status.txt", "environ", "environ.txt", "task", "."]


def held(place: Path, name: str, flags: int) -> os.stat_result:
    """What fstat(2) says of a file of a process that has ended since it was opened."""
    with subprocess.Popen(["sleep", "1000"], user=65534, group=65534) as process:
        descriptor = os.open(place / str(process.pid) / name, flags)
        process.kill()
    time.sleep(0.05)  # the kernel keeps attributes for a tick
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", NAMES)
def test_fstat_after_the_end_says_what_procfs_says(mirror: Mount, name: str) -> None:
    native = held(Path("/proc"), name.removesuffix(".txt"), os.O_RDONLY)
    found = held(mirror.path, name, os.O_RDONLY)
    assert (found.st_uid, found.st_gid) == (native.st_uid, native.st_gid)
    assert found.st_size == 0
    assert stat.S_IFMT(found.st_mode) == stat.S_IFMT(native.st_mode)
    assert found.st_mode & 0o555 == native.st_mode & 0o555


@pytest.mark.parametrize("name", ["status", "status.txt", "environ.txt"])
def test_fstat_of_a_place_after_the_end(mirror: Mount, name: str) -> None:
    assert stat.S_ISREG(held(mirror.path, name, os.O_PATH).st_mode)


@pytest.mark.parametrize("name", ["fd", "task/{}/fd"])
def test_a_count_of_descriptors_is_refused_as_procfs_refuses_it(mirror: Mount, name: str) -> None:
    """The size of `fd` is their number since Linux 6.2."""

    def refusal(place: Path) -> int | None:
        with subprocess.Popen(["sleep", "1000"]) as process:
            own = place / str(process.pid) / name.format(process.pid)
            descriptor = os.open(own, os.O_RDONLY)
            process.kill()
        try:
            time.sleep(1.2)  # the kernel keeps attributes for a second
            os.fstat(descriptor)
        except OSError as refused:
            return refused.errno
        finally:
            os.close(descriptor)
        return None

    assert refusal(mirror.path) == refusal(Path("/proc"))


def test_an_open_view_is_read_by_a_program_that_asks_for_its_size_first(mirror: Mount) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        view = (mirror.path / str(process.pid) / "status.txt").open("rb")
        process.kill()
    with view:
        assert subprocess.run(["cat"], stdin=view, capture_output=True, check=True).stdout


@pytest.mark.parametrize("name", ["", "status", "status.txt"])
def test_by_name_it_is_gone(mirror: Mount, name: str) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        place = mirror.path / str(process.pid) / name
        kept = os.open(place, os.O_RDONLY)
        process.kill()
    time.sleep(0.1)  # the kernel keeps the names of directories for a moment
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        place.stat()
    os.close(kept)
