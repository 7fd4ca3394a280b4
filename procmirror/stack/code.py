"""x86_64 machine code, as much of it as proves a return address.

Sources: Intel SDM, volume 2, CALL, JMP, PUSH, MOV, SUB and XOR; System V ABI for x86_64, procedure
linkage table.
"""

from __future__ import annotations

from typing import NamedTuple

WORD = (1 << 64) - 1
LONGEST_CALL = 7
PROLOGUE = 64
STUB = 16
MOST_OF_PROLOGUE = 24  # instructions
ENDBR64 = b"\xf3\x0f\x1e\xfa"  # endbr64
PUSH_RBP = b"\x55"  # push %rbp
MOV_RSP_RBP = {b"\x48\x89\xe5", b"\x48\x8b\xec"}  # mov %rsp,%rbp, in its two encodings
SUB_IMM8_RSP = b"\x48\x83\xec"  # sub $imm8,%rsp
SUB_IMM32_RSP = b"\x48\x81\xec"  # sub $imm32,%rsp
XOR_EAX_EAX = b"\x31\xc0"  # xor %eax,%eax
JMP_SLOT = b"\xff\x25"  # jmp *disp32(%rip)
BND = b"\xf2"  # the prefix bnd of MPX
CALL_REL32 = 0xE8  # call disp32
GROUP_5, CALL_IN_GROUP_5 = 0xFF, 2  # FF /2: call *r/m64
NOTRACK, ADDRESS_32 = 0x3E, 0x67  # the prefixes notrack and addr32
REX, REX_LAST = 0x40, 0x4F
REX_B, REX_W = 0x41, 0x48
PUSH, PUSH_LAST = 0x50, 0x57  # push %rax … push %rdi; with REX.B push %r8 … push %r15
MOV = 0x89  # mov r32/64,r/m32/64
REGISTER_MODE = 3  # ModRM: the operand is a register
BYTE_MODE, WORD_MODE = 1, 2  # ModRM: a displacement of 1 byte, of 4 bytes
HAS_SIB, RIP_RELATIVE = 4, 5  # ModRM: what these bases stand for


class Call(NamedTuple):
    """A CALL instruction; `target` is None if it calls through a register or memory."""

    target: int | None


def call_before(code: bytes, address: int) -> Call | None:
    """The CALL that ends at `address`, `code` being the bytes just before it."""
    if len(code) < LONGEST_CALL:
        return None
    if code[-5] == CALL_REL32:
        return Call((address + int.from_bytes(code[-4:], "little", signed=True)) & WORD)
    return Call(None) if any(_indirect(code[-length:]) for length in (2, 3, 4, 6, 7)) else None


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
    """Where a PLT stub at `address` keeps the address that it jumps to."""
    at = len(ENDBR64) if code.startswith(ENDBR64) else 0
    at += code[at : at + 1] == BND
    if len(code) < at + 6 or code[at : at + 2] != JMP_SLOT:
        return None
    return (address + at + 6 + int.from_bytes(code[at + 2 : at + 6], "little", signed=True)) & WORD


def frame_size(code: bytes) -> int | None:
    """How far SP is below the CFA after the prologue `push rbp; mov rbp,rsp; push …; sub rsp,N`.

    `code` is the function up to the instruction asked about. A few moves between registers may be
    scheduled in between.
    """
    at = len(ENDBR64) if code.startswith(ENDBR64) else 0
    if code[at : at + 1] != PUSH_RBP or code[at + 1 : at + 4] not in MOV_RSP_RBP:
        return None
    at, size = at + 4, 16
    for _ in range(MOST_OF_PROLOGUE):
        piece = code[at : at + 7].ljust(7, b"\0")
        if piece[:3] == SUB_IMM8_RSP:
            return size + piece[3]
        if piece[:3] == SUB_IMM32_RSP:
            return size + int.from_bytes(piece[3:7], "little")
        if length := _push(piece):
            size += 8
        elif not (length := _register_move(piece)):
            break
        at += length
    return size


def _push(piece: bytes) -> int:
    """The length of a `push` of a register; 0 for another instruction."""
    if PUSH <= piece[0] <= PUSH_LAST:
        return 1
    return 2 if piece[0] == REX_B and PUSH <= piece[1] <= PUSH_LAST else 0


def _register_move(piece: bytes) -> int:
    """The length of a `mov` between registers or of `xor %eax,%eax`; 0 for another instruction."""
    if piece[0] in {REX_W, 0x49, 0x4C} and piece[1] == MOV and piece[2] >> 6 == REGISTER_MODE:
        return 3
    if (piece[0] == MOV and piece[1] >> 6 == REGISTER_MODE) or piece[:2] == XOR_EAX_EAX:
        return 2
    return 0
