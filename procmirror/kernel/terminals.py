"""Names of terminals by the number of their device: Documentation/admin-guide/devices.txt."""

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


def name(major: int, minor: int) -> str | None:
    """The name below /dev: `pts/0`, `tty1`, `console`; None for one of another driver."""
    if (major, minor) == (5, 1):
        return "console"
    for number, first, end, prefix in _RANGES:
        if major == number and first <= minor < end:
            return f"{prefix}{minor - first}"
    return None
