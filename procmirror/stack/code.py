"""x86_64 machine code, as much of it as proves a return address.

Sources: Intel SDM, volume 2, CALL; System V ABI for x86_64, procedure linkage table.
"""

from __future__ import annotations

from typing import NamedTuple

WORD = (1 << 64) - 1
LONGEST_CALL = 7
PROLOGUE = 64
STUB = 16
ENDBR64 = b"\xf3\x0f\x1e\xfa"


class Call(NamedTuple):
    """A CALL instruction; `target` is None if it calls through a register or memory."""

    target: int | None


def call_before(code: bytes, address: int) -> Call | None:
    """The CALL that ends at `address`, `code` being the bytes just before it."""
    if len(code) < LONGEST_CALL:
        return None
    if code[-5] == 0xE8:
        return Call((address + int.from_bytes(code[-4:], "little", signed=True)) & WORD)
    return Call(None) if any(_indirect(code[-length:]) for length in (2, 3, 4, 6, 7)) else None


def _indirect(instruction: bytes) -> bool:
    """Whether these bytes are exactly one `call *…` (FF /2)."""
    at = 1 if 0x40 <= instruction[0] <= 0x4F or instruction[0] in {0x3E, 0x67} else 0
    if instruction[at] != 0xFF or len(instruction) < at + 2:
        return False
    mode, extension, base = (
        instruction[at + 1] >> 6,
        instruction[at + 1] >> 3 & 7,
        instruction[at + 1] & 7,
    )
    if extension != 2:
        return False
    length = at + 2
    if mode != 3 and base == 4:
        length += 1
    if (mode == 0 and base == 5) or mode == 2:
        length += 4
    elif mode == 1:
        length += 1
    return length == len(instruction)


def stub_slot(code: bytes, address: int) -> int | None:
    """Where a PLT stub at `address` keeps the address that it jumps to."""
    at = 4 if code.startswith(ENDBR64) else 0
    at += code[at : at + 1] == b"\xf2"
    if len(code) < at + 6 or code[at : at + 2] != b"\xff\x25":
        return None
    return (address + at + 6 + int.from_bytes(code[at + 2 : at + 6], "little", signed=True)) & WORD


def frame_size(code: bytes) -> int | None:
    """How far SP is below the CFA after the prologue `push rbp; mov rbp,rsp; push …; sub rsp,N`.

    `code` is the function up to the instruction asked about. A few moves between registers may be
    scheduled in between.
    """
    at = 4 if code.startswith(ENDBR64) else 0
    if code[at : at + 1] != b"\x55" or code[at + 1 : at + 4] not in {
        b"\x48\x89\xe5",
        b"\x48\x8b\xec",
    }:
        return None
    at, size = at + 4, 16
    for _ in range(24):
        piece = code[at : at + 7].ljust(7, b"\0")
        if 0x50 <= piece[0] <= 0x57:
            size, at = size + 8, at + 1
        elif piece[0] == 0x41 and 0x50 <= piece[1] <= 0x57:
            size, at = size + 8, at + 2
        elif piece[:3] == b"\x48\x83\xec":
            return size + piece[3]
        elif piece[:3] == b"\x48\x81\xec":
            return size + int.from_bytes(piece[3:7], "little")
        elif piece[0] in {0x48, 0x49, 0x4C} and piece[1] == 0x89 and piece[2] >> 6 == 3:
            at += 3
        elif (piece[0] == 0x89 and piece[1] >> 6 == 3) or piece[:2] == b"\x31\xc0":
            at += 2
        else:
            break
    return size
