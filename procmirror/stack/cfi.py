"""Call frame information: how each instruction's frame leads to its caller's.

.eh_frame, .eh_frame_hdr.

Format: DWARF 5, 6.4, with the changes of the Linux Standard Base, "Exception Frames". The header's
table is searched in place; a program without one (static linking leaves it out) has its .eh_frame
walked once.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import NamedTuple

from procmirror.stack.elf import BROKEN, CHUNK, Elf, MalformedError, remembered
from procmirror.stack.expression import signed, unsigned

MOST_ENTRIES = 1 << 18  # of an .eh_frame that has to be walked: a quarter of a second
MOST_WALKED = 16 << 20
MOST_OF_ENTRY = 1 << 16
MOST_CIES = 4096
MOST_REMEMBERED = 64
REGISTERS = 17  # rax … r15 and the return address; rules for others do not lead to a caller


class Rule(NamedTuple):
    """Where the caller's value of a register is.

    `kind` is `at` (in memory at CFA + value), `is` (it is CFA + value), `register`, `undefined`, or
    `at` and `is` with a program (`at expression`, `is expression`).
    """

    kind: str
    value: int = 0
    program: bytes = b""


UNDEFINED = Rule("undefined")


class Row(NamedTuple):
    """The rules at one address.

    The CFA is `register` + `offset`, or the value of `program` where there is one.
    """

    start: int
    register: int
    offset: int
    program: bytes
    rules: dict[int, Rule]
    return_register: int
    signal: bool


class _Cie(NamedTuple):
    code_factor: int
    data_factor: int
    return_register: int
    encoding: int
    signal: bool
    augmented: bool
    program: bytes


class Rows(dict[int, Row | None]):
    """The rows asked for so far, by address."""

    @property
    def weight(self) -> int:
        """About how many bytes they take."""
        return len(self) * 1500


@remembered
def _rows(_: Elf) -> Rows:
    return Rows()


def row(elf: Elf, address: int) -> Row | None:
    """The rules for the instruction at the file's own `address`; None without unwind data for it."""
    rows = _rows(elf)
    assert rows is not None
    if address not in rows:
        try:
            rows[address] = _row(elf, address)
        except BROKEN:
            rows[address] = None
    return rows[address]


def _row(elf: Elf, address: int) -> Row | None:
    table, walked = _search_table(elf), None
    if table is None:
        walked = _walked(elf)
    at = table.find(elf, address) if table else walked.find(address) if walked else None
    return None if at is None else _interpreted(elf, at, address)


class _SearchTable(NamedTuple):
    """The sorted table of .eh_frame_hdr: 32-bit pairs, relative to the header."""

    base: int
    offset: int
    entries: int

    def find(self, elf: Elf, address: int) -> int | None:
        low, high, wanted = 0, self.entries, address - self.base
        while low < high:
            middle = (low + high) // 2
            if int.from_bytes(elf.at(self.offset + 8 * middle, 4), "little", signed=True) <= wanted:
                low = middle + 1
            else:
                high = middle
        if not low:
            return None
        entry = int.from_bytes(elf.at(self.offset + 8 * low - 4, 4), "little", signed=True)
        return elf.offset(self.base + entry)


@remembered
def _search_table(elf: Elf) -> _SearchTable | None:
    header = elf.frame_header
    if header is None or header.size < 12:
        return None
    version, pointer, count_encoding, table_encoding = elf.at(header.offset, 4)
    # 4-byte pointer to .eh_frame, 4-byte count, table relative to the header: what every linker
    # writes.
    if (version, pointer & 7, count_encoding, table_encoding) != (1, 3, 3, 0x3B):
        return None
    (count,) = struct.unpack("<I", elf.at(header.offset + 8, 4))
    if not 0 < count <= (header.size - 12) // 8:
        return None
    return _SearchTable(header.address, header.offset + 12, count)


class _Walked:
    """The entries of an .eh_frame without a search table."""

    def __init__(self, found: list[tuple[int, int]]) -> None:
        found.sort()
        self._starts = [start for start, _ in found]
        self._offsets = [offset for _, offset in found]
        self.weight = 100 * len(found)

    def find(self, address: int) -> int | None:
        at = bisect_right(self._starts, address) - 1
        return self._offsets[at] if at >= 0 else None


