"""/proc/fb: the frame buffers (proc_fb(5), drivers/video/fbdev/core/fb_procfs.c)."""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Framebuffer(Record, frozen=True):
    """One frame buffer."""

    node: Annotated[int, doc("Its number, as in /dev/fb0")]
    name: Annotated[str, doc("The driver's name for it")]


def decode(raw: bytes, _: Machine) -> list[Framebuffer]:
    """The frame buffers, one a line."""
    return rows(raw, _framebuffer)


def _framebuffer(line: bytes) -> Framebuffer:
    node, _, name = line.partition(b" ")
    return Framebuffer(int(node), decoded(name))
