"""The addresses of one unit of debug information: .debug_ranges and .debug_rnglists.

Sources: DWARF 4, 2.17.3 and 7.24; DWARF 5, 2.17.3, 7.25 and 7.27.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf_forms import Cursor

MOST_RANGES = 1 << 16  # of one unit
MOST_BYTES = 16 * MOST_RANGES
_BASE = (1 << 64) - 1
# DW_RLE_*
_END, _BASE_X, _START_X_END_X, _START_X_LENGTH = 0, 1, 2, 3
_OFFSETS, _BASE_ADDRESS, _START_END, _START_LENGTH = 4, 5, 6, 7


def pairs(
    sections: Sections, offset: int, base: int, most: int = MOST_BYTES
) -> Iterator[tuple[int, int]]:
    """The ranges of DWARF 2 to 4, in at most so many bytes."""
    raw = sections.piece(b"ranges", offset, most)
    for start, end in struct.iter_unpack("<QQ", raw[: len(raw) // 16 * 16]):
        if start == _BASE:
            base = end
        elif not start and not end:
            return
        else:
            yield start + base, end + base


def address(sections: Sections, base: int, index: int) -> int:
    """The address with this index in .debug_addr."""
    return Cursor(sections.piece(b"addr", base + 8 * index, 8)).fixed(8)


def listed(
    sections: Sections, offset: int, base: int, addresses: int, most: int = MOST_BYTES
) -> Iterator[tuple[int, int]]:
    """The ranges of DWARF 5; `addresses` is where the unit's part of .debug_addr begins."""
    at = Cursor(sections.piece(b"rnglists", offset, most))
    for _ in range(MOST_RANGES):
        kind = at.fixed(1)
        if kind == _END:
            return
        if kind == _BASE_X:
            base = address(sections, addresses, at.unsigned())
        elif kind == _BASE_ADDRESS:
            base = at.fixed(8)
        elif kind == _OFFSETS:
            yield base + at.unsigned(), base + at.unsigned()
        else:
            yield _with_start(sections, at, kind, addresses)


def _with_start(sections: Sections, at: Cursor, kind: int, addresses: int) -> tuple[int, int]:
    """A range that begins with its own start."""
    if kind in {_START_X_END_X, _START_X_LENGTH}:
        start = address(sections, addresses, at.unsigned())
    elif kind in {_START_END, _START_LENGTH}:
        start = at.fixed(8)
    else:
        raise ValueError("a kind of range that is unknown")
    if kind == _START_X_END_X:
        return start, address(sections, addresses, at.unsigned())
    return start, at.fixed(8) if kind == _START_END else start + at.unsigned()
