"""/proc/mtrr: the memory type range registers of x86.

Source: Documentation/arch/x86/mtrr.rst, arch/x86/kernel/cpu/mtrr/if.c.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

LINE = re.compile(
    rb"reg(\d+): base=0x([0-9a-f]+) \( *\d+MB\), size= *(\d+)([KMG]B), count=(\d+): (.*)"
)
UNITS = {b"KB": 1 << 10, b"MB": 1 << 20, b"GB": 1 << 30}


class Register(Record, frozen=True):
    """One register in use."""

    register: Annotated[int, doc("Its number")]
    base: Annotated[str, doc("First address of its range")]
    size: Annotated[int, doc("Size of its range", "bytes")]
    count: Annotated[int, doc("How often it was asked for")]
    type: Annotated[
        str, doc("write-back, uncachable, write-combining, write-through or write-protect")
    ]


def decode(raw: bytes, _: Machine) -> list[Register]:
    """One register a line."""
    return rows(raw, _register)


def _register(line: bytes) -> Register:
    match = matched(LINE, line, "regN: base=… size=… count=…: TYPE")
    number, base, size, unit, count, kind = match.groups()
    return Register(
        int(number), hex(hexadecimal(base)), int(size) * UNITS[unit], int(count), decoded(kind)
    )