@remembered
def _walked(elf: Elf) -> _Walked | None:
    section = elf.by_name.get(b".eh_frame")
    if section is None or section.size > MOST_WALKED:
        return None
    raw = elf.bulk(section.offset, section.size)
    found, at = [], 0
    for _ in range(MOST_ENTRIES):
        if at + 8 > len(raw):
            break
        length, back = struct.unpack_from("<II", raw, at)
        if length == 0xFFFFFFFF:
            break
        if length and back:
            offset = section.offset + at
            found.append(
                (
                    _begin(_cie(elf, offset + 4 - back).encoding, raw, at + 8, section.address)[0],
                    offset,
                )
            )
        at += 4 + length
    return _Walked(found)


def _begin(encoding: int, raw: bytes, at: int, base: int) -> tuple[int, int, int]:
    """An FDE's first address, its length, and where they end in `raw`, whose own address is `base`."""
    size = {0x00: 8, 0x03: 4, 0x04: 8, 0x0B: 4, 0x0C: 8}.get(encoding & 0x0F)
    if size is None or encoding & 0xE0 or encoding & 0x70 not in {0, 0x10}:
        raise MalformedError("an address encoding that code does not use")
    first = int.from_bytes(raw[at : at + size], "little", signed=bool(encoding & 8))
    if encoding & 0x70 == 0x10:
        first += base + at
    return first, int.from_bytes(raw[at + size : at + 2 * size], "little"), at + 2 * size


def _entry(elf: Elf, offset: int) -> bytes:
    """A whole CIE or FDE, with its length field."""
    (length,) = struct.unpack("<I", elf.at(offset, 4))
    if not 8 <= length <= MOST_OF_ENTRY:
        raise MalformedError("the length of an entry")
    return elf.at(offset, 4 + length)


class _Cies(dict[int, _Cie]):
    @property
    def weight(self) -> int:
        return len(self) * 500


@remembered
def _cies(_: Elf) -> _Cies:
    return _Cies()


def _cie(elf: Elf, offset: int) -> _Cie:
    cies = _cies(elf)
    assert cies is not None
    found = cies.get(offset)
    if found is None:
        if len(cies) >= MOST_CIES:
            raise MalformedError("too many CIEs")
        found = cies[offset] = _parsed_cie(_entry(elf, offset))
    return found


def _parsed_cie(raw: bytes) -> _Cie:
    if raw[4:8] != b"\0\0\0\0" or raw[8] not in {1, 3}:
        raise MalformedError("not a CIE")
    end = raw.index(b"\0", 9)
    augmentation = raw[9:end]
    code_factor, at = unsigned(raw, end + 1)
    data_factor, at = signed(raw, at)
    return_register, at = (raw[at], at + 1) if raw[8] == 1 else unsigned(raw, at)
    if augmentation[:1] not in {b"", b"z"} or return_register >= REGISTERS:
        raise MalformedError("an unknown CIE")
    encoding = 0
    program = at
    if augmentation:
        size, at = unsigned(raw, at)
        program = at + size
    for letter in augmentation[1:]:
        if letter == ord("R"):
            encoding = raw[at]
        if letter == ord("P"):
            at += {0: 8, 2: 2, 3: 4, 4: 8}[raw[at] & 7]
        at += letter in b"RPL"
    return _Cie(
        code_factor,
        data_factor,
        return_register,
        encoding,
        b"S" in augmentation,
        bool(augmentation),
        raw[program:],
    )


def _interpreted(elf: Elf, offset: int, address: int) -> Row | None:
    """The row of the FDE at `offset` for `address`, if the FDE really contains it."""
    raw = _entry(elf, offset)
    back = int.from_bytes(raw[4:8], "little")
    cie = _cie(elf, offset + 4 - back) if back else None
    segment = next((one for one in elf.loads if one.offset <= offset < one.offset + one.size), None)
    if cie is None or segment is None:
        raise MalformedError("not an FDE")
    start, length, at = _begin(cie.encoding, raw, 8, offset - segment.offset + segment.address)
    if not start <= address < start + length:
        return None
    if cie.augmented:
        size, at = unsigned(raw, at)
        at += size
    state = _State(cie)
    state.run(cie.program, 0, 0)
    state.initial = dict(state.rules)
    state.run(raw[at:], start, address)
    return Row(
        start,
        state.register,
        state.offset,
        state.program,
        state.rules,
        cie.return_register,
        cie.signal,
    )


