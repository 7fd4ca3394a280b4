"""Offsets of the fields of Ruby that lead to the frames of a thread, by minor version of Ruby 3.

Sources: vm_core.h, thread_pthread.h, iseq.h and include/ruby/internal/core/rstring.h of each
version.
"""

from __future__ import annotations

from typing import NamedTuple

GLIBC_TID = 720  # struct pthread of glibc on x86_64


class Layout(NamedTuple):
    """Offsets and sizes in bytes.

    `native` is where a thread has what holds its kernel number (`tid` there); None if the thread
    itself holds that. `described` is where a body has its table of lines, `entry` the size of a row
    of it. `embedded`: the length of a short text is in its flags. `part`: a part of a function (a
    rescue, an eval) is called as the whole, which a body has there; None where it has a name.
    """

    context: int
    native: int | None
    tid: int
    frame: int
    described: int
    entry: int
    embedded: bool
    part: int | None = None


LAYOUTS = {
    0: Layout(40, 80, GLIBC_TID, 56, 120, 8, embedded=True),
    1: Layout(40, None, 88, 64, 120, 12, embedded=True),
    2: Layout(48, 40, 16, 64, 112, 12, embedded=False),
    3: Layout(48, 40, 24, 56, 112, 12, embedded=False),
    4: Layout(48, 40, 24, 56, 112, 12, embedded=False, part=160),
}
