"""Go programs: .gopclntab gives every function's name, file, line and frame size.

Go 1.18 and later, runtime/symtab.go.

The table has a header of pointer-sized offsets, a sorted table of (start, function) in 32-bit pairs
relative to the text, and for each function three tables of (value delta, pc delta) in LEB128: frame
size, file and line at each instruction. Since Go 1.26 it does not tell where the text begins.
"""

from __future__ import annotations

import struct
from array import array
from typing import NamedTuple

from procmirror.stack.elf import BROKEN, Elf, MalformedError, remembered
from procmirror.stack.go_text import text_start

GO_1_18, GO_1_20 = 0xFFFFFFF0, 0xFFFFFFF1
MOST_STEPS = 20_000  # of one function's table: 5 ms
MOST_NAMES = 32 << 20
TOP_FRAME, WRITES_SP = 1, 2
# Where a program begins that Go's own linker has made: _rt0_amd64_linux.
_ENTRY = b"_rt0_"
# The offset of a file that is not told: funcline1 in runtime/symtab.go.
_NO_FILE = 0xFFFFFFFF


class Function(NamedTuple):
    """A row of the function table."""

    start: int
    offset: int


class Frame(NamedTuple):
    """What the table says of one instruction; `size` is how far the return address is above SP."""

    name: bytes
    start: int
    file: bytes | None
    line: int | None
    size: int | None
    top: bool
    switches_stack: bool


class _Table(NamedTuple):
    offset: int
    version: int
    quantum: int
    entries: int
    text: int
    names: int
    units: int
    files: int
    values: int
    functions: int


@remembered
def _table(elf: Elf) -> _Table | None:
    section = elf.by_name.get(b".gopclntab") or elf.by_name.get(b".data.rel.ro.gopclntab")
    if section is None:
        return None
    magic, quantum, pointer = struct.unpack("<IxxBB", elf.at(section.offset, 8))
    if magic not in {GO_1_18, GO_1_20} or pointer != 8 or quantum != 1:
        return None
    count, _, text, names, units, files, values, functions = struct.unpack(
        "<8Q", elf.at(section.offset + 8, 64)
    )
    if (
        not 0 < count <= section.size // 8
        or max(names, units, files, values, functions) > section.size
    ):
        raise MalformedError("the header of .gopclntab")
    at = section.offset
    table = _Table(
        at,
        magic,
        quantum,
        count,
        text or text_start(elf, section) or 0,
        at + names,
        at + units,
        at + files,
        at + values,
        at + functions,
    )
    return table if table.text else _from_entry(elf, table)


def _from_entry(elf: Elf, table: _Table) -> _Table | None:
    """The table with the beginning of `.text`; None if that begins with code of C.

    Then the program begins there. Else it begins in the function of Go that is made for it.
    """
    begin = elf.by_name.get(b".text")
    if begin is None:
        return None
    table = table._replace(text=begin.address)
    first = _frame(elf, table, elf.entry)
    agrees = first and first.start == elf.entry and first.name.startswith(_ENTRY)
    return table if agrees else None


class _Frames(dict[int, Frame | None]):
    @property
    def weight(self) -> int:
        return len(self) * 500


@remembered
def _frames(_: Elf) -> _Frames:
    return _Frames()


def frame(elf: Elf, address: int) -> Frame | None:
    """What the table says of the file's own `address`; None outside Go code."""
    table, frames = _table(elf), _frames(elf)
    if table is None or frames is None:
        return None
    if address not in frames:
        try:
            frames[address] = _frame(elf, table, address)
        except BROKEN:
            frames[address] = None
    return frames[address]


def is_go(elf: Elf) -> bool:
    """The file has a Go table that this version reads."""
    return _table(elf) is not None


def named(elf: Elf, name: bytes) -> tuple[int, int] | None:
    """The first and the end address of the function of this name, in the file's own numbering.

    None if there is none. It reads the whole table: some ten milliseconds.
    """
    table = _table(elf)
    if table is None:
        return None
    words = array("I", elf.bulk(table.functions, 8 * table.entries + 4))
    names = elf.bulk(table.names, min(MOST_NAMES, elf.file.size - table.names))
    wanted = names.find(b"\0" + name + b"\0")
    if wanted < 0:
        return None
    # What is told of each function stands in the order of the table: it is read at once.
    rows = elf.bulk(table.functions, words[2 * table.entries - 1] + 8)
    for at in range(table.entries):
        offset = words[2 * at + 1] + 4
        if int.from_bytes(rows[offset : offset + 4], "little") == wanted + 1:
            return words[2 * at] + table.text, words[2 * at + 2] + table.text
    return None


def _function(elf: Elf, table: _Table, address: int) -> Function | None:
    def word(at: int) -> int:
        return int.from_bytes(elf.at(table.functions + at, 4), "little")

    low, high, wanted = 0, table.entries, address - table.text
    if wanted < 0:
        return None
    while low < high:
        middle = (low + high) // 2
        if word(8 * middle) <= wanted:
            low = middle + 1
        else:
            high = middle
    # After the last function only the end of the text follows, in the same column.
    if not low or wanted >= word(8 * low):
        return None
    return Function(word(8 * low - 8) + table.text, table.functions + word(8 * low - 4))


def _frame(elf: Elf, table: _Table, address: int) -> Frame | None:
    function = _function(elf, table, address)
    if function is None:
        return None
    # _func: entry, name, args, deferreturn, pcsp, pcfile, pcln, npcdata, unit, [start line since
    # 1.20], id, flags
    fields = struct.unpack("<IiiIIIIIIIBBBB", elf.at(function.offset, 44))
    flags = fields[11] if table.version == GO_1_20 else fields[9] >> 8 & 0xFF
    name, size_table, file_table, line_table, unit = (
        fields[1],
        fields[4],
        fields[5],
        fields[6],
        fields[8],
    )

    def value(at: int) -> int | None:
        return _value(elf, table, at, function.start, address) if at else None

    number = value(file_table)
    file = None
    if number is not None and unit != _NO_FILE:
        offset = int.from_bytes(elf.at(table.units + 4 * (unit + number), 4), "little")
        file = elf.string(table.files + offset) if offset != _NO_FILE else None
    return Frame(
        elf.string(table.names + name),
        function.start,
        file,
        value(line_table),
        value(size_table),
        bool(flags & TOP_FRAME),
        bool(flags & WRITES_SP),
    )


def _value(elf: Elf, table: _Table, at: int, start: int, address: int) -> int | None:
    """The value at `address` in one of a function's tables (runtime.pcvalue)."""
    at += table.values
    value, location = -1, start
    for step in range(MOST_STEPS):
        delta, at = _unsigned(elf, at)
        if not delta and step:
            return None
        value += -((delta + 1) >> 1) if delta & 1 else delta >> 1
        distance, at = _unsigned(elf, at)
        location += distance * table.quantum
        if address < location:
            return value
    return None


def _unsigned(elf: Elf, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 35:
        (byte,) = elf.at(at, 1)
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise MalformedError("a number of more than 32 bits")
