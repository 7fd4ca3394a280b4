"""/proc/devices: the drivers behind the major numbers (proc_devices(5), fs/proc/devices.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from procmirror.decoding.shapes import lines
from procmirror.decoding.table import pieces
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Device(Record, frozen=True):
    """One number; several drivers may share it."""

    kind: Annotated[str, doc("character or block")]
    major: Annotated[int, doc("The major number")]
    name: Annotated[str, doc("What the driver calls itself")]


def decode(raw: bytes, _: Machine) -> list[Device]:
    """Both groups of lines as one table."""
    kind = ""

    def device(line: bytes) -> Device:
        major, name = line.split(None, 1)
        return Device(kind, int(major), decoded(name))

    def numbered() -> Iterator[tuple[int, bytes]]:
        nonlocal kind
        for at, line in enumerate(lines(raw), 1):
            if line.strip() and not line.split()[0].isdigit():
                kind = decoded(line).split()[0].lower()
                if not line.endswith(b" devices:"):
                    yield at, line
            else:
                yield at, line

    return pieces(numbered(), device)
