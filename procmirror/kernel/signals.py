"""The names of signals by number: include/uapi/asm-generic/signal.h.

MIPS, SPARC, Alpha and PA-RISC number some differently.

The kernel calls 32 and up real-time. The C library keeps the first for itself; glibc's SIGRTMIN is
34, and its names are the ones kill(1) knows, so 32 and 33 have a number for a name.
"""

from __future__ import annotations

from functools import lru_cache

_CLASSIC = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ "
    "VTALRM PROF WINCH IO PWR SYS 32 33 RTMIN"
)
NAMES: dict[int, str] = (
    {number: f"SIG{name}" for number, name in enumerate(_CLASSIC.split(), 1)}
    | {number: f"SIGRTMIN+{number - 34}" for number in range(35, 64)}
    | {64: "SIGRTMAX"}
)


def name(number: int) -> str:
    """`SIGTERM` for 15; a number without a name as itself."""
    return NAMES.get(number) or str(number)


@lru_cache(maxsize=4096)
def names(mask: int) -> tuple[str, ...]:
    """The signals of a mask, whose bit 0 is signal 1; a bit without a name as `0x…`."""
    if mask >> 128:
        raise ValueError("no kernel has more than 128 signals")
    return tuple(
        NAMES.get(bit + 1) or hex(1 << bit) for bit in range(mask.bit_length()) if mask >> bit & 1
    )
