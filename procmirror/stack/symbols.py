"""The names of functions.

.symtab, .dynsym, the compressed .gnu_debugdata, the .symtab of a separate debug file.

A name is only given to addresses inside the symbol, never to what merely follows it. A symbol
without a size (hand-written assembler) names what the unwind data calls one function with it, if no
symbol with a size holds the address.
"""

from __future__ import annotations

import lzma
import re
import struct
from array import array
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from procmirror.stack.elf import BROKEN, Elf, MalformedError, Section, remembered
from procmirror.stack.symbol_table import Table
from procmirror.stack.target import Blob

SHT_SYMTAB, SHT_DYNSYM = 2, 11  # types of sections: elf.h
# A symbol that tells where code or data begins, and is no name (ELF for the Arm 64-bit
# Architecture).
_MAPPING = re.compile(rb"\$[xd](?:\..*)?\Z", re.DOTALL)
MOST_NAMED = 1 << 18  # entries among which one name is looked for
MOST_STRINGS = 32 << 20
MOST_PACKED = 16 << 20
MOST_UNPACKED = 64 << 20
UNPACK_MEMORY = 80 << 20


class Symbol(NamedTuple):
    """A function: its name and where it begins in its file."""

    name: bytes
    start: int


_Look: TypeAlias = "Callable[[Elf, int, int | None], Symbol | None]"


def _section(elf: Elf, kind: int) -> Table | None:
    for section in elf.sections:
        if section.kind == kind:
            return Table(elf, section)
    return None


@remembered
def _symtab(elf: Elf) -> Table | None:
    return _section(elf, SHT_SYMTAB)


@remembered
def _dynsym(elf: Elf) -> Table | None:
    return _section(elf, SHT_DYNSYM)


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
    if section.size > MOST_PACKED:
        return None
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=UNPACK_MEMORY)
    try:
        content = unpacker.decompress(elf.bulk(section.offset, section.size), MOST_UNPACKED)
    except lzma.LZMAError as error:
        raise MalformedError("the compressed symbols") from error
    return _Inner(content) if unpacker.eof else None


def variable(elf: Elf, name: bytes, *, exported: bool = False) -> int | None:
    """The file's own address of a symbol of this name, of any kind; None without one.

    `exported`: only of .dynsym, which is short also in a large program.
    """
    kinds = {SHT_DYNSYM} if exported else {SHT_SYMTAB, SHT_DYNSYM}
    for section in elf.sections:
        if section.kind in kinds and (found := _address(elf, section, name)):
            return found
    return None


def _address(elf: Elf, section: Section, name: bytes) -> int | None:
    strings = elf.sections[section.link]
    if elf.narrow:
        return None  # the layouts of interpreters are those of 64-bit programs
    if strings.size > MOST_STRINGS or section.size > 24 * MOST_NAMED:
        return None
    at = elf.bulk(strings.offset, strings.size).find(b"\0" + name + b"\0") + 1
    if not at:
        return None
    raw = elf.bulk(section.offset, section.size // 24 * 24)
    entry = array("I", raw)[0::6].index(at)
    (address,) = struct.unpack_from("<Q", raw, 24 * entry + 8)
    return int(address)


@remembered
def build_id(elf: Elf) -> str | None:
    """The build id in hexadecimal (.note.gnu.build-id)."""
    section = elf.by_name.get(b".note.gnu.build-id")
    if section is None or not 16 < section.size <= 16 + 64:
        return None
    note = elf.at(section.offset, section.size)
    return note[16:].hex() if note[8:16] == b"\x03\0\0\0GNU\0" else None


def symbol(
    elf: Elf, address: int, function: int | None, debug: Callable[[], Elf | None]
) -> Symbol | None:
    """The function around the file's own `address`.

    `function` is where the unwind data says that it begins; `debug` opens the separate debug file.
    """
    try:
        found = _remembered(elf, address, function, _symbol)
        if found or _symtab(elf):
            return found
        other = debug()
        return _remembered(other, address, function, _of_symtab) if other else None
    except BROKEN:
        return None


def _remembered(elf: Elf, address: int, function: int | None, look: _Look) -> Symbol | None:
    """The name that the file itself has, as `look` finds it.

    It is remembered with the file that has it: the next requester may not be permitted to open the
    separate debug file.
    """
    names = _names(elf)
    assert names is not None
    if address not in names:
        names[address] = None
        names[address] = look(elf, address, function)
    return names[address]


class _Names(dict[int, Symbol | None]):
    @property
    def weight(self) -> int:
        return len(self) * 300


@remembered
def _names(_: Elf) -> _Names:
    return _Names()


def _symbol(elf: Elf, address: int, function: int | None) -> Symbol | None:
    known = _named(elf, _symtab(elf), address, function)
    known = known or _named(elf, _dynsym(elf), address, function)
    if known or _symtab(elf):
        return known
    inner = _debugdata(elf)
    return _named(inner.elf, _symtab(inner.elf), address, function) if inner else None


def _of_symtab(elf: Elf, address: int, function: int | None) -> Symbol | None:
    return _named(elf, _symtab(elf), address, function)


def _named(source: Elf, table: Table | None, address: int, function: int | None) -> Symbol | None:
    for offset, start in table.holding(address, function) if table else ():
        name = source.string(offset)
        if not _MAPPING.match(name):
            return Symbol(name, start)
    return None
