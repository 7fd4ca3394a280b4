"""A mountpoint whose daemon is gone, without a mount."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pyfuse3
import pytest

from procmirror.cli import mountpoint
from procmirror.cli.errors import CommandError
from procmirror.fuse.mount_place import MountPlace
from procmirror.identity import file_calls


@pytest.mark.parametrize(
    ("code", "released"),
    [
        (errno.ENOTCONN, True),
        (errno.ECONNABORTED, True),
        (errno.EACCES, False),
        (errno.ENOENT, False),
        (errno.EIO, False),
    ],
)
def test_only_a_mount_without_a_daemon_is_released(
    monkeypatch: pytest.MonkeyPatch, code: int, released: bool
) -> None:
    """ENOTCONN where the daemon ended, ECONNABORTED where its connection was aborted."""
    unmounted: list[str] = []

    def refused(_: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(mountpoint, "os", SimpleNamespace(stat=refused))
    monkeypatch.setattr(mountpoint, "_unmount", unmounted.append)
    mountpoint._release_dead("/mnt/proc")
    assert unmounted == ["/mnt/proc"] * released


def test_what_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mountpoint, "_unmount", pytest.fail)
    mountpoint._release_dead("/")


def test_a_mount_over_proc_that_ends_early_is_taken_from_its_first_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unmounted: list[str] = []
    monkeypatch.setattr(file_calls, "unmount_lazily", unmounted.append)
    monkeypatch.setattr(pyfuse3, "close", lambda **_: None)
    proc = os.open("/proc", os.O_RDONLY)
    place = MountPlace(proc, "/proc")
    first = Path(place.first)
    assert first.is_dir() and first != Path("/proc")
    place.leave()
    os.close(proc)
    assert unmounted == [str(first)]
    assert not first.exists()


def test_a_start_that_failed_keeps_nobody_from_the_next(tmp_path: Path) -> None:
    """Its daemon, and processes of that, may end a moment after the command has told why."""
    path = str(tmp_path)
    checked = mountpoint.Checked(-1, -1, path, mountpoint._locked(path))
    with pytest.raises(CommandError, match="another procmirror is being started there"):
        mountpoint._locked(path)
    copy = os.dup(checked.lock)
    checked.give_up()
    os.close(mountpoint._locked(path))
    checked.unlock()
    os.close(copy)
