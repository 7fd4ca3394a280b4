"""What the unwinder knows of a processor: one row for each whose programs it follows.

The unwinder knows frame pointer, stack pointer and return address by DWARF's numbers of x86_64: 6,
7 and 16. The registers of other processors are numbered anew, so that theirs have these numbers:
ebp, esp and eip on 32-bit x86 (esi and edi, which a function preserves, are r12 and r13); x29, sp
and the link register x30 on aarch64, which change places with x6, x7 and x16.

Sources: System V ABI for x86_64, figure 3.36, and for i386, 2.3; DWARF for the Arm 64-bit
Architecture, 4.1; glibc, nptl/descr.h.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from procmirror.stack import code, code_aarch64
from procmirror.stack.code import Call


class Instructions(Protocol):
    """What is asked of machine code."""

    LONGEST_CALL: int
    STUB: int

    def call_before(self, code: bytes, address: int) -> Call | None:
        """The call that ends at `address`, `code` being the bytes just before it."""

    def jumps(self, code: bytes, address: int) -> Iterator[int]:
        """The targets of direct jumps in `code`, which begins at `address`."""

    def jumps_anywhere(self, code: bytes) -> bool:
        """Whether there may be a jump whose target the code does not show."""

    def stub_slot(self, code: bytes, address: int) -> int | None:
        """The address of the word from which a PLT stub at `address` takes its target."""


class Architecture(NamedTuple):
    """One row.

    `numbers` are the unwinder's numbers of the registers by DWARF's; none where they are the same.
    `preserved` are those that a function preserves, `arguments` those of a system call. `linked`: a
    call leaves its return address in a register. `page` is the largest page in bytes, `thread` the
    place of the thread's number in glibc's struct pthread.
    """

    name: str
    instructions: Instructions
    preserved: tuple[int, ...]
    arguments: tuple[int, ...]
    numbers: tuple[int, ...] = ()
    narrow: bool = False
    linked: bool = False
    page: int = 4096
    thread: int = 720

    def number(self, register: int) -> int:
        """The unwinder's number of a register; -1 for one that it does not know."""
        if not self.numbers:
            return register
        return self.numbers[register] if 0 <= register < len(self.numbers) else -1

    def as_written(self, known: Mapping[int, int]) -> Mapping[int, int]:
        """Known registers by DWARF's numbers, which expressions have."""
        if not self.numbers:
            return known
        return {at: known[number] for at, number in enumerate(self.numbers) if number in known}


X86_64 = Architecture("x86_64", code, (3, 6, 12, 13, 14, 15), (5, 4, 1, 10, 8, 9))
I386 = Architecture(
    "i386",
    code,
    X86_64.preserved,
    (3, 2, 1, 12, 13, 6),  # ebx, ecx, edx, esi, edi, ebp
    (0, 2, 1, 3, 7, 6, 12, 13, 16),
    narrow=True,
)
_MOVED = {6: 29, 29: 6, 7: 31, 31: 7, 16: 30, 30: 16}
AARCH64 = Architecture(
    "aarch64",
    code_aarch64,
    (*range(19, 29), 6),
    tuple(range(6)),
    tuple(_MOVED.get(register, register) for register in range(32)),
    linked=True,
    page=65536,
    thread=208,
)
# By e_machine of an ELF file.
ARCHITECTURES = {62: X86_64, 3: I386, 183: AARCH64}
