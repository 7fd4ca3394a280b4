"""Names of terminals by the number of their device.

Source: Documentation/admin-guide/devices.txt; drivers/s390/char for the consoles of s390.
"""

from __future__ import annotations

# The major number, the first minor, one behind the last, and how their names below /dev begin.
_RANGES = (
    (136, 0, 1 << 20, "pts/"),
    (4, 0, 64, "tty"),
    (4, 64, 256, "ttyS"),
    (188, 0, 256, "ttyUSB"),
    (166, 0, 256, "ttyACM"),
    (204, 64, 80, "ttyAMA"),
    (229, 0, 256, "hvc"),
)
# The drivers of s390 for the line mode (sclp_tty) and for 3215 (con3215) share minor 64.
_S390 = (
    *(one for one in _RANGES if one[3] != "ttyS"),
    (4, 65, 66, "ttysclp"),
)


def name(major: int, minor: int, architecture: str = "x86_64") -> str | None:
    """The name below /dev: `pts/0`, `tty1`, `console`.

    None for one of another driver, and for one that two drivers of the architecture may have.
    """
    if (major, minor) == (5, 1):
        return "console"
    for number, first, end, prefix in _S390 if architecture.startswith("s390") else _RANGES:
        if major == number and first <= minor < end:
            return f"{prefix}{minor - first}"
    return None
