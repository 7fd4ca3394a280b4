"""/proc/iomem and /proc/ioports: who has which addresses.

Source: proc_iomem(5), proc_ioports(5), r_show in kernel/resource.c.

Indented by two blanks for what lies inside of the line above. Requesters without CAP_SYS_ADMIN see
every address as 0.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

LINE = re.compile(r"((?:  )*)([0-9a-f]+)-([0-9a-f]+) : (.*)", re.DOTALL)


class Resource(Record, frozen=True):
    """One range."""

    level: Annotated[
        int, doc("0 at the top; otherwise it lies in the nearest range before with a lower level")
    ]
    start: Annotated[str | None, doc("First address; null where the kernel hides it")]
    end: Annotated[str | None, doc("Last address; null where the kernel hides it")]
    size: Annotated[
        int | None,
        doc("Its size; null where the kernel hides it, and for all addresses of 64 bits", "bytes"),
    ]
    name: Annotated[str, doc("Who has it")]


def decode(raw: bytes, _: Machine) -> list[Resource]:
    """The ranges in their order."""
    found = rows(raw, lambda line: _parts(decoded(line)))
    hidden = not any(end for _, _, end, _ in found)
    return found.as_records(lambda parts: _resource(*parts, hidden=hidden))


def _resource(level: int, start: int, end: int, name: str, *, hidden: bool) -> Resource:
    if hidden:
        return Resource(level, None, None, None, name)
    size = end - start + 1
    return Resource(level, hex(start), hex(end), None if size >> 64 else size, name)


def _parts(line: str) -> tuple[int, int, int, str]:
    match = matched(LINE, line, "START-END : NAME")
    return len(match[1]) // 2, hexadecimal(match[2]), hexadecimal(match[3]), match[4]
