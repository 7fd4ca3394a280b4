"""The table of lines of a sequence of Ruby's instructions, which says where each row of it begins.

Source: `succ_index_lookup` and `get_insn_info` in iseq.c of Ruby 3.0 to 3.4.
"""

from __future__ import annotations

from procmirror.stack.checked_memory import CheckedMemory, ContradictionError

_IMMEDIATE = 54  # instructions whose rows stand in six words, nine of seven bits in each
_IN_WORD, _BITS = 9, 7
_BLOCKS = 6 * 8
_IN_BLOCK = 512
_BLOCK = 4 + 4 + 8 + 64  # rank, padding, ranks of nine bits, one bit an instruction
MOST_ROWS = 1 << 20
MOST_POSITION = 1 << 24


def row(memory: CheckedMemory, table: int, position: int) -> int:
    """The number of the row, from 1 on, that an instruction belongs to."""
    if not 0 <= position < MOST_POSITION:
        raise ContradictionError("an instruction outside its function")
    if position < _IMMEDIATE:
        word = memory.word(table + 8 * (position // _IN_WORD))
        return word >> position % _IN_WORD * _BITS & 0x7F
    block, bit = divmod(position - _IMMEDIATE, _IN_BLOCK)
    at = table + _BLOCKS + block * _BLOCK
    small, last = divmod(bit, 64)
    before = memory.word(at + 8) >> (small - 1) * 9 & 0x1FF if small else 0
    here = memory.word(at + 16 + 8 * small) & ((2 << last) - 1)
    return memory.half(at) + before + here.bit_count()


def line(memory: CheckedMemory, described: int, entry: int, position: int) -> int | None:
    """The line of an instruction by the table at `described`, whose rows have `entry` bytes."""
    rows, _, count, table = memory.words(described, 4)
    count &= 0xFFFFFFFF
    if not count:
        return None
    number = row(memory, table, position) if count > 1 else 1
    if not 1 <= number <= min(count, MOST_ROWS):
        raise ContradictionError("a row outside the table of lines")
    return memory.half(rows + (number - 1) * entry)
