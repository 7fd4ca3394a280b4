"""ELF files of x86_64, 32-bit x86 and aarch64, read with pread and never trusted (elf(5)).

The author of a file is not trusted: every number is checked before it is used, every count has a
limit, and a contradiction raises `MalformedError` (a ValueError). Nothing is mapped into memory: if
a mapped file is truncated, its reader is killed.

What was learned about a file is shared by all requests that opened the same version of it. So an
`Elf` is light: the file that one request opened, and the shared rest. What is kept between requests
has no open file: that would keep its file system, and a whole mount namespace, in use.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

from procmirror.stack.architecture import AARCH64, ARCHITECTURES, I386, X86_64, Architecture
from procmirror.stack.target import Blob, MappedFile

CHUNK = 4096
MOST_AT_ONCE = 64 << 20
MOST_SEGMENTS = 256
MOST_SECTIONS = 4096
NOBITS = 8
EXECUTE = 1
PAGES = (4096, 16384, 65536)  # that a kernel may have, in bytes
COMPRESSED = 0x800  # SHF_COMPRESSED
LOAD, EH_FRAME_HDR = 1, 0x6474E550

# Stands for the opened file between two requests.
_CLOSED = Blob(b"")

# The exceptions that a hostile or broken file may cause; an OSError means that the file became
# unreadable.
BROKEN = (ValueError, LookupError, ArithmeticError, struct.error, OSError)


class MalformedError(ValueError):
    """The file contradicts itself or a limit."""


class Segment(NamedTuple):
    """A program header."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int


class Section(NamedTuple):
    """A section header."""

    name: int
    kind: int
    address: int
    offset: int
    size: int
    link: int
    flags: int = 0


class _Shape(NamedTuple):
    """How headers are written; `order` gives a program header as a `Segment`.

    `header` has the entry, and the places, sizes and counts of program and section headers.
    """

    header: struct.Struct
    segment: struct.Struct
    section: struct.Struct
    order: Callable[[tuple[int, ...]], tuple[int, ...]]


_WIDE = _Shape(
    struct.Struct("<24xQQQ6xHHHHH"),
    struct.Struct("<IIQQQQQQ"),
    struct.Struct("<IIQQQQIIQQ"),
    lambda row: (row[0], row[1], row[2], row[3], row[5]),
)
_SHAPES = {
    (b"\x7fELF\x02\x01", X86_64): _WIDE,
    (b"\x7fELF\x02\x01", AARCH64): _WIDE,
    (b"\x7fELF\x01\x01", I386): _Shape(
        struct.Struct("<24xIII6xHHHHH"),
        struct.Struct("<IIIIIIII"),
        struct.Struct("<IIIIIIIIII"),
        lambda row: (row[0], row[6], row[1], row[2], row[4]),
    ),
}


