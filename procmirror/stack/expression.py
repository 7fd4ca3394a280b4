"""DWARF expressions, as far as call frame information of x86_64 uses them.

Source: DWARF 5, 2.5; System V ABI for x86_64, 3.7.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

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
    0x1A: operator.and_,
    0x1C: operator.sub,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: lambda left, right: left << right if right < 64 else 0,
    0x25: lambda left, right: left >> right if right < 64 else 0,
    0x26: lambda left, right: _as_signed(left) >> min(right, 63),
    0x27: operator.xor,
    0x29: _compared(operator.eq),
    0x2A: _compared(operator.ge),
    0x2B: _compared(operator.gt),
    0x2C: _compared(operator.le),
    0x2D: _compared(operator.lt),
    0x2E: _compared(operator.ne),
}
_FIXED = {
    0x08: (1, False),
    0x09: (1, True),
    0x0A: (2, False),
    0x0B: (2, True),
    0x0C: (4, False),
    0x0D: (4, True),
    0x0E: (8, False),
}


def _constant(operation: int, program: bytes, at: int) -> tuple[int, int]:
    """The number that an operation pushes, and where the next one begins."""
    if 0x30 <= operation <= 0x4F:
        return operation - 0x30, at
    if operation in _FIXED:
        size, negative = _FIXED[operation]
        return int.from_bytes(program[at : at + size], "little", signed=negative), at + size
    if operation == 0x10:
        return unsigned(program, at)
    if operation == 0x11:
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
            raise ValueError("an expression without measure")
        operation = program[at]
        at += 1
        value: int | None
        if 0x70 <= operation <= 0x8F:
            offset, at = signed(program, at)
            register = registers.get(operation - 0x70)
            value = None if register is None else register + offset
        elif operation in _BINARY:
            right = held.pop()
            value = _BINARY[operation](held.pop(), right)
        elif operation == 0x06:
            value = word(held.pop())
        elif operation == 0x12:
            value = held[-1]
        elif operation == 0x23:
            more, at = unsigned(program, at)
            value = held.pop() + more
        else:
            value, at = _constant(operation, program, at)
        if value is None:
            return None
        held.append(value & WORD)
    return held[-1]
