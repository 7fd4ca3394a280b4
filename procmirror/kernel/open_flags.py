"""The flags of open(2), which fdinfo shows too.

Source: include/uapi/asm-generic/fcntl.h, and uapi/asm/fcntl.h of the architectures that number some
otherwise.

O_SYNC and O_TMPFILE are two bits each, of which one alone is another flag: O_DSYNC and O_DIRECTORY.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
_GENERIC = {
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
# The bits that the kernel calls __O_SYNC and __O_TMPFILE.
_SYNC, _TMPFILE = 0o4000000, 0o20000000
_Flags = Mapping[str, int]


def _flags(sync: int = _SYNC, tmpfile: int = _TMPFILE, **others: int) -> _Flags:
    """The flags of an architecture, with those that it numbers otherwise.

    They are in the order in which they are tried: those of two bits come before their halves.
    """
    bits = _GENERIC | others
    pairs = {"O_SYNC": sync | bits["O_DSYNC"], "O_TMPFILE": tmpfile | bits["O_DIRECTORY"]}
    return pairs | bits


_EVERYWHERE = _flags()
_ARM = _flags(O_DIRECTORY=0o40000, O_NOFOLLOW=0o100000, O_DIRECT=0o200000, O_LARGEFILE=0o400000)
_POWERPC = _flags(O_DIRECTORY=0o40000, O_NOFOLLOW=0o100000, O_LARGEFILE=0o200000, O_DIRECT=0o400000)
_MIPS = _flags(
    sync=0x4000,
    O_APPEND=0x8,
    O_DSYNC=0x10,
    O_NONBLOCK=0x80,
    O_CREAT=0x100,
    O_TRUNC=0x200,
    O_EXCL=0x400,
    O_NOCTTY=0x800,
    O_ASYNC=0x1000,
    O_LARGEFILE=0x2000,
    O_DIRECT=0x8000,
)
_SPARC = _flags(
    sync=0x800000,
    tmpfile=0x2000000,
    O_APPEND=0x8,
    O_ASYNC=0x40,
    O_CREAT=0x200,
    O_TRUNC=0x400,
    O_EXCL=0x800,
    O_DSYNC=0x2000,
    O_NONBLOCK=0x4000,
    O_NOCTTY=0x8000,
    O_LARGEFILE=0x40000,
    O_DIRECT=0x100000,
    O_NOATIME=0x200000,
    O_CLOEXEC=0x400000,
    O_PATH=0x1000000,
)
_ALPHA = _flags(
    sync=0o20000000,
    tmpfile=0o100000000,
    O_NONBLOCK=0o4,
    O_APPEND=0o10,
    O_CREAT=0o1000,
    O_TRUNC=0o2000,
    O_EXCL=0o4000,
    O_NOCTTY=0o10000,
    O_DSYNC=0o40000,
    O_DIRECTORY=0o100000,
    O_NOFOLLOW=0o200000,
    O_LARGEFILE=0o400000,
    O_DIRECT=0o2000000,
    O_NOATIME=0o4000000,
    O_CLOEXEC=0o10000000,
    O_PATH=0o40000000,
)
_PARISC = _flags(
    sync=1 << 15,
    tmpfile=1 << 23,
    O_APPEND=1 << 3,
    O_NOFOLLOW=1 << 7,
    O_CREAT=1 << 8,
    O_EXCL=1 << 10,
    O_LARGEFILE=1 << 11,
    O_DIRECTORY=1 << 12,
    O_NONBLOCK=1 << 16,
    O_NOCTTY=1 << 17,
    O_DSYNC=1 << 18,
    O_NOATIME=1 << 20,
    O_CLOEXEC=1 << 21,
    O_PATH=1 << 22,
)
# By how the name of the architecture in uname(2) begins.
_ARCHITECTURES: dict[str | tuple[str, ...], _Flags] = {
    ("arm", "aarch64", "m68k"): _ARM,
    "ppc": _POWERPC,
    "mips": _MIPS,
    "sparc": _SPARC,
    "alpha": _ALPHA,
    "parisc": _PARISC,
}


@lru_cache(16)
def _of(architecture: str) -> _Flags:
    known = (_ARCHITECTURES[one] for one in _ARCHITECTURES if architecture.startswith(one))
    return next(known, _EVERYWHERE)


def names(flags: int, architecture: str = "x86_64") -> list[str]:
    """The access mode and the flags that are set; a bit without a name as `0x…`."""
    return [*_named(flags, architecture)]


def creates(flags: int, architecture: str = "x86_64") -> bool:
    """Whether open(2) with these flags may make a file, so that its argument `mode` counts."""
    every = _of(architecture)
    return bool(flags & (every["O_CREAT"] | every["O_TMPFILE"] & ~every["O_DIRECTORY"]))


@lru_cache(256)
def _named(flags: int, architecture: str) -> tuple[str, ...]:
    found = [ACCESS[flags & 3]]
    rest = flags & ~3
    for name, bits in _of(architecture).items():
        if rest & bits == bits:
            found.append(name)
            rest &= ~bits
    return (*found, hex(rest)) if rest else tuple(found)