class Elf:
    """One ELF file: its segments, its sections and its bytes."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.chunks: dict[int, bytes] = {}
        self.memo: dict[object, Any] = {}
        header = self.at(0, 64)
        (machine,) = struct.unpack_from("<18xH", header)
        architecture = ARCHITECTURES.get(machine)
        shape = _SHAPES.get((header[:6], architecture)) if architecture else None
        if shape is None or architecture is None:
            raise MalformedError("not an ELF file of a processor that is known")
        self.architecture: Architecture = architecture
        self.narrow = architecture.narrow
        entry, segments_at, sections_at, segment_size, segments, section_size, sections, names = (
            shape.header.unpack_from(header)
        )
        self.entry: int = entry
        if segments > MOST_SEGMENTS or segment_size != shape.segment.size:
            raise MalformedError("program headers")
        raw = self.bulk(segments_at, segments * segment_size)
        found = [Segment(*shape.order(row)) for row in shape.segment.iter_unpack(raw)]
        self.loads = [segment for segment in found if segment.kind == LOAD]
        self.frame_header = next(
            (segment for segment in found if segment.kind == EH_FRAME_HDR), None
        )
        self.sections: list[Section] = []
        self.by_name: dict[bytes, Section] = {}
        if sections and section_size == shape.section.size and sections <= MOST_SECTIONS:
            self._read_sections(shape.section, sections_at, sections, names)

    def _read_sections(self, shape: struct.Struct, at: int, count: int, names: int) -> None:
        """The section headers.

        A file without them, as the loader allows, or with false ones has none.
        """
        try:
            rows = shape.iter_unpack(self.bulk(at, count * shape.size))
            sections = [
                Section(name, kind, va, offset, size, link, flags)
                for name, kind, flags, va, offset, size, link, _, _, _ in rows
            ]
            table = sections[names]
            texts = self.bulk(table.offset, min(table.size, 1 << 20))
        except BROKEN:
            return
        self.sections = sections
        for section in sections:
            name = texts[section.name : section.name + 64].partition(b"\0")[0]
            if section.kind != NOBITS:
                self.by_name.setdefault(name, section)

    def through(self, file: MappedFile) -> Elf:
        """This file, read through the descriptor of another request."""
        other = copy.copy(self)
        other.file = file
        return other

    def closed(self) -> Elf:
        """What is known about the file, without the file, to be kept for the next request."""
        return self.through(_CLOSED)

    def at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; the pages that they are in are cached."""
        first, last = offset // CHUNK, (offset + size - 1) // CHUNK
        if offset < 0 or not 0 < size <= MOST_AT_ONCE:
            raise MalformedError("an offset outside the file")
        if first == last:
            held = self._chunk(first)
        elif last - first > 16:
            return self.bulk(offset, size)
        else:
            held = b"".join(map(self._chunk, range(first, last + 1)))
        start = offset - first * CHUNK
        piece = held[start : start + size]
        if len(piece) != size:
            raise MalformedError("the file ends too early")
        return piece

    def _chunk(self, number: int) -> bytes:
        held = self.chunks.get(number)
        if held is None:
            held = self.chunks[number] = self.file.pread(CHUNK, number * CHUNK)
        return held

    def bulk(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`, not cached."""
        if size > MOST_AT_ONCE or offset + size > self.file.size:
            raise MalformedError("a part outside the file")
        piece = self.file.pread(size, offset)
        if len(piece) != size:
            raise MalformedError("the file ends too early")
        return piece

    def string(self, offset: int, most: int = 4096) -> bytes:
        """The NUL-terminated string at `offset`, cut at `most` bytes."""
        text = b""
        while len(text) < most:
            piece = self._chunk(offset // CHUNK)[offset % CHUNK :]
            head, end, _ = piece.partition(b"\0")
            text += head
            if end or not piece:
                break
            offset += len(piece)
        return text[:most]

    def offset(self, address: int) -> int:
        """The offset in the file of the byte at this address."""
        for segment in self.loads:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        raise MalformedError("an address outside the file")

    def bias(self, start: int, offset: int, size: int) -> int | None:
        """The difference between an address in memory and the file's own.

        The address is in an executable mapping that begins at `start`, has this size and shows the
        file from `offset`; None if no segment of the file is mapped so. Where segments meet inside
        a page, it is the one that begins and ends with the mapping, else one that begins with it,
        else the last one.
        """
        page = self.architecture.page
        found = [
            segment
            for segment in reversed(self.loads)
            if segment.flags & EXECUTE
            and segment.offset & -page <= offset < segment.offset + segment.size
        ]
        best = max(found, key=lambda one: _fit(one, offset, size, page), default=None)
        return best and start - offset + best.offset - best.address

    def weight(self) -> int:
        """The approximate memory in bytes of everything that is known about this file."""
        return (
            20_000
            + len(self.chunks) * CHUNK
            + sum(getattr(value, "weight", 64) for value in list(self.memo.values()))
        )


def _fit(segment: Segment, offset: int, size: int, most: int) -> int:
    """How well a segment fits the bytes of a mapping, with pages of `most` bytes at most.

    2: they begin and end together, 1: they only begin together, 0: else.
    """
    end = segment.offset + segment.size
    pages = [one for one in PAGES if one <= most and segment.offset & -one == offset]
    return bool(pages) + any(-(-end // one) * one == offset + size for one in pages)


T = TypeVar("T")


def remembered(make: Callable[[Elf], T]) -> Callable[[Elf], T | None]:
    """`make(elf)`, made once for each version of a file; None where the file is too broken."""

    def get(elf: Elf) -> T | None:
        if make not in elf.memo:
            try:
                elf.memo[make] = make(elf)
            except BROKEN:
                elf.memo[make] = None
        found: T | None = elf.memo[make]
        return found

    return get


class Files:
    """The ELF files known so far, least recently used first, within a limit of bytes.

    Only a file that the requester has just opened is looked up, so a requester learns nothing of a
    file that it may not open.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._known: dict[Hashable, Elf | None] = {}
        self._weights: dict[Hashable, int] = {}
        self._used: set[Hashable] = set()

    def elf(self, file: MappedFile) -> Elf | None:
        """What is known about an opened file; None if it is no ELF file that is known."""
        try:
            known = self._known.pop(file.key)
        except KeyError:
            try:
                known = Elf(file).closed()
            except BROKEN:
                known = None
        self._known[file.key] = known
        self._used.add(file.key)
        return known and known.through(file)

    def settle(self) -> None:
        """Measure what was used since the last time.

        The files that were not used for longest are forgotten until the rest is within the limit.
        """
        used, self._used = self._used, set()
        for key in used:
            elf = self._known.get(key)
            self._weights[key] = elf.weight() if elf else 200
        self.weight = sum(list(self._weights.values()))
        for key in list(self._known) if self.weight > self.limit else ():
            self._known.pop(key, None)
            self.weight -= self._weights.pop(key, 0)
            if self.weight <= self.limit:
                break

    def forget(self) -> None:
        """Forget all files."""
        self._known.clear()
        self._weights.clear()