class _State:
    """The rules while a program of call frame instructions runs (DWARF 5, 6.4.2)."""

    def __init__(self, cie: _Cie) -> None:
        self.cie = cie
        self.rules: dict[int, Rule] = {}
        self.initial: dict[int, Rule] = {}
        self.remembered: list[tuple[int, int, bytes, dict[int, Rule]]] = []
        self.register, self.offset, self.program = -1, 0, b""

    def run(self, raw: bytes, location: int, address: int) -> None:
        """Up to the last row that begins at or before `address`."""
        at = 0
        while at < len(raw):
            operation = raw[at]
            at += 1
            high, low = operation & 0xC0, operation & 0x3F
            if high == 0x40 or 0x02 <= operation <= 0x04:
                size = 0 if high else {2: 1, 3: 2, 4: 4}[operation]
                delta = low if high else int.from_bytes(raw[at : at + size], "little")
                at += size
                location += delta * self.cie.code_factor
                if location > address:
                    return
            elif high == 0x80:
                offset, at = unsigned(raw, at)
                self.set(low, Rule("at", offset * self.cie.data_factor))
            elif high == 0xC0:
                self.restore(low)
            elif operation:
                at = self.step(operation, raw, at)

    def set(self, register: int, rule: Rule) -> None:
        if register < REGISTERS:
            self.rules[register] = rule

    def restore(self, register: int) -> None:
        if register in self.initial:
            self.rules[register] = self.initial[register]
        else:
            self.rules.pop(register, None)

    def step(self, operation: int, raw: bytes, at: int) -> int:
        """One of the instructions that name their operands; returns where the next begins."""
        if operation in _ON_REGISTER:
            register, at = unsigned(raw, at)
            return self.on_register(operation, register, raw, at)
        if operation == 0x0A:
            if len(self.remembered) >= MOST_REMEMBERED:
                raise MalformedError("too many remembered states")
            self.remembered.append((self.register, self.offset, self.program, dict(self.rules)))
        elif operation == 0x0B:
            self.register, self.offset, self.program, self.rules = self.remembered.pop()
        elif operation == 0x0E:
            self.offset, at = unsigned(raw, at)
        elif operation == 0x13:
            offset, at = signed(raw, at)
            self.offset = offset * self.cie.data_factor
        elif operation == 0x0F:
            self.program, at = _block(raw, at)
        elif operation == 0x2E:
            _, at = unsigned(raw, at)
        else:
            raise MalformedError(f"call frame instruction {operation:#x}")
        return at

    def on_register(self, operation: int, register: int, raw: bytes, at: int) -> int:
        """The instructions whose first operand is a register."""
        factor = self.cie.data_factor
        if operation == 0x06:
            self.restore(register)
        elif operation == 0x07:
            self.set(register, UNDEFINED)
        elif operation == 0x08:
            self.rules.pop(register, None)
        elif operation in {0x10, 0x16}:
            program, at = _block(raw, at)
            self.set(
                register,
                Rule("at expression" if operation == 0x10 else "is expression", 0, program),
            )
        elif operation == 0x0D:
            self.register = register
        else:
            value, at = (signed if operation in {0x11, 0x12, 0x15} else unsigned)(raw, at)
            if operation in {0x0C, 0x12}:
                self.register, self.program = register, b""
                self.offset = value * factor if operation == 0x12 else value
            elif operation == 0x09:
                self.set(register, Rule("register", value))
            else:
                self.set(
                    register, Rule("at" if operation in {0x05, 0x11} else "is", value * factor)
                )
        return at


_ON_REGISTER = {0x05, 0x06, 0x07, 0x08, 0x09, 0x0C, 0x0D, 0x10, 0x11, 0x12, 0x14, 0x15, 0x16}


def _block(raw: bytes, at: int) -> tuple[bytes, int]:
    size, at = unsigned(raw, at)
    if size > CHUNK:
        raise MalformedError("an expression of this size")
    return raw[at : at + size], at + size
