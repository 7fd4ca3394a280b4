"""One process as one request sees it.

It has the mappings, the files behind them, and their code and names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import NamedTuple

from procmirror.stack import cfi, golang
from procmirror.stack.architecture import X86_64, Architecture
from procmirror.stack.cfi_program import Row
from procmirror.stack.debug_sections import has_lines
from procmirror.stack.elf import BROKEN, Elf, Files
from procmirror.stack.line_program import Line
from procmirror.stack.maps import Mapping, maps_of
from procmirror.stack.perf_map import PerfMap
from procmirror.stack.separate import separate
from procmirror.stack.source_lines import InlinedAt, SourceLines
from procmirror.stack.symbols import symbol
from procmirror.stack.target import Blob, Target

FILES = Files(64 << 20)
MOST_PLACES = 1 << 14  # addresses of which is remembered what is known
MOST_VDSO = 1 << 20


class Image(NamedTuple):
    """A file in memory; `bias` is the difference between addresses in memory and its own."""

    elf: Elf
    bias: int


class Place(NamedTuple):
    """An address in the code of a file: `own` in the file's numbering, and what tables say of it.

    `go` is what Go's table says, `row` the unwind data.
    """

    image: Image
    own: int
    go: golang.Frame | None
    row: Row | None


class Name(NamedTuple):
    """What is known about a code address.

    `offset` and `module_offset` count from the start of the symbol and of the file, in bytes.
    """

    symbol: bytes | None = None
    offset: int | None = None
    module: bytes | None = None
    module_offset: int | None = None
    file: bytes | None = None
    line: int | None = None


class Process:
    """What all threads of one request share.

    Their memory is read through the first of `directories` that still has it.

    A main thread that has ended before the others has none.
    """

    def __init__(self, target: Target, directories: Sequence[str] = ()) -> None:
        self.target = target
        self.directory = ""
        raw = target.read("maps")
        if not raw and len(directories) > 1:
            self.directory = directories[-1]
            raw = target.read(self.directory + "maps")
        self.maps = maps_of(raw)
        self._images: dict[int, Image | None] = {}
        self._debug: dict[int, Elf | None] = {}
        self._slots: dict[int, int | None] = {}
        self._places: dict[int, Place | None] = {}
        self._names: dict[tuple[int, bool], Name] = {}
        self._perf: PerfMap | None = None

    def memory(self, address: int, size: int) -> bytes:
        """At most `size` bytes from `address`; OSError as the kernel raises it."""
        return self.target.part(self.directory + "mem", address, size)

    def image(self, address: int) -> Image | None:
        """The file whose code is at `address`.

        None for code without a file, or if the file may not be read.
        """
        mapping = self.maps.holding(address)
        if mapping is None:
            return None
        start = mapping.start
        if start not in self._images:
            self._images[start] = self._opened(mapping) if mapping.executable else None
        return self._images[start]

    def closed(self, address: int) -> bool:
        """Whether the code at `address` is in a file that may not be read."""
        mapping = self.maps.holding(address)
        readable = mapping is None or not mapping.inode or self.image(address)
        return not readable

    def _opened(self, mapping: Mapping) -> Image | None:
        if mapping.path == b"[vdso]":
            elf = self._vdso(mapping)
        elif mapping.inode:
            file = self.target.mapped(
                mapping.start, mapping.end, mapping.path, mapping.device, mapping.inode
            )
            elf = FILES.elf(file) if file else None
        else:
            elf = None
        size = mapping.end - mapping.start
        bias = elf.bias(mapping.start, mapping.offset, size) if elf else None
        return Image(elf, bias) if elf and bias is not None else None

    def _vdso(self, mapping: Mapping) -> Elf | None:
        try:
            content = self.memory(mapping.start, min(mapping.end - mapping.start, MOST_VDSO))
        except OSError:
            return None
        return FILES.elf(Blob(content))

    def code(self, address: int, size: int) -> bytes:
        """The bytes of code at `address`.

        From the file if there is one, else from private memory (JIT); none if unknown.
        """
        image = self.image(address)
        try:
            if image:
                return image.elf.at(image.elf.offset(address - image.bias), size)
            mapping = self.maps.holding(address)
            if mapping and mapping.executable and mapping.private and not mapping.inode:
                return self.memory(address, size)
        except BROKEN:
            pass
        return b""

    def slot(self, address: int) -> int | None:
        """The word of a table of addresses that the dynamic linker filled, in private memory."""
        if address not in self._slots:
            self._slots[address] = self._word(address)
        return self._slots[address]

    def _word(self, address: int) -> int | None:
        mapping = self.maps.holding(address)
        if mapping is None or not mapping.private:
            return None
        try:
            raw = self.memory(address, 8)
        except OSError:
            return None
        return int.from_bytes(raw, "little") if len(raw) == 8 else None

    @cached_property
    def architecture(self) -> Architecture:
        """That of its code; x86_64 where no file of its code may be read.

        A 32-bit program has all its code below 4 GiB.
        """
        code = next(self.maps.code(), None)
        image = self.image(code.start) if code else None
        return image.elf.architecture if image else X86_64

    @property
    def narrow(self) -> bool:
        """Whether it runs a 32-bit program."""
        return self.architecture.narrow

    @cached_property
    def _address_bits(self) -> int:
        return (1 << self.maps.end.bit_length()) - 1

    def address(self, saved: int) -> int:
        """A return address as it was saved, without its authentication code.

        That is in the bits above the addresses that a program can have, and every program has
        something mapped near their end.
        """
        return saved & self._address_bits if self.architecture.linked else saved

    def generated(self, address: int) -> bool:
        """Whether the code at `address` is in no file: a compiler in the process made it."""
        mapping = self.maps.holding(address)
        return mapping is not None and mapping.executable and not mapping.inode and not mapping.path

    def executable(self, address: int) -> bool:
        """Whether code may run at `address`."""
        mapping = self.maps.holding(address)
        return mapping is not None and mapping.executable

    def place(self, address: int) -> Place | None:
        """What is known of a code address; None for code that is in no file."""
        if address not in self._places:
            if len(self._places) >= MOST_PLACES:
                self._places.clear()
            self._places[address] = self._placed(address)
        return self._places[address]

    def _placed(self, address: int) -> Place | None:
        image = self.image(address)
        if image is None:
            return None
        own = address - image.bias
        return Place(image, own, golang.frame(image.elf, own), cfi.row(image.elf, own))

    def function(self, address: int) -> int | None:
        """The beginning of the function around `address`, by the unwind data."""
        place = self.place(address)
        return place.row.start + place.image.bias if place and place.row else None

    def name(self, pc: int, *, innermost: bool) -> Name:
        """The names of a frame; a return address is looked up in the call before it."""
        key = pc, innermost
        found = self._names.get(key)
        if found is None:
            found = self._names[key] = self._named(pc, innermost=innermost)
        return found

    def _named(self, pc: int, *, innermost: bool) -> Name:
        at = pc if innermost else pc - 1
        mapping = self.maps.holding(at)
        if mapping is None:
            return Name()
        module = mapping.path or None
        place = self.place(at)
        if place is None:
            return (
                self._jit(pc, at)
                if not mapping.inode
                else Name(None, None, module, pc - mapping.start + mapping.offset)
            )
        image, own, go, row = place
        if go:
            return Name(
                go.name, pc - image.bias - go.start, module, pc - image.bias, go.file, go.line
            )
        found = symbol(image.elf, own, row and row.start, partial(self.debug, mapping, image))
        if found is None:
            return Name(None, None, module, pc - image.bias)
        return Name(found.name, pc - image.bias - found.start, module, pc - image.bias)

    def line(self, pc: int, lines: SourceLines, *, innermost: bool) -> Line | None:
        """The line of the source of a frame, by the debug information of its file.

        `Late` if the time for lines is over.
        """
        found = self._with_lines(pc if innermost else pc - 1)
        return found and lines.at(*found)

    def inlined(self, pc: int, lines: SourceLines, *, innermost: bool) -> list[InlinedAt]:
        """The functions that are inlined at a frame whose line was found; `Late` as there."""
        found = self._with_lines(pc if innermost else pc - 1)
        return lines.inlined(*found) if found else []

    def _with_lines(self, at: int) -> tuple[Elf, int] | None:
        """The file with the debug information of an address, and its own number of that."""
        mapping, image = self.maps.holding(at), self.image(at)
        if mapping is None or image is None or not mapping.inode:
            return None
        elf = image.elf if has_lines(image.elf) else self.debug(mapping, image)
        return (elf, at - image.bias) if elf and has_lines(elf) else None

    def debug(self, mapping: Mapping, image: Image) -> Elf | None:
        """The separate debug file of a mapped file, opened once for a request."""
        if mapping.start not in self._debug:
            self._debug[mapping.start] = separate(image.elf, mapping.path, self.target)
        return self._debug[mapping.start]

    def _jit(self, pc: int, at: int) -> Name:
        """A name from the compiler's own list."""
        if self._perf is None:
            self._perf = PerfMap(self.target.perf_map())
        found = self._perf.holding(at)
        return Name(found[0], pc - found[1]) if found else Name()
