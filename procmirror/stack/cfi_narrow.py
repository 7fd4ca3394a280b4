"""Call frame information of 32-bit x86 in the numbers of x86_64.

Its registers have other numbers (eax, ecx, edx, ebx, esp, ebp, esi, edi, and 8 for the return
address). The rest of the unwinder knows those of x86_64: ebx, esp and ebp are rbx, rsp and rbp
there; esi and edi, which a function preserves, are r12 and r13. Source: System V ABI for i386, 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping

from procmirror.stack.cfi_program import Row

NUMBERS = (0, 2, 1, 3, 7, 6, 12, 13, 16)
# The arguments of a system call are still in their registers: ebx, ecx, edx, esi, edi, ebp.
ARGUMENTS = (3, 2, 1, 12, 13, 6)


def _number(register: int) -> int:
    return NUMBERS[register] if 0 <= register < len(NUMBERS) else -1


def narrow_row(row: Row) -> Row:
    """The rules with the numbers of x86_64, except for those inside of expressions."""
    rules = {
        _number(register): rule._replace(value=_number(rule.value))
        if rule.kind == "register"
        else rule
        for register, rule in row.rules.items()
    }
    rules.pop(-1, None)
    return row._replace(
        register=_number(row.register),
        rules=rules,
        return_register=_number(row.return_register),
        narrow=True,
    )


def as_written(known: Mapping[int, int]) -> dict[int, int]:
    """Known registers by the numbers that expressions of 32-bit programs use."""
    return {at: known[number] for at, number in enumerate(NUMBERS) if number in known}
