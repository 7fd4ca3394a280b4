"""ELF files, call frame information and processes made by hand."""

from __future__ import annotations

import struct

from procmirror.stack.elf import Elf
from procmirror.stack.target import Bare, Blob, MappedFile

TEXT = 0x1000


def elf_of(entries: bytes, *, claims: int | None = None) -> bytes:
    """An ELF file with one segment, an .eh_frame of these entries and no search table."""
    names = b"\0.eh_frame\0.names\0"
    at = 64 + 56 + 3 * 64
    size = at + len(names) + len(entries)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 120, 0, 64, 56, 1, 64, 3, 2
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    frames_section = (1, 1, 2, at + len(names), at + len(names), claims or len(entries), 0, 0, 1, 0)
    sections = b"".join(
        struct.pack("<IIQQQQIIQQ", *section)
        for section in ((0,) * 10, frames_section, (11, 3, 0, 0, at, len(names), 0, 0, 1, 0))
    )
    return header + segment + sections + names + entries


def cie(program: bytes = b"", augmentation: bytes = b"zR\0", data: bytes = b"\1\0") -> bytes:
    body = b"\0\0\0\0\1" + augmentation + b"\1\x78\x10" + data + program
    return struct.pack("<I", len(body)) + body


def fde(back: int, start: int, length: int, program: bytes) -> bytes:
    body = struct.pack("<IQQ", back, start, length) + b"\0" + program
    return struct.pack("<I", len(body)) + body


def file_with(program: bytes, augmentation: bytes = b"zR\0") -> bytes:
    """A file of one function with this program of rules."""
    first = cie(augmentation=augmentation)
    return elf_of(first + fde(len(first) + 4, TEXT, 1000, program))


def with_program(program: bytes) -> Elf:
    """The same, read."""
    return Elf(Blob(file_with(program)))


class Crafted(Bare):
    """A process whose memory a test gives; all its files are `file`, and its clock runs."""

    def __init__(self, maps: bytes, memory: bytes, base: int, file: bytes | None = None) -> None:
        self.maps, self.memory, self.base = maps, memory, base
        self.file = Blob(file) if file else None
        self.now = 0.0

    def read(self, path: str) -> bytes:
        assert path == "maps"
        return self.maps

    def part(self, path: str, offset: int, size: int) -> bytes:
        assert path == "mem"
        return self.memory[offset - self.base : offset - self.base + size]

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        del start, end, path, device, inode
        return self.file
