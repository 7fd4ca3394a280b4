"""The functions of a process that call another one: the code of two files is searched for calls.

These are the file of the function and the program's own, which calls it through a stub.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import islice

from procmirror.stack.elf import BROKEN, EXECUTE, Elf, remembered
from procmirror.stack.process import Image, Process

MOST_CODE = 4 << 20  # bytes of one file: a tenth of a second
MOST_CALLERS = 64
_STUB_BYTES, _MOST_STUBS = 16, 1 << 14
_MOST_FOUND = 4  # stubs of one function, for each of which the code is searched
_BL = 0x94000000
_TARGETS = 1 << 26  # instructions that a call reaches


class _Calls(dict[int, tuple[int, ...]]):
    @property
    def weight(self) -> int:
        return sum(200 + 8 * len(found) for found in self.values())


@remembered
def _calls(_: Elf) -> _Calls:
    return _Calls()


def callers(process: Process, function: int) -> Iterator[int]:
    """The beginnings of functions with a direct call of the one at this address."""
    own = process.image(function)
    first = next(process.maps.code(), None)
    program = process.image(first.start) if first else None
    found: set[int] = set()
    for image in {id(one): one for one in (own, program) if one}.values():
        targets = iter([function]) if image is own else _stubs(process, image, function)
        for target in islice(targets, _MOST_FOUND):
            found |= {
                start
                for place in _call_sites(image.elf, target - image.bias)
                if (start := process.function(place + image.bias)) is not None
            }
    yield from sorted(found)[:MOST_CALLERS]


def _stubs(process: Process, image: Image, function: int) -> Iterator[int]:
    """The stubs of a file that lead to a function."""
    section = image.elf.by_name.get(b".plt")
    if section is None:
        return
    stub_slot = process.architecture.instructions.stub_slot
    for address in range(section.address, section.address + section.size, _STUB_BYTES)[
        :_MOST_STUBS
    ]:
        start = address + image.bias
        slot = stub_slot(process.code(start, 2 * _STUB_BYTES), start)
        if slot is not None and process.slot(slot) == function:
            yield start


def _call_sites(elf: Elf, target: int) -> tuple[int, ...]:
    """The places of the direct calls of a target in a file."""
    known = _calls(elf)
    assert known is not None
    if target not in known:
        known[target] = tuple(_searched(elf, target))
    return known[target]


def _searched(elf: Elf, target: int) -> Iterator[int]:
    for segment in elf.loads:
        if not segment.flags & EXECUTE or segment.size > MOST_CODE or target & 3:
            continue
        try:
            words = array("I", elf.bulk(segment.offset, segment.size & -4))
        except BROKEN:
            continue
        # The offset of a call is smaller by one in each instruction that follows.
        ahead = _BL + ((target - segment.address) >> 2)
        wanted = {ahead, ahead + _TARGETS}
        for at, word in enumerate(words):
            if word + at in wanted and word >> 26 == _BL >> 26:
                yield segment.address + 4 * at
