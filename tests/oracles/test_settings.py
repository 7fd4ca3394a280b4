"""Settings of sys in pieces: the kernel gives a number to one read only, from the start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mounting import Mount


def _byte_by_byte(file: int) -> list[bytes]:
    """What a shell without a buffer reads."""
    pieces = []
    while piece := os.read(file, 1):
        pieces.append(piece)
    return pieces


def _from_the_middle_and_again(file: int) -> list[bytes]:
    whole = os.read(file, 4096)
    return [whole, *(os.pread(file, 2, at) for at in (1, len(whole), 0, 1))]


def _by_its_size(file: int) -> list[bytes]:
    whole = os.pread(file, 4096, 0)
    return [os.pread(file, len(whole), 0), os.pread(file, len(whole) - 1, 0)]


@pytest.mark.parametrize("read", [_byte_by_byte, _from_the_middle_and_again, _by_its_size])
@pytest.mark.parametrize("name", ["kernel/pid_max", "kernel/printk", "kernel/osrelease"])
def test_a_setting_in_pieces_is_what_the_kernel_gives(
    mirror: Mount, name: str, read: Callable[[int], list[bytes]]
) -> None:
    found = []
    for place in (Path("/proc"), mirror.path):
        file = os.open(place / "sys" / name, os.O_RDONLY)
        found.append(read(file))
        os.close(file)
    assert found[0] == found[1]
