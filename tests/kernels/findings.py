"""What a part of a run found, as the guest writes it and the record shows it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

# The file beside the findings that holds what the views said.
ARCHIVE = "views.tar"
# How many failures of a part are kept in full.
_SHOWN = 40


class Findings(msgspec.Struct):
    """One part: how much was asked, in what unit, and what failed, each in a line."""

    part: str
    unit: str
    count: int = 0
    failures: list[str] = []
    failed: int = 0
    seconds: float = 0.0
    remarks: list[str] = []

    def fail(self, line: str) -> None:
        """Count a failure; the first ones are kept."""
        self.failed += 1
        if len(self.failures) < _SHOWN:
            self.failures.append(line)

    def write(self, folder: Path) -> None:
        """Keep them in a folder, whole or not at all."""
        place = folder / f"{self.part}.json"
        new = place.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        os.replace(new, place)


class Run(msgspec.Struct):
    """A kernel's last run: which, when, and its parts in the order in which they ran."""

    release: str
    version: str
    date: str
    machine: str
    status: int | None
    parts: list[Findings]


def found(folder: Path) -> Iterator[Findings]:
    """What the parts wrote into a folder, the oldest first."""
    for place in sorted(folder.glob("*.json"), key=lambda one: one.stat().st_mtime):
        yield msgspec.json.decode(place.read_bytes(), type=Findings)
