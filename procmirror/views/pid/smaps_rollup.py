"""/proc/PID/smaps_rollup: the sums of smaps over all mappings, since Linux 4.14.

Source: proc_pid_smaps(5), fs/proc/task_mmu.c.

One block in the shape of smaps, from the first to the last address, named `[rollup]`; it has parts
of Pss that smaps has not.
"""

from __future__ import annotations

from procmirror.decoding.shapes import lines
from procmirror.decoding.text import at_nought, columns, size
from procmirror.decoding.view import Machine
from procmirror.views.pid.smaps import Smap, smap


def decode(raw: bytes, _: Machine) -> Smap:
    """The one block."""
    header, *body = lines(raw)
    return smap(header, body)


def text(rollup: Smap, _: Machine) -> str:
    """What there is any of, one key a line."""
    keys = [key for key in Smap.__struct_fields__ if key[0].isupper()]
    counts = [(key, getattr(rollup, key)) for key in keys]
    rows = [
        (key, size(count))
        for key, count in counts
        if isinstance(count, int) and (count or key in {"Rss", "Pss", "Swap"})
    ]
    shown = {key for key, _ in rows}
    nought = [key for key, count in counts if count == 0 and key not in shown]
    return columns(rows, right=(1,)) + at_nought(nought)
