"""A large view can be read while it is being made.

What is there is there, what fails midway never looks whole.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest

from tests.harness import state_of, until
from tests.mounting import Mount, mounted
from tests.programs import descendants, killed

# Ten megabytes and more, from one file of the kernel.
LARGE = "kallsyms.json"


def rest(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, 1 << 17):
        pieces.append(piece)
    return b"".join(pieces)


def busy(mount: Mount) -> list[int]:
    """The workers that have something to do."""
    return [pid for pid in descendants(mount.daemon)[1:] if state_of(pid) == "R"]


def test_what_is_there_can_be_read_while_the_rest_is_made(mirror: Mount) -> None:

    def caught() -> bytes:
        """The whole, if a worker was at it when its beginning had been read."""
        descriptor = os.open(mirror.path / LARGE, os.O_RDONLY)
        try:
            first = os.read(descriptor, 1000)
            assert len(first) == 1000
            return first + rest(descriptor) if busy(mirror) else b""
        finally:
            os.close(descriptor)

    whole = until(caught, "the whole was made before its beginning could be read")
    symbols = json.loads(whole)
    assert len(symbols) == len(Path("/proc/kallsyms").read_bytes().splitlines())


def test_a_view_that_is_never_finished_ends_in_an_error() -> None:
    with mounted(quiet=False) as mount:
        descriptor = os.open(mount.path / LARGE, os.O_RDONLY)
        os.read(descriptor, 1000)
        killed(*descendants(mount.daemon)[2:], by=signal.SIGKILL)
        with pytest.raises(OSError, match="Input/output error") as failure:
            rest(descriptor)
        os.close(descriptor)
        assert failure.value.errno == errno.EIO
        assert (mount.path / "self/status.json").read_bytes().endswith(b"}\n"), (
            "and others are served"
        )
        assert any("not finished" in line for line in mount.complaints())


def test_who_has_read_enough_keeps_no_worker_busy(mirror: Mount) -> None:
    for _ in range(10):
        descriptor = os.open(mirror.path / LARGE, os.O_RDONLY)
        os.read(descriptor, 1000)
        os.close(descriptor)
    until(lambda: not busy(mirror), "somebody works on")


def test_a_piece_from_the_middle_waits_until_it_is_there(mirror: Mount) -> None:
    descriptor = os.open(mirror.path / LARGE, os.O_RDONLY)
    try:
        at = 5_000_000
        middle = os.pread(descriptor, 4096, at)
        whole = rest(descriptor)
        assert middle == whole[at : at + 4096] and len(middle) == 4096
        assert os.pread(descriptor, 10, len(whole)) == b""
        assert os.pread(descriptor, 10, len(whole) - 3) == whole[-3:]
    finally:
        os.close(descriptor)
