"""The separate debug file of an ELF file: by its build id, or by the name in .gnu_debuglink.

Source: GDB manual, "Separate Debug Files". The owner of the debug file is not trusted: the file
must have the same build id, or the checksum in .gnu_debuglink.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from procmirror.stack.elf import BROKEN, Elf
from procmirror.stack.symbols import build_id
from procmirror.stack.target import MappedFile, Target

MOST_OF_LINK = 4096
MOST_CHECKED = 256 << 20  # bytes under a checksum: a quarter of a second
CHUNK = 1 << 20


class Link(NamedTuple):
    """The content of .gnu_debuglink: a file name without directories, and the file's CRC-32."""

    name: bytes
    checksum: int


def debug_link(elf: Elf) -> Link | None:
    """The link of a file; None if it has none, or if it leads into other directories."""
    section = elf.by_name.get(b".gnu_debuglink")
    if section is None or not 8 <= section.size <= MOST_OF_LINK:
        return None
    raw = elf.at(section.offset, section.size)
    name, end, _ = raw.partition(b"\0")
    if not end or not name or b"/" in name or name in {b".", b".."}:
        return None
    return Link(name, int.from_bytes(raw[-4:], "little"))


def separate(elf: Elf, path: bytes, target: Target) -> Elf | None:
    """The debug file of `elf` (`path` in its process) that this requester may open."""
    try:
        number = build_id(elf)
        file = target.debug_file(number) if number else None
        if file and (found := _belonging(elf, file, None)):
            return found
        link = debug_link(elf)
        for candidate in target.debug_links(path, link.name) if link else ():
            if link and (found := _belonging(elf, candidate, link.checksum)):
                return found
    except BROKEN:
        pass
    return None


def _belonging(elf: Elf, file: MappedFile, checksum: int | None) -> Elf | None:
    """The debug file if it belongs to `elf`; cached with it as long as it is unchanged."""
    known: _Debug | None = elf.memo.get("debug")
    if known is None or known.key != file.key:
        known = elf.memo["debug"] = _Debug(elf, file, checksum)
    return known.elf and known.elf.through(file)


class _Debug:
    def __init__(self, elf: Elf, file: MappedFile, checksum: int | None) -> None:
        self.key = file.key
        self.elf: Elf | None = None
        try:
            opened = Elf(file)
            if _belongs(elf, opened, checksum):
                self.elf = opened.closed()
        except BROKEN:
            pass

    @property
    def weight(self) -> int:
        return self.elf.weight() if self.elf else 200


def _belongs(elf: Elf, debug: Elf, checksum: int | None) -> bool:
    number = build_id(debug)
    if number is not None and number == build_id(elf):
        return True
    return checksum is not None and _checksum(debug.file) == checksum


def _checksum(file: MappedFile) -> int | None:
    if file.size > MOST_CHECKED:
        return None
    found = 0
    for at in range(0, file.size, CHUNK):
        found = zlib.crc32(file.pread(CHUNK, at), found)
    return found
