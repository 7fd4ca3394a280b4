"""No file is asked about that another process or machine serves: it may never answer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from procmirror.procfs.local_files import memory_devices
from procmirror.procfs.mapped import ProcessSources

LOCAL = "31 1 {} / / rw - ext4 /dev/sda rw\n"
REMOTE = "32 1 0:4242 / /served rw - fuse.sshfs box: rw\n"


def sources(folder: Path) -> ProcessSources:
    (folder / "fd").mkdir()
    (folder / "kept").write_bytes(b"12345")
    (folder / "fd" / "3").symlink_to(folder / "kept")
    (folder / "self").mkdir()
    (folder / "self" / "mountinfo").write_text("")
    (folder / "mountinfo").write_text(LOCAL.format("254:77") + REMOTE)
    root = os.open(folder, os.O_PATH)
    return ProcessSources(root, b"", None, lambda: None, root, root)


def test_a_file_on_a_local_mount_is_asked_about(tmp_path: Path) -> None:
    assert sources(tmp_path).opened("fd/3", 31).size == 5


@pytest.mark.parametrize("mount", [32, 33])
def test_a_file_on_another_or_an_unknown_mount_is_not(tmp_path: Path, mount: int) -> None:
    with pytest.raises(OSError, match=r".") as refused:
        sources(tmp_path).opened("fd/3", mount)
    assert refused.value.errno == errno.EREMOTE


def test_what_is_in_memory_is_asked_again_where_no_descriptor_was_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EMFILE, "")

    memory_devices.cache_clear()
    with monkeypatch.context() as full:
        full.setattr(os, "memfd_create", refused)
        with pytest.raises(OSError, match="24"):
            memory_devices()
    assert memory_devices()
