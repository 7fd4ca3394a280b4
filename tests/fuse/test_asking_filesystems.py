"""Whether a mere look at a file may wait for another machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procmirror.fuse.asking_filesystems import AskingFilesystems

LOCAL = "nodev\tsysfs\nnodev\tproc\nnodev\tfuse\n\text4\n\tfuseblk\nnodev\tceph\nnodev\toverlay\n"


def asks(folder: Path, filesystems: str) -> bool:
    (folder / "filesystems").write_text(filesystems, encoding="ascii")
    source = os.open(folder, os.O_RDONLY)
    try:
        return AskingFilesystems(source).asks()
    finally:
        os.close(source)


def test_local_file_systems_and_those_that_are_told_not_to_ask_do_not(tmp_path: Path) -> None:
    assert not asks(tmp_path, LOCAL)


@pytest.mark.parametrize(
    "name", ["nfs", "nfs4", "9p", "cifs", "smb3", "gfs2", "ocfs2", "coda", "pvfs2", "lustre"]
)
def test_others_may(tmp_path: Path, name: str) -> None:
    assert asks(tmp_path, f"{LOCAL}nodev\t{name}\n")


def test_where_the_list_cannot_be_read_they_may(tmp_path: Path) -> None:
    source = os.open(tmp_path, os.O_RDONLY)
    try:
        assert AskingFilesystems(source).asks()
    finally:
        os.close(source)
