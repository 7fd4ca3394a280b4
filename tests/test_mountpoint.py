"""A mountpoint whose daemon is gone, without a mount."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from procmirror.cli import mountpoint


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
