"""The sections of debug information of a file, unpacked where they are compressed.

Sources: elf(5) (Elf64_Chdr); GNU as, `--compress-debug-sections` (the older `.zdebug_` sections).
"""

from __future__ import annotations

import zlib
from typing import Protocol

from procmirror.stack.elf import COMPRESSED, Elf, MalformedError, Section

MOST_UNPACKED = 48 << 20  # bytes of all sections of a file
MOST_STRING = 4096
ELFCOMPRESS_ZLIB = 1
_PIECE = 1 << 20


class _Content(Protocol):
    """The bytes of one section."""

    size: int

    def piece(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""


class _Stored:
    """A section as it stands in the file."""

    def __init__(self, of: Sections, section: Section) -> None:
        self.of, self.begin = of, section.offset
        self.size = max(0, min(section.size, of.elf.file.size - section.offset))

    def piece(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        return self.of.elf.bulk(self.begin + offset, size) if offset >= 0 < size else b""


class _Packed:
    """A compressed section, of which as much is unpacked as was asked for."""

    def __init__(self, packed: bytes, size: int) -> None:
        self.size = size
        self._packed = packed
        self._unpacker = zlib.decompressobj()
        self._held = bytearray()

    def piece(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        try:
            while len(self._held) < end and not self._unpacker.eof:
                more = self._unpacker.decompress(self._packed, max(_PIECE, end - len(self._held)))
                self._packed = self._unpacker.unconsumed_tail
                if not more:
                    break
                self._held += more
        except zlib.error as error:
            raise MalformedError("a compressed section") from error
        return bytes(self._held[offset:end]) if offset >= 0 else b""


def _packed(elf: Elf, section: Section, most: int, *, old: bool) -> _Packed:
    """A compressed section of at most so many bytes, with the header of either kind."""
    raw = elf.bulk(section.offset, section.size)
    if old:
        begin, known, size = 12, raw[:4] == b"ZLIB", int.from_bytes(raw[4:12], "big")
    else:
        begin, kind = 24, int.from_bytes(raw[:4], "little")
        known, size = kind == ELFCOMPRESS_ZLIB, int.from_bytes(raw[8:16], "little")
    if not known or size > most:
        raise MalformedError("the compression of a section")
    return _Packed(raw[begin:], size)


def content(elf: Elf, section: Section, most: int) -> bytes:
    """The bytes of a section; MalformedError for one of more than `most`."""
    if section.size > most:
        raise MalformedError("a section of this size")
    if section.flags & COMPRESSED:
        packed = _packed(elf, section, most, old=False)
        return packed.piece(0, packed.size)
    return elf.bulk(section.offset, section.size)


class Sections:
    """The sections `.debug_NAME` of a file; `elf` is the file as the request at hand opened it."""

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        self._known: dict[bytes, _Content | None] = {}
        self._room = MOST_UNPACKED

    @property
    def weight(self) -> int:
        """The bytes that are held unpacked, or will be."""
        return MOST_UNPACKED - self._room

    def _of(self, name: bytes) -> _Content | None:
        if name not in self._known:
            self._known[name] = None
            self._known[name] = self._opened(name)
        return self._known[name]

    def _opened(self, name: bytes) -> _Content | None:
        plain = self.elf.by_name.get(b".debug_" + name)
        old = None if plain else self.elf.by_name.get(b".zdebug_" + name)
        section = plain or old
        if section is None:
            return None
        if not old and not section.flags & COMPRESSED:
            return _Stored(self, section)
        packed = _packed(self.elf, section, self._room, old=bool(old))
        self._room -= packed.size
        return packed

    def size(self, name: bytes) -> int:
        """The bytes of a section; 0 if there is none."""
        found = self._of(name)
        return found.size if found else 0

    def piece(self, name: bytes, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` of a section; none of one that there is not."""
        found = self._of(name)
        return found.piece(offset, size) if found else b""

    def string(self, name: bytes, offset: int) -> bytes:
        """The string at `offset` of a section, cut at `MOST_STRING` bytes."""
        for size in (256, MOST_STRING):
            text, end, _ = self.piece(name, offset, size).partition(b"\0")
            if end:
                break
        return text


def has_lines(elf: Elf) -> bool:
    """Whether a file has lines of source and the units that they belong to."""
    names = elf.by_name
    return (
        not elf.narrow
        and (b".debug_line" in names or b".zdebug_line" in names)
        and (b".debug_info" in names or b".zdebug_info" in names)
    )
