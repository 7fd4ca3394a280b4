"""The captured machines: each expected file with the view and the raw files that must give it.

Run as `python -m tests.fixtures PATH…` it writes the expected files that are missing: those of a raw
file, or all below a folder. They are to be read before they are committed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from procmirror.decoding.render import rendered
from procmirror.decoding.view import NUMBER, FileStatus, Machine, View
from procmirror.views import VIEWS

MACHINES = Path(__file__).parent / "machines"
JSON = {"json", "ndjson"}  # the suffixes whose files have every field


class Folder:
    """A `Reading` over a folder of captured files; `itself` is the process that is `self` there."""

    def __init__(
        self, folder: Path, replaced: dict[str, bytes] | None = None, itself: str = ""
    ) -> None:
        self.folder = folder
        self.replaced = replaced or {}
        self._itself = itself

    def _named(self, path: str) -> str:
        """The path in the folder: `self` is the process of that number, if one was given."""
        first, slash, rest = path.partition("/")
        return f"{self._itself}{slash}{rest}" if self._itself and first == "self" else path

    def read(self, path: str) -> bytes:
        """The captured bytes, or those that a test put in their place."""
        if path in self.replaced:
            return self.replaced[path]
        return (self.folder / self._named(path)).read_bytes()

    def part(self, path: str, offset: int, size: int) -> bytes:
        """A slice of a file.

        Of `mem`, from the chunk that holds the address (OSError EIO where none does).
        """
        if not (self.folder / path).is_dir():
            return self.read(path)[offset : offset + size]
        for chunk in (self.folder / path).iterdir():
            start = int(chunk.name, 16)
            if start <= offset < start + chunk.stat().st_size:
                return chunk.read_bytes()[offset - start :][:size]
        raise OSError(5, "Input/output error")

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a file."""
        raw = self.read(path)
        yield from raw.removesuffix(b"\n").split(b"\n") if raw else ()

    def link(self, path: str) -> str:
        """The text of a link, captured as a file that holds it.

        A test's own folder may have the link itself.
        """
        place = self.folder / path
        text = os.readlink(os.fsencode(place)) if place.is_symlink() else place.read_bytes()
        return text.decode("utf-8", "backslashreplace")

    def names(self, path: str) -> list[str]:
        """The names of a folder: numbers in their order first, expected files left out."""
        found = [
            name
            for name in os.listdir(self.folder / self._named(path))
            if not name.endswith((".json", ".txt", ".ndjson"))
        ]
        return sorted(
            found, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)
        )

    def size(self, path: str) -> int:
        """How many names a folder has, as the kernel counts descriptors since Linux 6.2."""
        return len(self.names(path))

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """What is kept of an open file in `fstat.json`."""
        del mount
        kept = json.loads(self.read("fstat.json"))
        if path not in kept:
            raise FileNotFoundError(2, path)
        return FileStatus(*kept[path])

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        """What is kept of a mapped file in `fstat.json`, by its path."""
        del addresses, device, inode
        return self.opened(path, None)

    def unix_peers(self) -> dict[int, int]:
        """Nothing: only a kernel that runs tells them."""
        return {}


@dataclass(frozen=True)
class Fixture:
    """One expected file."""

    view: View
    suffix: str
    folder: Path
    machine: Machine

    @property
    def expected(self) -> Path:
        """Where the expected bytes are kept."""
        return self.folder / f"{self.view.entry.removesuffix('.gz')}.{self.suffix}"

    @property
    def row(self) -> str:
        """The name of the view in the table, with N for the number of one entry among many."""
        return f"{self.view.place}/{NUMBER}" if self.view.entry.isdigit() else self.view.name

    @property
    def raw(self) -> Path:
        """The source itself."""
        return self.folder / self.view.entry

    @property
    def top(self) -> Path:
        """The folder that the view reads: that of the machine, for a view of all processes."""
        return self.folder.parent if self.view.whole else self.folder

    @property
    def itself(self) -> str:
        """The process that is `self` for a view of one process that reads all."""
        return self.folder.name if self.view.whole else ""

    def __str__(self) -> str:
        return str(self.expected.relative_to(MACHINES))

    def content(self, replaced: dict[str, bytes] | None = None) -> bytes:
        """What the view gives for the captured files."""
        record = self.view.record_of(Folder(self.top, replaced, self.itself), self.machine)
        return b"".join(rendered(self.view, self.suffix, record, self.machine))


def _machine(folder: Path) -> Machine:
    return msgspec.json.decode((folder / "facts.json").read_bytes(), type=Machine)


def _folders(host: Path, place: str) -> Iterator[Path]:
    """The captured directories in which a view of `place` may stand."""
    if place == "PID" or place.startswith("PID/"):
        rest = place[4:]
        processes = [folder for folder in host.iterdir() if folder.name.isdigit()]
        if not rest:
            processes += [thread for one in processes for thread in one.glob("task/*")]
        if rest == "task/TID":
            yield from (thread for one in processes for thread in one.glob("task/*"))
            return
        yield from (one / rest for one in processes if (one / rest).is_dir())
    elif place == "net":
        yield from (
            folder for folder in [host / "net", *host.glob("[0-9]*/net")] if folder.is_dir()
        )
    elif (host / place).is_dir():
        yield host / place


def _places(host: Path, view: View) -> Iterator[tuple[Path, View]]:
    """The captured directories in which a view may stand; of each number there, its own view."""
    for folder in sorted(_folders(host, view.place)):
        if view.entry == NUMBER:
            numbers = sorted(file.name for file in folder.iterdir() if file.name.isdigit())
            yield from ((folder, replace(view, name=f"{view.place}/{one}")) for one in numbers)
        else:
            yield folder, view


def candidates() -> Iterator[Fixture]:
    """Every expected file that could exist: one wherever the source of a view was captured."""
    for host in sorted(folder for folder in MACHINES.iterdir() if folder.is_dir()):
        machine = _machine(host)
        for view in VIEWS:
            for folder, one in _places(host, view):
                for suffix in view.suffixes:
                    fixture = Fixture(one, suffix, folder, machine)
                    if fixture.raw.is_file() or (
                        view.decode is None and (view.virtual or fixture.raw.is_dir())
                    ):
                        yield fixture


FIXTURES = [fixture for fixture in candidates() if fixture.expected.exists()]
# Machines of kernels between two that are captured too: what is tried with changed files differs
# little between them, and is tried with those of the oldest and the newest alone.
BETWEEN = {"debian-6.1", "debian-6.12", "debian-6.12-arm64"}
CHANGED = [one for one in FIXTURES if one.expected.relative_to(MACHINES).parts[0] not in BETWEEN]


def _is_wanted(fixture: Fixture, named: Sequence[Path]) -> bool:
    """Whether an expected file is below a folder that was named, or of a source that was named."""
    return any(fixture.raw == one or fixture.expected.is_relative_to(one) for one in named)


def main(arguments: Sequence[str]) -> None:
    """Write the expected files that are missing, of sources and of all below folders."""
    named = [Path(argument).resolve() for argument in arguments]
    for missing in candidates():
        if missing.expected.exists() or not _is_wanted(missing, named):
            continue
        try:
            content = missing.content()
        except OSError as absent:
            sys.stdout.write(f"left out {missing}: {absent.strerror}: {absent.filename}\n")
        else:
            missing.expected.write_bytes(content)
            sys.stdout.write(f"wrote {missing}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
