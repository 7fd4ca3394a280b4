"""DWARF expressions, as far as call frame information uses them.

Source: DWARF 5, 2.5; System V ABI for x86_64, 3.7.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from procmirror.stack import dwarf

WORD = (1 << 64) - 1
MOST_STEPS = 200
MOST_HELD = 64


def unsigned(raw: bytes, at: int) -> tuple[int, int]:
    """The ULEB128 number at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 70:
            raise ValueError("a LEB128 number of more than 64 bits")


def signed(raw: bytes, at: int) -> tuple[int, int]:
    """The SLEB128 number at `at`, and where it ends."""
    value, end = unsigned(raw, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if raw[end - 1] & 64 else value), end


def _as_signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _compared(compare: Callable[[int, int], bool]) -> Callable[[int, int], int]:
    return lambda left, right: int(compare(_as_signed(left), _as_signed(right)))


_BINARY: dict[int, Callable[[int, int], int]] = {
    dwarf.DW_OP_and: operator.and_,
    dwarf.DW_OP_minus: operator.sub,
    dwarf.DW_OP_mul: operator.mul,
    dwarf.DW_OP_or: operator.or_,
    dwarf.DW_OP_plus: operator.add,
    dwarf.DW_OP_shl: lambda left, right: left << right if right < 64 else 0,
    dwarf.DW_OP_shr: lambda left, right: left >> right if right < 64 else 0,
    dwarf.DW_OP_shra: lambda left, right: _as_signed(left) >> min(right, 63),
    dwarf.DW_OP_xor: operator.xor,
    dwarf.DW_OP_eq: _compared(operator.eq),
    dwarf.DW_OP_ge: _compared(operator.ge),
    dwarf.DW_OP_gt: _compared(operator.gt),
    dwarf.DW_OP_le: _compared(operator.le),
    dwarf.DW_OP_lt: _compared(operator.lt),
    dwarf.DW_OP_ne: _compared(operator.ne),
}
# Constants of a fixed size: bytes, and whether they are signed.
_FIXED = {
    dwarf.DW_OP_const1u: (1, False),
    dwarf.DW_OP_const1s: (1, True),
    dwarf.DW_OP_const2u: (2, False),
    dwarf.DW_OP_const2s: (2, True),
    dwarf.DW_OP_const4u: (4, False),
    dwarf.DW_OP_const4s: (4, True),
    dwarf.DW_OP_const8u: (8, False),
    dwarf.DW_OP_const8s: (8, True),
}


def _constant(operation: int, program: bytes, at: int) -> tuple[int, int]:
    """The number that an operation pushes, and where the next one begins."""
    if dwarf.DW_OP_lit0 <= operation <= dwarf.DW_OP_lit31:
        return operation - dwarf.DW_OP_lit0, at
    if operation in _FIXED:
        size, negative = _FIXED[operation]
        return int.from_bytes(program[at : at + size], "little", signed=negative), at + size
    if operation == dwarf.DW_OP_constu:
        return unsigned(program, at)
    if operation == dwarf.DW_OP_consts:
        return signed(program, at)
    raise ValueError(f"operation {operation:#x} in an expression")


def evaluate(
    program: bytes,
    registers: Mapping[int, int],
    word: Callable[[int], int | None],
    initial: int | None = None,
) -> int | None:
    """The value of `program`; None where a register or a word of memory that it needs is unknown.

    Raises ValueError or IndexError for a program that no compiler wrote.
    """
    held: list[int] = [] if initial is None else [initial]
    at = steps = 0
    while at < len(program):
        steps += 1
        if steps > MOST_STEPS or len(held) > MOST_HELD:
            raise ValueError("an expression with too many steps or values")
        operation = program[at]
        at += 1
        value: int | None
        if dwarf.DW_OP_breg0 <= operation <= dwarf.DW_OP_breg31:
            offset, at = signed(program, at)
            register = registers.get(operation - dwarf.DW_OP_breg0)
            value = None if register is None else register + offset
        elif operation == dwarf.DW_OP_deref:
            value = word(held.pop())
        else:
            value, at = _computed(operation, program, at, held)
        if value is None:
            return None
        held.append(value & WORD)
    return held[-1]


def _computed(operation: int, program: bytes, at: int, held: list[int]) -> tuple[int, int]:
    """The value of an operation on the values that are held, and where the next one begins."""
    if operation in _BINARY:
        right = held.pop()
        return _BINARY[operation](held.pop(), right), at
    if operation == dwarf.DW_OP_dup:
        return held[-1], at
    if operation == dwarf.DW_OP_plus_uconst:
        more, at = unsigned(program, at)
        return held.pop() + more, at
    return _constant(operation, program, at)
