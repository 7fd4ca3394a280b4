"""The file and line of a code address, by the debug information of its file.

What was found is remembered with the file that tells it, so only a requester that may open that
file finds it. Work for which the time is too short goes on with the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf_inlined import InlinedFunctions
from procmirror.stack.dwarf_names import Names
from procmirror.stack.dwarf_units import Units
from procmirror.stack.elf import BROKEN, Elf, remembered
from procmirror.stack.line_program import Line, Lines

Found = TypeVar("Found")

SECONDS = 0.25  # of one request
MOST_TABLES = 256  # units of one file whose lines are remembered
MOST_ANSWERS = 1 << 15


class Late(Exception):
    """The time for lines is over."""


class _Work:
    """Something that is made step by step."""

    def __init__(self, steps: Iterator[None]) -> None:
        self._steps = steps
        self.done = self.broken = False

    def step(self) -> None:
        """Do a piece of it; after a contradiction in the file no more."""
        try:
            next(self._steps)
        except StopIteration:
            self.done = True
        except BROKEN:
            self.done = self.broken = True


class InlinedAt(NamedTuple):
    """A function that is inlined at an address, and the place in the one around it."""

    name: bytes | None
    called: Line | None


class _Known:
    """What is known of the lines of one file."""

    def __init__(self, elf: Elf) -> None:
        self.sections = Sections(elf.closed())
        self.units = Units(elf)
        self.units_work = _Work(self.units.steps(self.sections))
        self.tables: dict[int, tuple[Lines, _Work]] = {}
        self.answers: dict[int, Line | None] = {}
        self.inlined: dict[int, tuple[InlinedFunctions, _Work]] = {}
        self.inlined_answers: dict[int, list[InlinedAt]] = {}
        self.names = Names()

    @property
    def weight(self) -> int:
        """The memory that this takes, in bytes, roughly."""
        tables = sum(lines.weight for lines, _ in self.tables.values())
        tables += sum(found.weight for found, _ in self.inlined.values())
        answers = 300 * (len(self.answers) + len(self.inlined_answers))
        return self.units.weight + self.sections.weight + self.names.weight + tables + answers

    def functions(self, unit: int) -> tuple[InlinedFunctions, _Work]:
        """The inlined functions of the unit at this offset, perhaps not all of them yet."""
        if unit not in self.inlined:
            found = InlinedFunctions()
            addresses = self.units.addresses(self.sections, unit)
            while len(self.inlined) >= MOST_TABLES:
                self.inlined.pop(next(iter(self.inlined)))
            self.inlined[unit] = found, _Work(found.steps(self.sections, unit, addresses))
        return self.inlined[unit]

    def table(self, unit: int) -> tuple[Lines, _Work] | None:
        """The lines of the unit at this offset, perhaps not all of them yet."""
        if unit not in self.tables:
            found = self.units.unit(self.sections, unit)
            if found is None:
                return None
            lines = Lines(found.directory, self.units.is_code)
            while len(self.tables) >= MOST_TABLES:
                self.tables.pop(next(iter(self.tables)))
            self.tables[unit] = lines, _Work(lines.steps(self.sections, found.lines))
        return self.tables[unit]


@remembered
def _known(elf: Elf) -> _Known:
    return _Known(elf)


class SourceLines:
    """The lines that one request asks for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = SECONDS

    def at(self, elf: Elf, address: int) -> Line | None:
        """The line of the file's own `address`; `Late` if the time is over before it is found."""
        known = _known(elf)
        if known is None:
            return None
        if address not in known.answers:
            found = self._timed(known, elf, address, self._found)
            if len(known.answers) >= MOST_ANSWERS:
                known.answers.clear()
            known.answers[address] = found
        return known.answers[address]

    def inlined(self, elf: Elf, address: int) -> list[InlinedAt]:
        """The functions inlined at an address whose line was found, innermost first; or `Late`."""
        known = _known(elf)
        if known is None:
            return []
        if address not in known.inlined_answers:
            found = self._timed(known, elf, address, self._functions)
            if len(known.inlined_answers) >= MOST_ANSWERS:
                known.inlined_answers.clear()
            known.inlined_answers[address] = found or []
        return known.inlined_answers[address]

    def _timed(
        self, known: _Known, elf: Elf, address: int, find: Callable[[_Known, int, float], Found]
    ) -> Found | None:
        if self._left <= 0:
            raise Late
        began = self._clock()
        known.sections.elf = elf
        try:
            return find(known, address, began + self._left)
        except BROKEN:
            return None
        finally:
            known.sections.elf = elf.closed()
            self._left -= self._clock() - began

    def _functions(self, known: _Known, address: int, deadline: float) -> list[InlinedAt]:
        unit = known.units.holding(address)
        table = None if unit is None else known.table(unit)
        if unit is None or table is None:
            return []
        functions, work = known.functions(unit)
        while not work.done:
            self._step(work, deadline)
        if work.broken:
            return []
        found = []
        for one in functions.holding(address):
            # Each name may be in a unit of its own, whose kinds of entries are read for it.
            if self._clock() > deadline:
                raise Late
            name = known.names.name(known.sections, one.origin)
            found.append(InlinedAt(name, table[0].place(one.file, one.line)))
        return found

    def _found(self, known: _Known, address: int, deadline: float) -> Line | None:
        work = known.units_work
        while (unit := known.units.holding(address)) is None and not work.done:
            self._step(work, deadline)
        table = None if unit is None else known.table(unit)
        if table is None:
            return None
        lines, work = table
        while not work.done:
            self._step(work, deadline)
        return None if work.broken else lines.holding(address)

    def _step(self, work: _Work, deadline: float) -> None:
        if self._clock() > deadline:
            raise Late
        work.step()
