"""The lines of one unit: the program of .debug_line that makes a table of them.

Source: DWARF 2 to 5, 6.2.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf_forms import FORM_LINE_STRP, FORM_STRP, Cursor
from procmirror.stack.expression import signed, unsigned

MOST_PROGRAM = 16 << 20
MOST_NAMES = 1 << 16  # directories, or files, of one unit
MOST_ROWS = 1 << 20
MOST_VALUES = 4 * MOST_NAMES  # of all entries of a list of names
MOST_OPERANDS = 8  # of one instruction
_STEPS = 4096  # instructions between two looks at the clock
_ENCLOSING = 16
_PATH, _DIRECTORY = 1, 2  # DW_LNCT_*
_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE = 1, 2, 3, 4  # DW_LNS_*
_CONST_ADD_PC, _FIXED_ADVANCE_PC = 8, 9
_END_SEQUENCE, _SET_ADDRESS = 1, 2  # DW_LNE_*


class Line(NamedTuple):
    """A file, as the compiler named it, and a line in it."""

    file: bytes
    line: int


class _Named(NamedTuple):
    name: bytes
    directory: int


class Header(NamedTuple):
    """What stands before a program: the names of files, and the meaning of its instructions."""

    directories: list[bytes]
    files: list[_Named]
    least: int  # bytes of the shortest instruction of the processor
    line_base: int
    line_range: int
    opcode_base: int
    operands: bytes
    begin: int

    def path(self, file: int) -> bytes:
        """The path of a file by its number."""
        name, at = self.files[file]
        directory = self.directories[at] if at < len(self.directories) else b""
        if not name.startswith(b"/"):
            name = directory + b"/" + name if directory else name
        first = self.directories[0]
        path = first + b"/" + name if first and not name.startswith(b"/") else name
        return path.replace(b"/./", b"/")


def header(sections: Sections, raw: bytes, directory: bytes) -> Header:
    """The header of a program; `directory` is that of the unit, for DWARF 2 to 4."""
    at = Cursor(raw)
    at.initial_length()
    version = at.fixed(2)
    if not 2 <= version <= 5:
        raise ValueError("a version of .debug_line that is unknown")
    at.skip(2 if version == 5 else 0)
    begin = at.fixed(at.offset) + at.at
    least = at.fixed(1)
    at.skip(2 if version >= 4 else 1)
    base = at.fixed(1)
    line_range, opcode_base = at.fixed(1), at.fixed(1)
    operands = raw[at.at : at.at + opcode_base - 1]
    at.skip(max(0, opcode_base - 1))
    if version == 5:
        directories = [one.name for one in _entries(sections, at)]
        files = _entries(sections, at)
    else:
        directories, files = _old_names(at, directory)
    signed_base = base - 256 if base > 127 else base
    return Header(
        directories or [b""], files, least, signed_base, line_range, opcode_base, operands, begin
    )


def _old_names(at: Cursor, directory: bytes) -> tuple[list[bytes], list[_Named]]:
    """The names of DWARF 2 to 4: files are numbered from 1."""
    directories, files = [directory], [_Named(b"", 0)]
    while name := at.string():
        directories.append(name)
        if len(directories) > MOST_NAMES:
            raise ValueError("too many directories")
    while name := at.string():
        files.append(_Named(name, at.unsigned()))
        at.unsigned()
        at.unsigned()
        if len(files) > MOST_NAMES:
            raise ValueError("too many files")
    return directories, files


def _entries(sections: Sections, at: Cursor) -> list[_Named]:
    """The names of DWARF 5, whose format stands before them."""
    kinds = [(at.unsigned(), at.unsigned()) for _ in range(at.fixed(1))]
    count = at.unsigned()
    # A form may take no bytes: the count alone bounds the work.
    if count * len(kinds) > MOST_VALUES:
        raise ValueError("too many names")
    found = []
    for _ in range(count if kinds else 0):
        name, directory = b"", 0
        for kind, form in kinds:
            value = at.form(form)
            if kind == _PATH:
                name = _text(sections, form, value)
            elif kind == _DIRECTORY and isinstance(value, int):
                directory = value
        found.append(_Named(name, directory))
    return found


def _text(sections: Sections, form: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    section = {FORM_STRP: b"str", FORM_LINE_STRP: b"line_str"}.get(form)
    return sections.string(section, value) if section else b""


class Lines:
    """The lines of one unit by address; complete when `steps` has ended.

    A sequence has rows of rising addresses, and ends at the address of its last row.
    """

    def __init__(self, directory: bytes, is_code: Callable[[int], bool]) -> None:
        self._directory, self._is_code = directory, is_code
        self._header: Header | None = None
        self._starts, self._lines, self._files = array("Q"), array("I"), array("I")
        self._sequences: list[tuple[int, int, int, int]] = []
        self._unfinished = 0  # bytes of a program that runs

    @property
    def weight(self) -> int:
        """The memory that this takes, in bytes, roughly."""
        names = len(self._header.files) + len(self._header.directories) if self._header else 0
        return (
            1000
            + self._unfinished
            + 16 * len(self._starts)
            + 120 * len(self._sequences)
            + 150 * names
        )

    def holding(self, address: int) -> Line | None:
        """The line at an address."""
        last = bisect_right(self._sequences, (address, 1 << 64, 0, 0))
        for _, end, first, beyond in reversed(self._sequences[max(0, last - _ENCLOSING) : last]):
            if address < end:
                at = bisect_right(self._starts, address, first, beyond) - 1
                return self._row(at) if at >= first else None
        return None

    def place(self, file: int, line: int) -> Line | None:
        """A line, 0 where it is not known, of a file by the number that this unit gave it."""
        if self._header is None:
            return None
        return Line(self._header.path(file), line)

    def _row(self, at: int) -> Line | None:
        return self.place(self._files[at], self._lines[at]) if self._lines[at] else None

    def steps(self, sections: Sections, offset: int) -> Iterator[None]:
        """Read the program at an offset of .debug_line, with a stop now and then."""
        head = Cursor(sections.piece(b"line", offset, 12))
        size = head.initial_length() + head.at
        if size > MOST_PROGRAM:
            raise ValueError("a program of this length")
        raw = sections.piece(b"line", offset, size)
        self._unfinished = size
        self._header = header(sections, raw, self._directory)
        yield
        yield from self._run(raw, self._header)
        self._sequences.sort()
        self._unfinished = 0

    def _end(self, first: int, address: int) -> int:
        """Keep the rows from `first` on if they are code of the program; where the next begin."""
        beyond = len(self._starts)
        begin = self._starts[first] if beyond > first else 0
        if begin and begin < address and self._is_code(begin):
            self._sequences.append((begin, address, first, beyond))
            return beyond
        del self._starts[first:], self._lines[first:], self._files[first:]
        return first

    def _run(self, raw: bytes, head: Header) -> Iterator[None]:
        """The rows, in an order of operations in which the most frequent come first."""
        base, least = head.opcode_base, head.least
        advances, changes = _special(head)
        address, file, line, first = 0, 1, 1, 0
        at, size, count = head.begin, len(raw), 0
        add_start, add_line, add_file = self._starts.append, self._lines.append, self._files.append
        while at < size:
            code, at, count = raw[at], at + 1, count + 1
            if not count % _STEPS:
                self._check()
                yield
            if code >= base:
                address += advances[code - base]
                line += changes[code - base]
            elif code != _COPY:
                if code == _ADVANCE_PC:
                    step, at = unsigned(raw, at)
                    address += least * step
                elif code == _ADVANCE_LINE:
                    step, at = signed(raw, at)
                    line += step
                elif code == 0:
                    length, at = unsigned(raw, at)
                    if raw[at] == _END_SEQUENCE:
                        first = self._end(first, address)
                        address, file, line = 0, 1, 1
                    elif raw[at] == _SET_ADDRESS:
                        address = int.from_bytes(raw[at + 1 : at + length], "little")
                    at += length
                else:
                    address, file, at = _other(raw, at, code, head, (address, file, advances))
                continue
            add_start(address)
            add_line(line)
            add_file(file)

    def _check(self) -> None:
        if len(self._starts) > MOST_ROWS:
            raise ValueError("too many lines")


def _special(head: Header) -> tuple[list[int], list[int]]:
    """What each special instruction adds to the address and to the line."""
    special = range(256 - head.opcode_base)
    return (
        [head.least * (code // head.line_range) for code in special],
        [head.line_base + code % head.line_range for code in special],
    )


def _other(
    raw: bytes, at: int, code: int, head: Header, state: tuple[int, int, list[int]]
) -> tuple[int, int, int]:
    """A less frequent instruction: address, file, and where the next one is."""
    address, file, advances = state
    if code == _SET_FILE:
        file, at = unsigned(raw, at)
    elif code == _CONST_ADD_PC:
        address += advances[-1]
    elif code == _FIXED_ADVANCE_PC:
        address, at = address + int.from_bytes(raw[at : at + 2], "little"), at + 2
    else:
        if head.operands[code - 1] > MOST_OPERANDS:
            raise ValueError("too many operands")
        for _ in range(head.operands[code - 1]):
            _, at = unsigned(raw, at)
    return address, file, at
