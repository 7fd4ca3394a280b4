"""/proc/filesystems: the types of file systems that the kernel knows now.

Source: proc_filesystems(5), fs/filesystems.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Filesystem(Record, frozen=True):
    """One type."""

    name: Annotated[str, doc("Its name, as mount(8) takes it")]
    nodev: Annotated[bool, doc("Needs no block device")]


def decode(raw: bytes, _: Machine) -> list[Filesystem]:
    """The types in the order in which mount(8) tries them."""
    return rows(raw, _filesystem)


def _filesystem(line: bytes) -> Filesystem:
    nodev, tab, name = line.partition(b"\t")
    if not tab:  # an editor may have made the tab to blanks
        nodev, _, name = line.rpartition(b" ")
    if nodev.strip() not in {b"", b"nodev"}:
        raise expected("NAME or nodev NAME", line)
    return Filesystem(decoded(name), nodev.strip() == b"nodev")
