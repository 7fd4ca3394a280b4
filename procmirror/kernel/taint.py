"""The reasons for which a kernel is tainted, by bit, with the letter that a stack trace shows.

Source: Documentation/admin-guide/tainted-kernels.rst, include/linux/panic.h.
"""

from __future__ import annotations

TAINTS = (
    ("P", "a proprietary module was loaded"),
    ("F", "a module was loaded by force"),
    ("S", "the processor or its configuration is outside the specification"),
    ("R", "a module was unloaded by force"),
    ("M", "the processor reported a machine check"),
    ("B", "a page was released in a bad state"),
    ("U", "a program in user space asked for it"),
    ("D", "the kernel died recently: an oops or a BUG"),
    ("A", "an ACPI table was overridden"),
    ("W", "the kernel issued a warning"),
    ("C", "a staging driver was loaded"),
    ("I", "the kernel works around a severe fault of the firmware"),
    ("O", "a module from outside the kernel's source was loaded"),
    ("E", "a module without a valid signature was loaded"),
    ("L", "a soft lockup happened"),
    ("K", "the kernel was patched while it ran"),
    ("X", "the distribution defines this reason"),
    ("T", "the kernel was built with the struct randomization plugin"),
    ("N", "an in-kernel test was run"),
    ("J", "user space changed the memory of a device"),
)


def reasons(mask: int) -> list[str]:
    """The reasons in a mask such as that of kernel.tainted, in the order of their bits."""
    known = [
        f"{letter}: {reason}" for bit, (letter, reason) in enumerate(TAINTS) if mask >> bit & 1
    ]
    rest = mask >> len(TAINTS) << len(TAINTS)
    return [*known, hex(rest)] if rest else known
