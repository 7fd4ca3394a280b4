"""Names of generated code from the list of its compiler, /tmp/perf-PID.map.

`START SIZE name` in hexadecimal, one a line. Compilers only append: of two lines whose ranges
overlap, the later one tells what is there now. Source: tools/perf/Documentation/jit-interface.txt.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from procmirror.stack.target import MappedFile

# Of a longer list the end is read.
MOST_BYTES = 16 << 20
MOST_LINES = 1 << 18


class _Range(NamedTuple):
    """One line: the addresses, and the negative number of the line, so that later ones are less."""

    start: int
    end: int
    line: int


class PerfMap:
    """The names in one list; without a file there are none."""

    def __init__(self, file: MappedFile | None) -> None:
        ranges, names = _parsed(_lines(file) if file else [])
        self._ranges = _current(sorted(ranges))
        self._names = [names[-one.line] for one in self._ranges]
        self._starts = [one.start for one in self._ranges]

    def holding(self, address: int) -> tuple[bytes, int] | None:
        """The name of the code around an address, and where it begins; None outside of all."""
        at = bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._ranges[at].end:
            return None
        return self._names[at], self._starts[at]


def _lines(file: MappedFile) -> list[bytes]:
    """The last lines of a list, without one whose beginning is not read."""
    first = max(0, file.size - MOST_BYTES)
    try:
        raw = file.pread(MOST_BYTES, first)
    except OSError:
        return []
    if first:
        raw = raw.partition(b"\n")[2]
    return raw.rsplit(b"\n", MOST_LINES)[-MOST_LINES:]


def _parsed(lines: Sequence[bytes]) -> tuple[list[_Range], list[bytes]]:
    """The ranges, and the name of each line."""
    ranges, names = [], []
    for number, line in enumerate(lines):
        start, _, rest = line.partition(b" ")
        size, _, name = rest.partition(b" ")
        names.append(name)
        try:
            begin, length = int(start, 16), int(size, 16)
        except ValueError:
            continue
        if length > 0:
            ranges.append(_Range(begin, begin + length, -number))
    return ranges, names


def _current(ranges: Sequence[_Range]) -> list[_Range]:
    """Those of ranges, in the order of their beginnings, that no later line overlaps."""
    stale = bytearray(len(ranges))
    begun: list[tuple[int, int]] = []  # line and end, in a heap: the last line comes first
    fresh: list[int] = []  # that are not stale so far: later lines come first
    for at, one in enumerate(ranges):
        while begun and begun[0][1] <= one.start:
            heappop(begun)
        stale[at] = bool(begun) and begun[0][0] < one.line
        heappush(begun, (one.line, one.end))
        while fresh and ranges[fresh[-1]].line > one.line:
            before = fresh.pop()
            stale[before] = ranges[before].end > one.start
        if not stale[at]:
            fresh.append(at)
    return [one for one, is_stale in zip(ranges, stale, strict=True) if not is_stale]
