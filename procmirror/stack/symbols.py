"""The names of functions: .symtab, .dynsym, the compressed .gnu_debugdata, the separate debug file of a build id.

A name is only given to addresses inside the symbol, never to what merely follows it. A symbol without a size (hand-written
assembler) names what the unwind data calls one function with it.
"""

from __future__ import annotations

import lzma
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from procmirror.stack.elf import BROKEN, Elf, MalformedError, Section, remembered
from procmirror.stack.target import Blob, MappedFile

SYMTAB, DYNSYM = 2, 11
FUNCTION, INDIRECT_FUNCTION, NO_TYPE = 2, 10, 0
MOST_SYMBOLS = 1 << 20
MOST_UNPACKED = 64 << 20
UNPACK_MEMORY = 80 << 20
ENCLOSING = 8  # how many symbols that end before an address may lie between it and the start of the one around it


class Symbol(NamedTuple):
    """A function: its name and where it begins in its file."""

    name: bytes
    start: int


class Table:
    """The function symbols of one symbol table, by address. Names stay in the file until somebody asks."""

    def __init__(self, elf: Elf, section: Section) -> None:
        raw = array("Q", elf.bulk(section.offset, min(section.size // 24, MOST_SYMBOLS) * 24))
        heads, values, sizes = raw[0::3], raw[1::3], raw[2::3]
        self.strings = elf.sections[section.link].offset
        wanted = {FUNCTION, INDIRECT_FUNCTION, NO_TYPE}
        # head: name (32 bits), binding and type (8), visibility (8), section (16; 0 is undefined, 0xfff1 an absolute value)
        chosen = [
            at
            for at, head in enumerate(heads)
            if head >> 32 & 15 in wanted and 0 < head >> 48 < 0xFFF1 and (sizes[at] or head >> 32 & 15) and head & 0xFFFFFFFF
        ]
        # The last of several at one address wins: global before weak before local. Sorted as numbers, which is fast.
        rank = (0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0)
        order = [at & 0xFFFFFFFF for at in sorted(values[at] << 34 | rank[heads[at] >> 36 & 15] << 32 | at for at in chosen)]
        self.starts = array("Q", (values[at] for at in order))
        self.sizes = array("Q", (sizes[at] for at in order))
        self.names = array("L", (heads[at] & 0xFFFFFFFF for at in order))
        self.weight = 24 * len(order)

    def holding(self, address: int, function: int | None) -> tuple[int, int] | None:
        """Where the name is and the symbol around `address` begins; `function` is its start by the unwind data."""
        last = bisect_right(self.starts, address) - 1
        for at in range(last, max(-1, last - ENCLOSING), -1):
            start, size = self.starts[at], self.sizes[at]
            if address < start + size or (not size and start in {address, function}):
                return self.strings + self.names[at], start
        return None


def _section(elf: Elf, kind: int) -> Table | None:
    for section in elf.sections:
        if section.kind == kind:
            return Table(elf, section)
    return None


@remembered
def _symtab(elf: Elf) -> Table | None:
    return _section(elf, SYMTAB)


@remembered
def _dynsym(elf: Elf) -> Table | None:
    return _section(elf, DYNSYM)


class _Inner:
    """An ELF file that was unpacked from another."""

    def __init__(self, content: bytes) -> None:
        self.elf = Elf(Blob(content))
        self.weight = len(content)


@remembered
def _debugdata(elf: Elf) -> _Inner | None:
    section = elf.by_name.get(b".gnu_debugdata")
    if section is None:
        return None
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=UNPACK_MEMORY)
    try:
        content = unpacker.decompress(elf.bulk(section.offset, section.size), MOST_UNPACKED)
    except lzma.LZMAError as error:
        raise MalformedError("the compressed symbols") from error
    return _Inner(content) if unpacker.eof else None


@remembered
def build_id(elf: Elf) -> str | None:
    """The build id in hexadecimal (.note.gnu.build-id)."""
    section = elf.by_name.get(b".note.gnu.build-id")
    if section is None or not 16 < section.size <= 16 + 64:
        return None
    note = elf.at(section.offset, section.size)
    return note[16:].hex() if note[8:16] == b"\x03\0\0\0GNU\0" else None


def symbol(elf: Elf, address: int, function: int | None, debug_file: Callable[[str], MappedFile | None]) -> Symbol | None:
    """The function around the file's own `address`.

    `function` is where the unwind data says that it begins, `debug_file` opens the separate debug file of a build id.
    """
    names = _names(elf)
    assert names is not None
    if address not in names:
        try:
            names[address] = _symbol(elf, address, function, debug_file)
        except BROKEN:
            names[address] = None
    return names[address]


class _Names(dict[int, Symbol | None]):
    @property
    def weight(self) -> int:
        return len(self) * 300


@remembered
def _names(_: Elf) -> _Names:
    return _Names()


def _symbol(elf: Elf, address: int, function: int | None, debug_file: Callable[[str], MappedFile | None]) -> Symbol | None:
    def named(source: Elf, table: Table | None) -> Symbol | None:
        found = table.holding(address, function) if table else None
        return found and Symbol(source.string(found[0]), found[1])

    known = named(elf, _symtab(elf)) or named(elf, _dynsym(elf))
    if known or _symtab(elf):
        return known
    inner = _debugdata(elf)
    if inner and (known := named(inner.elf, _symtab(inner.elf))):
        return known
    number = build_id(elf)
    separate = debug_file(number) if number else None
    if separate is None:
        return None
    debug = _separate(elf, separate)
    return named(debug, _symtab(debug)) if debug else None


def _separate(elf: Elf, file: MappedFile) -> Elf | None:
    """The debug file, if it says that it belongs to `elf`; remembered with it for as long as it stays the same."""
    known: _Debug | None = elf.memo.get("debug")
    if known is None or known.key != file.key:
        known = elf.memo["debug"] = _Debug(file)
    other = known.elf and known.elf.through(file)
    return other if other and build_id(other) == build_id(elf) else None


class _Debug:
    def __init__(self, file: MappedFile) -> None:
        self.key = file.key
        try:
            self.elf: Elf | None = Elf(file)
        except BROKEN:
            self.elf = None

    @property
    def weight(self) -> int:
        return self.elf.weight() if self.elf else 200
