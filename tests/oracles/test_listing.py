"""What a directory tells of its names, against what stat(2) tells of each."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import pytest

from tests.mounting import Mount

PLACES = [".", "self", "self/fd", "self/fdinfo", "self/task", "self/ns", "net", "sys/kernel"]


@pytest.mark.parametrize("place", PLACES)
def test_a_listing_tells_the_type_and_number_of_stat(mirror: Mount, place: str) -> None:
    """`ls -i` and `find -type` rest on READDIR, and stat(2) on LOOKUP."""
    found = 0
    with os.scandir(mirror.path / place) as entries:
        for entry in entries:
            # Who has just ended, and the descriptor that reads the names.
            with suppress(FileNotFoundError):
                told = os.lstat(entry.path)
                assert entry.inode() == told.st_ino, entry.path
                assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(told.st_mode)
                assert entry.is_symlink() == stat.S_ISLNK(told.st_mode)
                found += 1
    assert found > 1
