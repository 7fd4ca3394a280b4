"""Arguments of system calls that chance chooses: mostly those at which something changes."""

from __future__ import annotations

import ctypes
import os
from random import Random

_OFFSETS = (
    *(0, 1, 2, 511, 4095, 4096, 4097, 65_535, 65_536, 131_071, 131_072, 1 << 20, 0x7FFFFFFF),
    *(0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, (1 << 63) - 4096, 1 << 62),
    *(-1, -4096, -(1 << 63)),
)
_SIZES = (0, 1, 2, 7, 24, 100, 1024, 4095, 4096, 4097, 65_536, 131_072, 131_073, 1 << 20)
_READING = (0, 0, 0, os.O_DIRECTORY, os.O_PATH, os.O_NOATIME, os.O_SYNC, os.O_APPEND)
_CHANGING = (os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND)
_ALWAYS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITTEN = (b"", b"0\n", b"1", b"-17\n", b"1000\n", b"x", b"\xff" * 40, b"0 0 1\n", b"23\n")
# Memory for what a call gives; no size above is larger.
ROOM = ctypes.create_string_buffer(1 << 20)


def offset(chance: Random) -> int:
    """A place in a file."""
    return chance.choice(_OFFSETS) if chance.random() < 0.8 else chance.getrandbits(63)


def place(chance: Random) -> int:
    """A place in a file that is not negative."""
    return abs(offset(chance)) >> 1


def size(chance: Random) -> int:
    """A number of bytes that has room in ROOM."""
    return chance.choice(_SIZES)


def reading_flags(chance: Random) -> int:
    """Flags of an open(2) that changes nothing, and never follows a last link."""
    return chance.choice(_READING) | chance.choice(_READING) | _ALWAYS


def changing_flags(chance: Random) -> int:
    """Flags of an open(2) that may write, make or empty a file."""
    making = chance.choice((0, 0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_DIRECT))
    return chance.choice(_CHANGING) | making | _ALWAYS


def written(chance: Random) -> bytes:
    """A few bytes for a file: numbers, and what is none."""
    return chance.choice(_WRITTEN)
