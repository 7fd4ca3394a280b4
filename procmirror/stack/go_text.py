"""Where the functions of a Go program begin, if its table of functions does not tell it.

Since Go 1.26 the table has 0 there, and before it may have a relocation in a program that can be
loaded anywhere. Else it is the symbol `runtime.text`, or in a stripped program a word of
`runtime.firstmoduledata`, which has the section `.go.module`. Sources: runtime/symtab.go,
cmd/link/internal/ld/symtab.go.
"""

from __future__ import annotations

from array import array

from procmirror.stack.elf import BROKEN, Elf, Section
from procmirror.stack.symbols import variable

_RELOCATIONS = (b".rela.dyn", b".rela")  # by ld and by Go's own linker
_RELATIVE = 8  # R_X86_64_RELATIVE
_ENTRY = 24  # bytes of a relocation: where, symbol and type, what is added
MOST_RELOCATIONS = 1 << 20
_HEADER_TEXT = 24  # in the table
_TABLE, _TEXT = 0, 8 * 22  # in moduledata: the table of functions, and the text


def text_start(elf: Elf, table: Section) -> int | None:
    """The beginning of Go's code in the file's own numbering; None where it is not told."""
    for look in (_header, _symbol, _module):
        try:
            found = look(elf, table)
        except BROKEN:
            continue
        if found:
            return found
    return None


def _header(elf: Elf, table: Section) -> int:
    return _word(elf, table, _HEADER_TEXT)


def _symbol(elf: Elf, _: Section) -> int | None:
    return variable(elf, b"runtime.text")


def _module(elf: Elf, table: Section) -> int | None:
    """The text of the first module, if that has the table."""
    module = elf.by_name.get(b".go.module")
    if module is None or _word(elf, module, _TABLE) != table.address:
        return None
    return _word(elf, module, _TEXT)


def _word(elf: Elf, section: Section, at: int) -> int:
    """A word of a section as the dynamic linker leaves it where the file is loaded at 0."""
    for name in _RELOCATIONS:
        one = elf.by_name.get(name)
        if one is None or one.size > _ENTRY * MOST_RELOCATIONS:
            continue
        words = array("Q", elf.bulk(one.offset, one.size // _ENTRY * _ENTRY))
        if section.address + at in (places := words[0::3]):
            place = 3 * places.index(section.address + at)
            if words[place + 1] == _RELATIVE:
                return words[place + 2]
    return int.from_bytes(elf.at(section.offset + at, 8), "little")
