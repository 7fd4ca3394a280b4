"""Generated code of HotSpot: which piece an address is in, and the methods compiled into it.

Sources: code/codeCache.cpp, memory/heap.cpp, code/nmethod.hpp, code/debugInfo.hpp.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from procmirror.stack.checked_memory import MOST_AT_ONCE, Bytes, ContradictionError
from procmirror.stack.hotspot_structs import Structures
from procmirror.stack.java_methods import unsigned5

MOST_HEAPS = 16
MOST_STEPS = 1 << 12
MOST_INLINED = 256
MOST_PLACES = 1 << 16
_SCOPE_BYTES = 15
_FREE = 0xFF
_PLACE_FIELDS = (b"pc_offset", b"scope_decode_offset")
_COMPILED = (b"nmethod", b"native nmethod")


class Code(NamedTuple):
    """A piece of generated code; `frame` is the size of its frames in bytes."""

    address: int
    name: bytes
    start: int
    end: int
    frame: int

    @property
    def compiled(self) -> bool:
        """Whether it is compiled from a method."""
        return self.name in _COMPILED


class CodeCache:
    """All generated code of one virtual machine."""

    def __init__(self, structures: Structures, least: int) -> None:
        self._structures, self._least = structures, least
        owners = (b"CompiledMethod::_method", b"nmethod::_method")
        self._method = structures.described(*owners)
        # Since 23 parts of the code are told by their offsets, and some lie elsewhere.
        self._apart = structures.has(b"nmethod::_immutable_data")

    def holding(self, pc: int) -> Code | None:
        """The piece around an address."""
        at = self._structures
        heaps = at.static(b"CodeCache::_heaps")
        count = at.half(heaps, b"GrowableArrayBase::_len")
        data = at.field(heaps, b"GrowableArray<int>::_data")
        for heap in at.memory.words(data, min(count, MOST_HEAPS)):
            space = heap + at.offset(b"CodeHeap::_memory")
            low = at.field(space, b"VirtualSpace::_low")
            if low <= pc < at.field(space, b"VirtualSpace::_high"):
                return self._piece(heap, low, pc)
        return None

    def _piece(self, heap: int, low: int, pc: int) -> Code | None:
        at = self._structures
        size = at.half(heap, b"CodeHeap::_log2_segment_size") & 31
        places = at.field(heap + at.offset(b"CodeHeap::_segmap"), b"VirtualSpace::_low")
        segment = pc - low >> size
        for _ in range(MOST_STEPS):
            back = at.memory.byte(places + segment)
            if back == _FREE:
                return None
            if not back:
                return self._code(low + (segment << size), pc)
            segment -= back
        raise ContradictionError("a map of code")

    def _code(self, block: int, pc: int) -> Code | None:
        at = self._structures
        header = block + at.offset(b"HeapBlock::_header")
        if not at.memory.byte(header + at.offset(b"HeapBlock::Header::_used")):
            return None
        blob = block + at.size(b"HeapBlock")
        start, end = self._bounds(blob)
        if not start <= pc < end:
            return None
        name = at.memory.string(at.field(blob, b"CodeBlob::_name"), 64)
        return Code(blob, name, start, end, 8 * at.half(blob, b"CodeBlob::_frame_size"))

    def is_set_up(self, code: Code, pc: int) -> bool:
        """Whether the instruction at `pc` is behind those that make the frame."""
        return pc - code.start >= self._structures.short(
            code.address, b"CodeBlob::_frame_complete_offset"
        )

    def describes(self, code: Code, pc: int) -> bool:
        """Whether a compiled method says what is executed at a place, as at all of its calls."""
        return self._scope(code, pc) is not None

    def _bounds(self, blob: int) -> tuple[int, int]:
        """Where the instructions of a piece begin and end."""
        at = self._structures
        if self._apart:
            names = (b"CodeBlob::_code_offset", b"CodeBlob::_data_offset")
            start, end = (blob + at.half(blob, one) for one in names)
        else:
            names = (b"CodeBlob::_code_begin", b"CodeBlob::_code_end")
            start, end = (at.field(blob, one) for one in names)
        return start, end

    def methods(self, code: Code, pc: int) -> Iterator[tuple[int, int]]:
        """The methods that are executed at a place, inlined ones first, and their bytecodes."""
        at = self._structures
        scope = self._scope(code, pc)
        if scope is None:
            yield at.field(code.address, self._method), -1
        for _ in range(MOST_INLINED):
            if not scope:
                return
            byte = Bytes(at.memory, self._scopes(code.address) + scope, _SCOPE_BYTES).one
            scope, number, index = (unsigned5(byte, self._least) for _ in range(3))
            table = self._metadata(code.address)
            if not 0 < number < MOST_PLACES:
                raise ContradictionError("a method")
            yield at.memory.word(table + 8 * (number - 1)), index - 1

    def _scopes(self, code: int) -> int:
        """Where what is executed at the places of a method is described."""
        at = self._structures
        if self._apart:
            data = at.field(code, b"nmethod::_immutable_data")
            return data + at.half(code, b"nmethod::_scopes_data_offset")
        return at.field(code, b"CompiledMethod::_scopes_data_begin")

    def _metadata(self, code: int) -> int:
        """Where the methods that a compiled method names are listed."""
        at = self._structures
        if self._apart:
            data = at.field(code, b"CodeBlob::_mutable_data")
            return data + at.half(code, b"CodeBlob::_relocation_size")
        return code + at.half(code, b"nmethod::_metadata_offset")

    def _places(self, code: int) -> tuple[int, int]:
        """Where the list of places begins and ends."""
        at = self._structures
        if self._apart:
            data = at.field(code, b"nmethod::_immutable_data")
            begin = data + at.half(code, b"nmethod::_scopes_pcs_offset")
            return begin, self._scopes(code)
        names = (b"nmethod::_scopes_pcs_offset", b"nmethod::_dependencies_offset")
        begin, end = (code + at.half(code, one) for one in names)
        return begin, end

    def _scope(self, code: Code, pc: int) -> int | None:
        """Where the methods that are executed at a place are described."""
        at = self._structures
        begin, end = self._places(code.address)
        size = at.size(b"PcDesc")
        if size % 4 or not size or not 0 <= end - begin <= size * MOST_PLACES or (end - begin) % 4:
            raise ContradictionError("places of code")
        place_at, scope_at = (at.offset(b"PcDesc::_" + one) for one in _PLACE_FIELDS)
        for some in range(begin, end, MOST_AT_ONCE // size * size):
            words = array("I", at.memory.read(some, min(end - some, MOST_AT_ONCE // size * size)))
            places = words[place_at // 4 :: size // 4]
            if pc - code.start in places:
                return words[places.index(pc - code.start) * (size // 4) + scope_at // 4]
        return None
