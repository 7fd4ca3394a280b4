"""/proc/PID/maps for the unwinder: which mapping holds an address.

Source: proc_pid_maps(5, fs/proc/task_mmu.c).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_LINE = re.compile(
    rb"^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (\S{4}) ([0-9a-f]{1,16}) ([0-9a-f:]{1,17}) "
    rb"(\d{1,20})(?: +(.*)|)$",
    re.MULTILINE,
)
_VSYSCALL = b"[vsyscall]"  # of the kernel


KEPT = 1 << 17  # bytes of a file that counts as short
MOST_REMEMBERED = 1 << 12  # addresses whose mapping is remembered


class Mapping(NamedTuple):
    """One line; in `path` the octal escapes of newlines are resolved."""

    start: int
    end: int
    permissions: bytes
    offset: int
    device: str
    inode: int
    path: bytes

    @property
    def executable(self) -> bool:
        """Whether code may run here."""
        return self.permissions[2:3] == b"x"

    @property
    def private(self) -> bool:
        """Whether no other process writes here, and no file is written through it."""
        return self.permissions[3:4] == b"p"

    @property
    def stackable(self) -> bool:
        """Whether it is private and writable, as every stack is."""
        return self.private and self.permissions[1:2] == b"w"


class Maps:
    """All mappings, in the order of their addresses.

    A line is parsed only when it is asked for.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._lines = _LINE.findall(raw)
        self._starts = [int(line[0], 16) for line in self._lines]
        self._parsed: dict[int, Mapping] = {}
        self._holding: dict[int, Mapping] = {}
        self._named: dict[re.Pattern[bytes], list[Mapping]] = {}

    @property
    def end(self) -> int:
        """The last address of a program's own that is mapped, 0 without any."""
        ends = (int(line[1], 16) for line in reversed(self._lines) if line[6] != _VSYSCALL)
        return max(next(ends, 1) - 1, 0)

    def named(self, name: re.Pattern[bytes]) -> list[Mapping]:
        """The mappings of code in files with this name, which may begin with `lib`."""
        if name not in self._named:
            self._named[name] = list(self._of_name(name))
        return self._named[name]

    def _of_name(self, name: re.Pattern[bytes]) -> Iterator[Mapping]:
        seen = set()
        for line, start in zip(self._lines, self._starts, strict=True):
            file = line[6].rpartition(b"/")[2].removeprefix(b"lib")
            if line[2][2:3] == b"x" and file not in seen and name.match(file):
                seen.add(file)
                if mapping := self.holding(start):
                    yield mapping

    def code(self) -> Iterator[Mapping]:
        """The mappings of code in files."""
        for line, start in zip(self._lines, self._starts, strict=True):
            if line[2][2:3] == b"x" and line[5] != b"0" and (mapping := self.holding(start)):
                yield mapping

    def has_file(self, path: bytes) -> bool:
        """Whether a file of this name is mapped."""
        return any(line[6].replace(b"\\012", b"\n") == path for line in self._lines)

    def holding(self, address: int) -> Mapping | None:
        """The mapping that `address` lies in."""
        found = self._holding.get(address)
        if found is None and (found := self._held(address)):
            if len(self._holding) >= MOST_REMEMBERED:
                self._holding.clear()
            self._holding[address] = found
        return found

    def _held(self, address: int) -> Mapping | None:
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        found = self._parsed.get(at)
        if found is None:
            found = self._parsed[at] = _mapping(self._lines[at])
        return found if address < found.end else None


_kept = lru_cache(8)(Maps)


def maps_of(raw: bytes) -> Maps:
    """The mappings that a file tells of; those of a short one are kept for the next request."""
    return _kept(raw) if len(raw) < KEPT else Maps(raw)


def _mapping(line: tuple[bytes, ...]) -> Mapping:
    start, end, permissions, offset, device, inode, path = line
    return Mapping(
        int(start, 16),
        int(end, 16),
        permissions,
        int(offset, 16),
        device.decode(),
        int(inode),
        path.replace(b"\\012", b"\n"),
    )
