"""One sample of a running thread: its registers and the top of its stack at one moment.

The kernel takes it by a performance event (perf_event_open(2)) the next time a clock of the thread
expires: the thread is neither stopped nor signalled. All registers are known, so the rules lead
from one frame to the next without a search.

Sources: include/uapi/linux/perf_event.h, arch/*/include/uapi/asm/perf_regs.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from procmirror.stack.architecture import AARCH64

# How much of the stack the kernel copies: what one record of at most 65,535 bytes has room for.
STACK_BYTES = 63 << 10
# The thread is sampled when it has run for so long.
PERIOD_NANOSECONDS = 100_000

_PERF_TYPE_SOFTWARE, _PERF_COUNT_SW_TASK_CLOCK = 1, 1
_PERF_SAMPLE_CALLCHAIN = 1 << 5
_PERF_SAMPLE_REGS_USER, _PERF_SAMPLE_STACK_USER = 1 << 12, 1 << 13
_DISABLED, _EXCLUDE_KERNEL, _EXCLUDE_HV, _EXCLUDE_CALLCHAIN_USER = 1 << 0, 1 << 5, 1 << 6, 1 << 22
_ATTR_BYTES = 128
_AT_WAKEUP, _AT_REGS_USER, _AT_STACK_USER = 48, 80, 88
# Markers between the addresses of a call chain (PERF_CONTEXT_*) are the highest numbers.
_CONTEXTS = (1 << 64) - 4095
_ABI_32, _ABI_64 = 1, 2

# The kernel's number of a register, and the unwinder's: ax bx cx dx si di bp sp ip, r8 to r15; and
# x0 to x30, sp, pc.
_PC = -1
_X86_64 = {0: 0, 1: 3, 2: 2, 3: 1, 4: 4, 5: 5, 6: 6, 7: 7, 8: _PC} | {
    16 + n: 8 + n for n in range(8)
}
_AARCH64 = {number: AARCH64.number(number) for number in range(32)} | {32: _PC}
ARCHITECTURES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def attributes(architecture: str, *, kernel: bool) -> bytes:
    """A struct perf_event_attr for one sample of a thread, with its calls in the kernel or without.

    The calls in the kernel need more rights (kernel.perf_event_paranoid).
    """
    sample = _PERF_SAMPLE_REGS_USER | _PERF_SAMPLE_STACK_USER
    flags = _DISABLED | _EXCLUDE_HV
    if kernel:
        sample |= _PERF_SAMPLE_CALLCHAIN
        flags |= _EXCLUDE_CALLCHAIN_USER
    else:
        flags |= _EXCLUDE_KERNEL
    made = bytearray(_ATTR_BYTES)
    struct.pack_into(
        "=IIQQQQQ",
        made,
        0,
        _PERF_TYPE_SOFTWARE,
        _ATTR_BYTES,
        _PERF_COUNT_SW_TASK_CLOCK,
        PERIOD_NANOSECONDS,
        sample,
        0,
        flags,
    )
    struct.pack_into("=I", made, _AT_WAKEUP, 1)
    mask = sum(1 << number for number in ARCHITECTURES[architecture])
    struct.pack_into("=Q", made, _AT_REGS_USER, mask)
    struct.pack_into("=I", made, _AT_STACK_USER, STACK_BYTES)
    return bytes(made)


@dataclass(frozen=True)
class Sample:
    """What one record says: registers by the unwinder's numbers, the stack from its pointer on.

    `kernel` are the addresses of the calls in the kernel, innermost first; None if they were not
    asked for. `wide` is false for a 32-bit program.
    """

    pc: int
    registers: dict[int, int]
    stack: bytes
    kernel: list[int] | None
    wide: bool


def parsed(record: bytes, architecture: str, *, kernel: bool) -> Sample | None:
    """A PERF_RECORD_SAMPLE without its header; None if the thread has no registers of a program.

    Raises struct.error for a record that is cut off, OverflowError for one that tells a size near
    2^63, which no kernel does.
    """
    at, calls = 0, None
    if kernel:
        (count,) = struct.unpack_from("=Q", record, at)
        calls = [*struct.unpack_from(f"={min(count, 1 << 10)}Q", record, at + 8)]
        at += 8 + 8 * count
    (abi,) = struct.unpack_from("=Q", record, at)
    if abi not in {_ABI_32, _ABI_64}:
        return None
    numbers = ARCHITECTURES[architecture]
    values = struct.unpack_from(f"={len(numbers)}Q", record, at + 8)
    registers = {numbers[bit]: value for bit, value in zip(sorted(numbers), values, strict=True)}
    at += 8 + 8 * len(values)
    return Sample(
        registers.pop(_PC),
        registers,
        _stack(record, at),
        None if calls is None else [call for call in calls if call < _CONTEXTS],
        abi == _ABI_64,
    )


def _stack(record: bytes, at: int) -> bytes:
    """The bytes of the stack that the kernel could copy: their count stands behind the space."""
    (size,) = struct.unpack_from("=Q", record, at)
    if not size:
        return b""
    (copied,) = struct.unpack_from("=Q", record, at + 8 + size)
    return record[at + 8 : at + 8 + min(size, copied)]


class SampledMemory:
    """The stack of a sample, as the unwinder reads it. Nothing else is of the same moment."""

    elsewhere = False
    exhausted = False

    def __init__(self, start: int, content: bytes) -> None:
        self._start = start
        self._content = content

    @property
    def copied(self) -> tuple[int, bytes]:
        """Where it begins, and what it holds."""
        return self._start, self._content

    @property
    def end(self) -> int:
        """Where the copy ends."""
        return self._start + len(self._content)

    def word(self, address: int) -> int | None:
        """The eight bytes at `address`, if they are in the copy."""
        at = address - self._start
        if 0 <= at <= len(self._content) - 8:
            return int.from_bytes(self._content[at : at + 8], "little")
        return None
