r"""/proc/PID/maps: the memory mappings of a process.

Source: proc_pid_maps(5), show_map_vma in fs/proc/task_mmu.c.

Five columns and, for some, a name. The kernel pads the name and escapes nothing in it but a newline
(`\012`), so blanks belong to it and another backslash is one. ` (deleted)` after a path is the
kernel's mark and could be the end of a real name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Protocol

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import number
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Machine, Record, doc

_LINE = re.compile(r"^([0-9a-f]{1,16}+)-([0-9a-f]{1,16}+) (.++)", re.MULTILINE)
_REST = re.compile(
    r"([-rwxsp]+) ([0-9a-f]{1,16}) ([0-9a-f]{1,8}):([0-9a-f]{1,8}) ([0-9]{1,19})(?: +(.*)|)"
)


# The kernel's mark behind the name of a file that has been deleted (d_path).
DELETED = " (deleted)"


class Mapping(Record, frozen=True, gc=False):
    """One mapping."""

    start: Annotated[str, doc("First address")]
    end: Annotated[str, doc("The address after the last")]
    size: Annotated[int, doc("Length", "bytes")]
    perms: Annotated[str, doc("`r`ead, `w`rite, e`x`ecute or `-`, then `p`rivate or `s`hared")]
    offset: Annotated[int, doc("Where in the file it begins", "bytes")]
    device: Annotated[str, doc("Device of the file, major:minor")]
    inode: Annotated[int, doc("Inode of the file; 0 for none")]
    pathname: Annotated[
        str | None,
        doc("Path without the mark of deletion, or the kernel's name in brackets; null for none"),
    ]
    deleted: Annotated[bool, doc("The kernel marks the file as deleted")]


class Named(Protocol):
    """What has the name of a mapping."""

    @property
    def pathname(self) -> str | None:
        """The path without the mark of deletion."""

    @property
    def deleted(self) -> bool | None:
        """Whether the kernel marks the file as deleted."""


def name(one: Named) -> str:
    """The name for a line of text: with the kernel's mark where the file is deleted."""
    return (one.pathname or "") + (DELETED if one.deleted else "")


@lru_cache(4096)
def _rest(columns: str) -> tuple[str, int, str, int, str | None, bool]:
    """What stands after the addresses.

    Kept, because every process maps the same libraries in the same way.
    """
    match = matched(_REST, columns, "PERMS OFFSET DEVICE INODE PATH")
    perms, offset, major, minor, inode, name = match.groups("")
    path = name.removesuffix(DELETED).replace("\\012", "\n") or None
    return (
        perms,
        int(offset, 16),
        f"{int(major, 16)}:{int(minor, 16)}",
        number(inode),
        path,
        name.endswith(DELETED),
    )


def mappings(text: str) -> list[Mapping]:
    """The mappings of some lines."""
    rows = _LINE.findall(text)
    if len(rows) != text.count("\n") or (text and not text.endswith("\n")):
        raise expected("lines START-END PERMS OFFSET DEVICE INODE PATH", text)
    return [
        Mapping("0x" + start, "0x" + end, int(end, 16) - int(start, 16), *_rest(rest))
        for start, end, rest in rows
    ]


def decode(raw: bytes, _: Machine) -> list[Mapping]:
    """The mappings in the order of their addresses."""
    try:
        return mappings(decoded(raw))
    except ValueError:  # one by one, so that a line that is none takes no other
        return rows(raw, lambda line: mappings(decoded(line) + "\n")[0])


def text(found: Iterable[Mapping], _: Machine) -> str:
    """One mapping a line, by address."""
    cells = [
        (one.start, one.end, size(one.size), one.perms, f"{one.offset:#x}", name(one))
        for one in found
    ]
    return columns(cells, ("START", "END", "SIZE", "PERMS", "OFFSET", "NAME"), right=(2, 4))
