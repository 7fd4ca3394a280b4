"""aarch64 machine code, as much of it as proves a return address.

Sources: Arm Architecture Reference Manual, C6.2 (BL, BLR, BLRAA, B, B.cond, CBZ, TBZ, BR, BRAA,
STP, STR, SUB, ADRP, LDR); ELF for the Arm 64-bit Architecture, procedure linkage table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from procmirror.stack.code import WORD, Call

LONGEST_CALL = 4
STUB = 20
# mov x8, #139 (rt_sigreturn); svc #0
SIGNAL_RETURN = bytes.fromhex("681180d2010000d4")
_BTI_C = 0xD503245F
_SYSTEM = 0xD5  # the first byte of instructions such as `bti c`, `paciasp` and `mrs`
# The registers that a function preserves, x29 aside.
_PRESERVED = range(19, 29)
_ADD_FP_SP = 0x910003FD  # add x29, sp, N
_RECORD = 6  # instructions between this one and that which saves x29 and x30
_RET = 0xD65F03C0
PROLOGUE = 96  # bytes of a function in which it makes its frame


def _words(code: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(code) // 4}I", code[: len(code) & -4])


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _field(word: int, low: int, bits: int) -> int:
    return word >> low & ((1 << bits) - 1)


def _ahead(address: int, word: int, low: int, bits: int) -> int:
    """The target of a branch whose offset in instructions is in these bits."""
    return (address + 4 * _signed(_field(word, low, bits), bits)) & WORD


def call_before(code: bytes, address: int) -> Call | None:
    """The call that ends at `address`, `code` being the bytes just before it."""
    if len(code) < LONGEST_CALL or address & 3:
        return None
    (word,) = _words(code[-4:])
    if word & 0xFC000000 == 0x94000000:  # bl
        return Call(_ahead(address - 4, word, 0, 26))
    # blr, and with authentication blraaz, blrabz, blraa, blrab
    if word & 0xFFFFFC1F != 0xD63F0000 and word & 0xFEFFF800 != 0xD63F0800:
        return None
    number = _field(word, 5, 5)
    return Call(None, register=number if number in _PRESERVED else None)


def calls(code: bytes, address: int) -> Iterator[tuple[int, Call]]:
    """The return address of each call in code that begins at `address`, and the call."""
    for at in range(LONGEST_CALL, len(code) + 1, LONGEST_CALL):
        if call := call_before(code[at - LONGEST_CALL : at], address + at):
            yield address + at, call


def jumps(code: bytes, address: int) -> Iterator[int]:
    """The targets of the direct jumps in code that begins at `address`."""
    for at, word in enumerate(_words(code)):
        place = address + 4 * at
        if word & 0xFC000000 == 0x14000000:  # b
            yield _ahead(place, word, 0, 26)
        elif word & 0xFF000000 == 0x54000000 or word & 0x7E000000 == 0x34000000:  # b.cond, cbz
            yield _ahead(place, word, 5, 19)
        elif word & 0x7E000000 == 0x36000000:  # tbz
            yield _ahead(place, word, 5, 14)


def jumps_anywhere(code: bytes) -> bool:
    """Whether a jump goes through a register: the code does not show its target."""
    return any(
        word & 0xFFFFFC1F == 0xD61F0000 or word & 0xFEFFF800 == 0xD61F0800 for word in _words(code)
    )


def stub_slot(code: bytes, address: int) -> int | None:
    """The address of the word from which a PLT stub at `address` takes its target.

    A stub is `adrp x16, page; ldr x17, [x16, offset]; …`, perhaps after `bti c`.
    """
    words = _words(code[:STUB])
    if words and words[0] == _BTI_C:
        words, address = words[1:], address + 4
    if len(words) < 2 or words[0] & 0x9F00001F != 0x90000010 or words[1] & 0xFFC003FF != 0xF9400211:
        return None
    pages = _signed(_field(words[0], 5, 19) << 2 | _field(words[0], 29, 2), 21)
    return ((address & -4096) + (pages << 12) + 8 * _field(words[1], 10, 12)) & WORD


def depth(code: bytes) -> int:
    """How far the beginning of a function moves SP down, in bytes."""
    return sum(map(_moved, _words(code)))


def sets_frame_pointer(code: bytes) -> bool:
    """Whether the last function that begins in `code` saves x29 and x30 and points x29 at them.

    It has not returned in this code.
    """
    words = _words(code)
    at = next((at for at in reversed(range(len(words))) if words[at] & 0xFFC003FF == _ADD_FP_SP), 0)
    saves = any(word & 0xFE407FFF == 0xA8007BFD for word in words[max(at - _RECORD, 0) : at])
    return saves and _RET not in words[at:]


def link_saved(code: bytes) -> int | None:
    """How far below its caller's SP a function saves x30; None where its beginning does not.

    A function that jumps on before has not saved it.
    """
    moved = 0
    for word in _words(code[:PROLOGUE]):
        moved += _moved(word)
        if (at := _saves_link(word)) is not None:
            return moved - at
        if word & 0x1C000000 == 0x14000000 and word >> 24 != _SYSTEM:  # a branch
            return None
    return None


def _saves_link(word: int) -> int | None:
    """Where an instruction saves x30, in bytes from the SP that it leaves."""
    if word & 0xFE4003E0 == 0xA80003E0:  # stp x, x, [sp…]
        pair = _field(word, 0, 5), _field(word, 10, 5)
        moves = _field(word, 23, 2) == 3
        base = 0 if moves else 8 * _signed(_field(word, 15, 7), 7)
        return base + 8 * pair.index(30) if 30 in pair else None
    if word & 0xFFE00FFF == 0xF8000FFE:  # str x30, [sp, -N]!
        return 0
    return 8 * _field(word, 10, 12) if word & 0xFFC003FF == 0xF90003FE else None  # str x30, [sp, N]


def _moved(word: int) -> int:
    """By how much one instruction moves SP down."""
    if word & 0xFFC003E0 in {0xA98003E0, 0x6D8003E0}:  # stp x, x or d, d, [sp, -N]!
        return -8 * _signed(_field(word, 15, 7), 7)
    if word & 0xFFE00FE0 in {0xF8000FE0, 0xFC000FE0}:  # str x or d, [sp, -N]!
        return -_signed(_field(word, 12, 9), 9)
    if word & 0xFF8003FF == 0xD10003FF:  # sub sp, sp, N
        return _field(word, 10, 12) << (12 if word >> 22 & 1 else 0)
    return 0
