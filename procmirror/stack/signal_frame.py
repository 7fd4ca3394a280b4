"""The frame of a signal handler on aarch64: what the kernel saved of the code that it interrupted.

The code that a handler returns to has no rules since Linux 5.8, and those before led past the
function that was interrupted. Source: arch/arm64/kernel/signal.c, struct rt_sigframe;
arch/arm64/include/uapi/asm/sigcontext.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procmirror.stack.architecture import AARCH64
from procmirror.stack.code_aarch64 import SIGNAL_RETURN
from procmirror.stack.frames import RSP, Frame

if TYPE_CHECKING:
    from procmirror.stack.process import Process
    from procmirror.stack.unwind import Unwinder

# A siginfo of 128 bytes, a ucontext whose sigcontext is at 176: a fault address, x0 to x30, sp, pc.
_REGISTERS, _PC = 128 + 176 + 8, 128 + 176 + 8 + 32 * 8
_SP = 31


def returns(process: Process, pc: int) -> bool:
    """Whether `pc` is where a signal handler returns to."""
    return process.code(pc, len(SIGNAL_RETURN)) == SIGNAL_RETURN


def interrupted(unwinder: Unwinder, frame: Frame) -> Frame | None:
    """The frame that a signal interrupted; None if `frame` is not where a handler returns to."""
    if not frame.interrupted or not returns(unwinder.process, frame.pc):
        return None
    at, word = frame.registers[RSP], unwinder.memory.word
    registers = {}
    for number in range(_SP + 1):
        if (value := word(at + _REGISTERS + 8 * number)) is not None:
            registers[AARCH64.number(number)] = value
    registers.setdefault(RSP, at)
    return unwinder.checked(frame, word(at + _PC), registers, interrupted=True)
