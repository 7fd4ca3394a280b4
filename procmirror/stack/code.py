"""x86_64 machine code, as much of it as proves a return address.

Sources: Intel SDM, volume 2, CALL, JMP, PUSH, MOV, AND and SUB; System V ABI for x86_64, procedure
linkage table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

WORD = (1 << 64) - 1
LONGEST_CALL = 7
PROLOGUE = 64
STUB = 16
ENDBR64 = b"\xf3\x0f\x1e\xfa"  # endbr64
PUSH_RBP = b"\x55"  # push %rbp
MOV_RSP_RBP = {b"\x48\x89\xe5", b"\x48\x8b\xec"}  # mov %rsp,%rbp, in its two encodings
_AND_RSP = re.compile(rb"\x48\x83\xe4(.)", re.DOTALL)  # and $imm8,%rsp
_SUB_RSP = re.compile(rb"\x48\x83\xec(.)|\x48\x81\xec(....)", re.DOTALL)  # sub $imm,%rsp
JMP_SLOT = b"\xff\x25"  # jmp *disp32(%rip)
BND = b"\xf2"  # the prefix bnd of MPX
CALL_REL32 = 0xE8  # call disp32
GROUP_5, CALL_IN_GROUP_5 = 0xFF, 2  # FF /2: call *r/m64
NOTRACK, ADDRESS_32 = 0x3E, 0x67  # the prefixes notrack and addr32
REX, REX_LAST = 0x40, 0x4F
REX_B = 0x41
REGISTER_MODE = 3  # ModRM: the operand is a register
BYTE_MODE, WORD_MODE = 1, 2  # ModRM: a displacement of 1 byte, of 4 bytes
HAS_SIB, RIP_RELATIVE = 4, 5  # ModRM: what these bases stand for


JMP_REL8, JMP_REL32 = 0xEB, 0xE9
JCC_REL8, JCC_REL8_LAST = 0x70, 0x7F  # jo … jg disp8
TWO_BYTES, JCC_REL32, JCC_REL32_LAST = 0x0F, 0x80, 0x8F  # 0F 80 … 0F 8F: jo … jg disp32
CALLED_REGISTER, CALLED_REGISTER_LAST = 0xD0, 0xD7  # ModRM of call *%rax … call *%rdi
CALL_SLOT = b"\xff\x15"  # call *disp32(%rip)
_INDIRECT_JUMP = re.compile(rb"\xff[\x20-\x27\x60-\x67\xa0-\xa7\xe0-\xe7]")
# sub %reg,%rsp: only run time knows how far SP moves.
_MOVES_SP = re.compile(rb"[\x48\x4c]\x29[\xc4\xcc\xd4\xdc\xe4\xec\xf4\xfc]")
# The registers that a function preserves, by their number in machine code and in DWARF.
_PRESERVED = {3: 3, 5: 6, 12: 12, 13: 13, 14: 14, 15: 15}


class Call(NamedTuple):
    """A CALL instruction.

    It names its `target`, or the `slot` in memory that holds it, or the `register` (DWARF's number,
    only one that the callee preserves); all are None for other kinds of indirect calls.
    """

    target: int | None
    slot: int | None = None
    register: int | None = None

    def moved(self, bias: int) -> Call:
        """This call in a file whose addresses in memory are higher by `bias`."""
        if self.target is not None:
            return Call((self.target + bias) & WORD)
        return self if self.slot is None else Call(None, (self.slot + bias) & WORD)


def call_before(code: bytes, address: int) -> Call | None:
    """The CALL that ends at `address`, `code` being the bytes just before it."""
    if len(code) < LONGEST_CALL:
        return None
    if code[-5] == CALL_REL32:
        return Call((address + int.from_bytes(code[-4:], "little", signed=True)) & WORD)
    if not any(_indirect(code[-length:]) for length in (2, 3, 4, 6, 7)):
        return None
    if code[-6:-4] == CALL_SLOT:
        displacement = int.from_bytes(code[-4:], "little", signed=True)
        return Call(None, slot=(address + displacement) & WORD)
    if code[-2] == GROUP_5 and CALLED_REGISTER <= code[-1] <= CALLED_REGISTER_LAST:
        number = code[-1] - CALLED_REGISTER + (8 if code[-3] == REX_B else 0)
        return Call(None, register=_PRESERVED.get(number))
    return Call(None)


def jumps(code: bytes, address: int) -> Iterator[int]:
    """The targets of bytes that look like direct jumps in `code`, which begins at `address`.

    Instructions do not mark their beginning, so some of these are no jumps.
    """
    for at in range(len(code) - 1):
        first, second = code[at], code[at + 1]
        end = None
        if first == JMP_REL32:
            end = at + 5
        elif first == TWO_BYTES and JCC_REL32 <= second <= JCC_REL32_LAST:
            end = at + 6
        if end and end <= len(code):
            displacement = int.from_bytes(code[end - 4 : end], "little", signed=True)
            yield (address + end + displacement) & WORD
        if first == JMP_REL8 or JCC_REL8 <= first <= JCC_REL8_LAST:
            yield address + at + 2 + (second - 256 if second >> 7 else second)


def jumps_anywhere(code: bytes) -> bool:
    """Whether bytes look like a jump whose target the code does not show: jmp *%reg, jmp *mem."""
    return _INDIRECT_JUMP.search(code) is not None


def moves_sp(code: bytes) -> bool:
    """Whether a function may move SP by an amount that its prologue does not show."""
    return _MOVES_SP.search(code) is not None


def _indirect(instruction: bytes) -> bool:
    """Whether these bytes are exactly one `call *…` (FF /2)."""
    first = instruction[0]
    at = 1 if REX <= first <= REX_LAST or first in {NOTRACK, ADDRESS_32} else 0
    if instruction[at] != GROUP_5 or len(instruction) < at + 2:
        return False
    mod_rm = instruction[at + 1]
    if mod_rm >> 3 & 7 != CALL_IN_GROUP_5:
        return False
    return at + 2 + _operand_size(mod_rm >> 6, mod_rm & 7) == len(instruction)


def _operand_size(mode: int, base: int) -> int:
    """How many bytes follow a ModRM byte: a SIB byte and a displacement."""
    sib = int(mode != REGISTER_MODE and base == HAS_SIB)
    if mode == WORD_MODE or (not mode and base == RIP_RELATIVE):
        return sib + 4
    return sib + (mode == BYTE_MODE)


def stub_slot(code: bytes, address: int) -> int | None:
    """The address of the word from which a PLT stub at `address` takes its target."""
    at = len(ENDBR64) if code.startswith(ENDBR64) else 0
    at += code[at : at + 1] == BND
    if len(code) < at + 6 or code[at : at + 2] != JMP_SLOT:
        return None
    return (address + at + 6 + int.from_bytes(code[at + 2 : at + 6], "little", signed=True)) & WORD


def sets_frame_pointer(code: bytes) -> bool:
    """Whether the beginning of a function keeps rbp as frame pointer."""
    return any(PUSH_RBP + move in code for move in MOV_RSP_RBP)


def frame_size(code: bytes, saved: int) -> tuple[int, int]:
    """How far SP is below the CFA in a function with a frame pointer, and how much more it may be.

    The prologue is `push rbp; mov rbp,rsp; push …; and rsp,-A; sub rsp,N`, with other instructions
    in between; the last two may be missing. `saved` is the depth of the registers that it pushes,
    as the unwind data has it; `code` is the beginning of the function. An alignment moves SP by
    less than A. What this finds must be confirmed: the bytes may be part of other instructions.
    """
    aligned, reserved = _AND_RSP.search(code), _SUB_RSP.search(code)
    more = max(248 - aligned[1][0], 0) if aligned else 0
    size = int.from_bytes(reserved[1] or reserved[2], "little") if reserved else 0
    return saved + size, more
