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
# Of a larger table the last ones are read: local symbols come first. What is kept of so many takes
# 56 MiB, of the 64 MiB that are kept of all files.
MOST_SYMBOLS = 2_800_000
_PART = 1 << 18  # symbols that are read and sorted at once, which takes some 40 MiB
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
            array("I", compress(self.sizes, chosen)),
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

    Functions are selected and sorted without a loop in Python: tables have millions of entries.
    Labels, which have no size, are apart: there may be many of them in one function. A name is read
    from the file when it is needed.
    """

    def __init__(self, elf: Elf, section: Section) -> None:
        entry = 16 if elf.narrow else 24
        self.strings = elf.sections[section.link].offset
        self._sized: list[_Sorted] = []
        self._labels: list[_Sorted] = []
        count = section.size // entry
        for first in range(max(0, count - MOST_SYMBOLS), count, _PART):
            size = min(_PART, count - first) * entry
            self._add(elf.bulk(section.offset + first * entry, size), narrow=elf.narrow)
        self.weight = 21 * sum(map(len, self._sized + self._labels))

    def _add(self, raw: bytes, *, narrow: bool) -> None:
        """A part of the table.

        An entry: name (32 bits), type and binding (8), visibility (8), section (16), value (64),
        size (64). In a 32-bit file: name, value, size (32 each), type and binding (8), and so on.
        """
        halves = array("I", raw)
        if narrow:
            every = _Columns(halves[1::4], halves[2::4], halves[0::4], raw[12::16])
        else:
            # No function has 4 GiB: the low half of its size is enough.
            every = _Columns(array("Q", raw)[1::3], halves[4::6], halves[0::6], raw[4::24])
        functions = every.only(every.kinds.translate(_IS_FUNCTION))
        self._sized.append(_Sorted(functions.only(functions.sizes)))
        self._labels.append(_Sorted(functions.only(bytes(map(not_, functions.sizes)))))

    def holding(self, address: int, function: int | None) -> Iterator[tuple[int, int]]:
        """The offset of the name, and the beginning, of each symbol around `address`.

        `function` is its beginning by the unwind data. The best comes first: one whose size holds
        the address before a label, the one that begins last before the others, and of several
        names of one function a global one before a weak one, and a weak one before a local one.
        """
        sized = [
            row
            for part in reversed(self._sized)
            for row in part.before(address)
            if address < row.start + row.size
        ]
        labels = [
            row
            for part in reversed(self._labels)
            for place in {address, function or address}
            for row in part.before(place)
            if row.start == place
        ]
        for found in sized, labels:
            for row in sorted(found, key=itemgetter(0, 1), reverse=True):
                if row.start:
                    yield self.strings + row.name, row.start
