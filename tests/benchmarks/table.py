"""What must be reached, and the report that says where it is not."""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.contest import Sample

# The highest figure that each row may have: a ratio where there is a competitor, else in the unit
# that the row is given in.
BARS = {
    "stat of PID/status": 2.0,
    "open, read, close of PID/status": 2.0,
    "open, read, close of PID/status.json": 3.0,
    "open, read, close of PID/environ.txt": 1.8,
    "open, read, close of PID/cmdline.txt": 1.8,
    "the same of maps.json, 200 mappings": 1.8,
    "fd.txt, against its files and links": 1.8,
    "ls -l of the root, an entry": 2.0,
    "status.json of every process": 2.0,
    "the same, but psutil": 1.6,
    "processes.ndjson": 0.8,
    "cat status.json": 1 / 30,
    "memory.txt of 500 processes, a process": 1.0,
    "waits.txt of 500 processes": 2.0,
    "decode and render status": 60.0,
    "decode and render stat": 150.0,
    "decode and render environ": 150.0,
    "decode and render maps, 200 mappings": 150.0,
    "stack.txt of a process of one thread, its files known": 1.0,
    "stack.txt of 100 threads, files known": 25.0,
    "stack.txt of four threads of Python, files known": 2.0,
    "first look at libc: unwind data and a name": 10.0,
    "slowest read while 40 wait for a stuck target": 1.0,
    "median read while 1,000 threads of another user read": 0.01,
    "slowest read beside kallsyms.json": 0.02,
    "slowest read beside smaps.json of 20,000 mappings": 0.02,
    "from the command to a mount that answers": 150.0,
    "memory of the daemon and its workers before the first request": 30.0,
    "growth of the time a process: ls": 1.5,
    "growth of the time a process: ls -l": 1.5,
    "growth of the time a process: cat of every status.json": 1.5,
    "growth of the time a process: processes.ndjson": 1.5,
    "growth of the time a process: grep -l over environ.txt": 1.5,
    "memory of the daemon and its workers afterwards": 150.0,
}
BEGIN, END = "<!-- figures of make bench -->", "<!-- end of the figures -->"
_PAGE = Path(__file__).parents[2] / "docs" / "PERFORMANCE.md"


def written(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


@dataclass
class Report:
    """The tables of one run."""

    parts: list[tuple[str, list[tuple[str, ...]]]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def part(self, *titles: str) -> None:
        """Begin a table."""
        self.parts.append(("", [titles]))

    def row(self, *cells: str) -> None:
        """A line as it is; it is told at once, because a run takes many minutes."""
        sys.stderr.write("  ".join(filter(None, cells)) + "\n")
        self.parts[-1][1].append(cells)

    def note(self, text: str) -> None:
        """A paragraph under the present table."""
        before, rows = self.parts[-1]
        self.parts[-1] = (f"{before}\n\n{text}" if before else text, rows)

    def ratio(
        self, name: str, ours: Sample, peer: str, theirs: Sample, kernel: Sample | None
    ) -> None:
        """A row against a competitor."""
        middle, best = ours.against(theirs)
        micro = [written(1e6 * one.median) if one else "" for one in (kernel, theirs, ours)]
        self.row(
            name,
            peer,
            *micro,
            written(middle),
            written(best),
            *self._judged(name, min(middle, best)),
        )

    def value(self, name: str, value: float, unit: str) -> None:
        """A row with a figure of its own."""
        self.row(name, f"{written(value)} {unit}", *self._judged(name, value))

    def _judged(self, name: str, value: float) -> tuple[str, str]:
        bar = BARS.get(name)
        if bar is None:
            return "", ""
        if value > bar:
            self.missed.append(name)
        return written(bar), "**missed**" if value > bar else "reached"

    def plain(self) -> str:
        """For a terminal."""
        return "\n".join(
            _plain(rows) + (f"\n{note}\n" if note else "") for note, rows in self.parts
        )

    def write(self) -> None:
        """Put the tables between the markers of the page."""
        tables = "\n\n".join(
            _markdown(rows) + (f"\n\n{textwrap.fill(note, 120)}" if note else "")
            for note, rows in self.parts
        )
        page = _PAGE.read_text()
        _PAGE.write_text(
            re.sub(
                f"(?s)({BEGIN}\n).*({END})",
                lambda found: f"{found[1]}\n{tables}\n\n{found[2]}",
                page,
            )
        )


def _plain(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]]) + "\n"


def _markdown(rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
