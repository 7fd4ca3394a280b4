"""The function symbols of one symbol table of an ELF file, by address (elf(5))."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import itemgetter, not_
from typing import NamedTuple

from procmirror.stack.elf import Elf, Section

# Types and bindings of symbols: elf.h. Functions of assembler code often have no type.
_STT_NOTYPE, _STT_FUNC, _STT_GNU_IFUNC = 0, 2, 10
_STB_GLOBAL, _STB_WEAK, _STB_GNU_UNIQUE = 1, 2, 10
# st_info has the type in its low four bits, and the binding in those above.
_IS_FUNCTION = bytes(info & 15 in {_STT_NOTYPE, _STT_FUNC, _STT_GNU_IFUNC} for info in range(256))
# Of several names of an address the one with the highest number is shown.
_RANK = {_STB_GLOBAL: 2, _STB_GNU_UNIQUE: 2, _STB_WEAK: 1}
MOST_SYMBOLS = 1 << 20
ENCLOSING = 16  # symbols of one kind before an address that are looked at


class _Row(NamedTuple):
    """One symbol; `name` is the offset of its name in the table of strings."""

    start: int
    rank: int
    size: int
    name: int


class _Columns(NamedTuple):
    """Symbols by their numbers: beginning, size, name, and type with binding."""

    starts: array[int]
    sizes: array[int]
    names: array[int]
    kinds: bytes

    def only(self, chosen: Sequence[object]) -> _Columns:
        """Those for which `chosen` has something true."""
        return _Columns(
            array("Q", compress(self.starts, chosen)),
            array("Q", compress(self.sizes, chosen)),
            array("I", compress(self.names, chosen)),
            bytes(compress(self.kinds, chosen)),
        )


class _Sorted:
    """Symbols, and their numbers in the order of their beginnings."""

    def __init__(self, columns: _Columns) -> None:
        self._columns = columns
        starts = columns.starts
        self._order = array("I", sorted(range(len(starts)), key=starts.__getitem__))

    def __len__(self) -> int:
        return len(self._order)

    def before(self, address: int) -> Iterator[_Row]:
        """The last ones that begin at an address or before it."""
        starts, sizes, names, kinds = self._columns
        last = bisect_right(self._order, address, key=starts.__getitem__)
        for at in reversed(self._order[max(0, last - ENCLOSING) : last]):
            yield _Row(starts[at], _RANK.get(kinds[at] >> 4, 0), sizes[at], names[at])


class Table:
    """The function symbols of one symbol table, by address.

    Functions are selected and sorted without a loop in Python: tables have up to a million entries.
    Labels, which have no size, are apart: there may be many of them in one function. A name is read
    from the file when it is needed.
    """

    def __init__(self, elf: Elf, section: Section) -> None:
        # An entry: name (32 bits), binding and type (8), visibility (8), section (16), value (64),
        # size (64). In a 32-bit file: name, value, size (32 each), binding and type (8), and so on.
        kinds, entry, word = (12, 16, "I") if elf.narrow else (4, 24, "Q")
        raw = elf.bulk(section.offset, min(section.size // entry, MOST_SYMBOLS) * entry)
        self.strings = elf.sections[section.link].offset
        words, fields = array(word, raw), 4 if elf.narrow else 3
        every = _Columns(
            words[1::fields], words[2::fields], array("I", raw)[0 :: entry // 4], raw[kinds::entry]
        )
        functions = every.only(every.kinds.translate(_IS_FUNCTION))
        self._sized = _Sorted(functions.only(functions.sizes))
        self._labels = _Sorted(functions.only(bytes(map(not_, functions.sizes))))
        self.weight = 25 * (len(self._sized) + len(self._labels))

    def holding(self, address: int, function: int | None) -> Iterator[tuple[int, int]]:
        """The offset of the name, and the beginning, of each symbol around `address`.

        `function` is its beginning by the unwind data. The best comes first: one whose size holds
        the address before a label, the one that begins last before the others, and of several
        names of one function a global one before a weak one, and a weak one before a local one.
        """
        sized = [row for row in self._sized.before(address) if address < row.start + row.size]
        labels = [
            row
            for place in {address, function or address}
            for row in self._labels.before(place)
            if row.start == place
        ]
        for found in sized, labels:
            for row in sorted(found, key=itemgetter(0, 1), reverse=True):
                if row.start:
                    yield self.strings + row.name, row.start
