"""The flags of open(2), which fdinfo shows too.

Include/uapi/asm-generic/fcntl.h and what arm and arm64 number otherwise.

O_SYNC and O_TMPFILE are two bits each, of which one alone is another flag: O_DSYNC and O_DIRECTORY.
"""

from __future__ import annotations

from functools import lru_cache

ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
# In the order in which they are tried: the flags of two bits come before their halves.
_GENERIC = {
    "O_SYNC": 0o4010000,
    "O_TMPFILE": 0o20200000,
    "O_CREAT": 0o100,
    "O_EXCL": 0o200,
    "O_NOCTTY": 0o400,
    "O_TRUNC": 0o1000,
    "O_APPEND": 0o2000,
    "O_NONBLOCK": 0o4000,
    "O_DSYNC": 0o10000,
    "O_ASYNC": 0o20000,
    "O_DIRECT": 0o40000,
    "O_LARGEFILE": 0o100000,
    "O_DIRECTORY": 0o200000,
    "O_NOFOLLOW": 0o400000,
    "O_NOATIME": 0o1000000,
    "O_CLOEXEC": 0o2000000,
    "O_PATH": 0o10000000,
}
# arch/arm64/include/uapi/asm/fcntl.h, the same for arm.
_ARM = _GENERIC | {
    "O_TMPFILE": 0o20040000,
    "O_DIRECTORY": 0o40000,
    "O_NOFOLLOW": 0o100000,
    "O_DIRECT": 0o200000,
    "O_LARGEFILE": 0o400000,
}


def names(flags: int, architecture: str = "x86_64") -> list[str]:
    """The access mode and the flags that are set; a bit without a name as `0x…`."""
    return [*_named(flags, architecture)]


@lru_cache(256)
def _named(flags: int, architecture: str) -> tuple[str, ...]:
    found = [ACCESS[flags & 3]]
    rest = flags & ~3
    for name, bits in (_ARM if architecture.startswith(("arm", "aarch64")) else _GENERIC).items():
        if rest & bits == bits:
            found.append(name)
            rest &= ~bits
    return (*found, hex(rest)) if rest else tuple(found)
