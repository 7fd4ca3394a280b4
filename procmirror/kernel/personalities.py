"""Execution domains and the bits above them: include/uapi/linux/personality.h."""

from __future__ import annotations

# The low byte; 6 is SunOS as well, and 3 is OSR5 with another bit set.
DOMAINS: dict[int, str] = {
    0x00: "PER_LINUX",
    0x01: "PER_SVR4",
    0x02: "PER_SVR3",
    0x03: "PER_SCOSVR3",
    0x04: "PER_WYSEV386",
    0x05: "PER_ISCR4",
    0x06: "PER_BSD",
    0x07: "PER_XENIX",
    0x08: "PER_LINUX32",
    0x09: "PER_IRIX32",
    0x0A: "PER_IRIXN32",
    0x0B: "PER_IRIX64",
    0x0C: "PER_RISCOS",
    0x0D: "PER_SOLARIS",
    0x0E: "PER_UW7",
    0x0F: "PER_OSF4",
    0x10: "PER_HPUX",
}
FLAGS: dict[int, str] = {
    0x0020000: "UNAME26",
    0x0040000: "ADDR_NO_RANDOMIZE",
    0x0080000: "FDPIC_FUNCPTRS",
    0x0100000: "MMAP_PAGE_ZERO",
    0x0200000: "ADDR_COMPAT_LAYOUT",
    0x0400000: "READ_IMPLIES_EXEC",
    0x0800000: "ADDR_LIMIT_32BIT",
    0x1000000: "SHORT_INODE",
    0x2000000: "WHOLE_SECONDS",
    0x4000000: "STICKY_TIMEOUTS",
    0x8000000: "ADDR_LIMIT_3GB",
}
