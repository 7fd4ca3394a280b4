"""The tables of lines in code objects of CPython 3.9 to 3.13.

Sources: Objects/lnotab_notes.txt (3.9, 3.10), Objects/locations.md (3.11).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# The kinds of entries since 3.11: PY_CODE_LOCATION_INFO_… in Include/cpython/code.h.
_ONE_LINE_0, _ONE_LINE_2, _NO_COLUMNS, _LONG, _NONE = 10, 12, 13, 14, 15


class Torn(ValueError):
    """What was read is no frame of Python."""


class Code(NamedTuple):
    """A code object: its function, its file, its first line, and its table of lines."""

    name: str
    file: str
    first: int
    table: bytes


def rows_3_9(code: Code) -> Iterator[tuple[int, int, int | None]]:
    """The pieces of code with their line: start, end, line; CPython 3.9."""
    start, line = 0, code.first
    for step, more in zip(code.table[::2], code.table[1::2], strict=False):
        if step:
            yield start, start + step, line
        start, line = start + step, line + (more - 256 if more > 127 else more)
    yield start, 1 << 30, line


def rows_3_10(code: Code) -> Iterator[tuple[int, int, int | None]]:
    """The pieces of code with their line, None where there is none; CPython 3.10."""
    start, line = 0, code.first
    for step, more in zip(code.table[::2], code.table[1::2], strict=False):
        without = more == 128
        line += 0 if without else more - 256 if more > 127 else more
        yield start, start + step, None if without else line
        start += step


def rows_3_11(code: Code) -> Iterator[tuple[int, int, int | None]]:
    """The pieces of code with their line, None where there is none; CPython 3.11 and later."""
    start, line, at, table = 0, code.first, 0, code.table
    while at < len(table):
        kind, units = table[at] >> 3 & 15, (table[at] & 7) + 1
        at += 1
        if kind in {_NO_COLUMNS, _LONG}:
            delta, at = _varint(table, at)
            line += -(delta >> 1) if delta & 1 else delta >> 1
            for _ in range(3 if kind == _LONG else 0):
                _, at = _varint(table, at)
        elif _ONE_LINE_0 <= kind <= _ONE_LINE_2:
            line, at = line + kind - _ONE_LINE_0, at + 2
        elif kind < _ONE_LINE_0:
            at += 1
        yield start, start + 2 * units, None if kind == _NONE else line
        start += 2 * units


def _varint(table: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 36:
        byte = table[at]
        at += 1
        value |= (byte & 63) << shift
        if not byte & 64:
            return value, at
        shift += 6
    raise Torn("a number of more than 36 bits")
