"""Whole files of procfs: as many pieces as the kernel makes of them, up to a limit."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from pathlib import Path

import pytest

from procmirror.identity.files import PIECE, read_file, read_to_end
from tests.harness import ROOT


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What read(2) gives, piece by piece, and nothing from then on."""
    given: list[bytes] = []
    monkeypatch.setattr(os, "read", lambda *_: given.pop(0) if given else b"")
    return given


@pytest.mark.parametrize("sizes", [(), (5,), (4064, 2591), (PIECE, 7), (PIECE, PIECE)])
def test_only_an_empty_piece_is_the_end(pieces: list[bytes], sizes: tuple[int, ...]) -> None:
    pieces += [bytes(size) for size in sizes]
    assert len(read_to_end(-1)) == sum(sizes)


def test_a_file_beyond_the_limit_is_refused(pieces: list[bytes]) -> None:
    pieces += [bytes(4000)] * 3
    with pytest.raises(OSError, match="large") as refused:
        read_to_end(-1, 8_000)
    assert refused.value.errno == errno.EFBIG


@pytest.mark.parametrize("folder", ["fuse", "identity", "mirror", "procfs", "workers"])
def test_no_file_is_opened_so_that_a_lease_is_waited_for(folder: str) -> None:
    lines = [
        f"{module.name}: {line}"
        for module in (ROOT / "procmirror" / folder).rglob("*.py")
        for line in module.read_text(encoding="utf-8").splitlines()
        if "O_RDONLY |" in line and "O_NONBLOCK" not in line
    ]
    assert not lines


def test_a_lease_is_not_waited_for() -> None:
    """Without O_NONBLOCK it would be for 45 seconds, until this process had lost the lease."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with Path("/proc/self/status").open("rb") as held:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            descriptor = os.open("/proc", os.O_PATH)
            with pytest.raises(BlockingIOError):
                read_file(descriptor, b"self/status")
            os.close(descriptor)
    finally:
        signal.signal(signal.SIGIO, before)
