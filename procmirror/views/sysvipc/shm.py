"""/proc/sysvipc/shm: the segments of shared memory.

Source: proc_sysvipc(5), sysvipc_shm_proc_show in ipc/shm.c.

The mode has two bits more than a file's: 01000, to be removed with the last user, and 02000, locked
in memory.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import record_with_extra
from procmirror.decoding.view import Extra, Machine, doc
from procmirror.views.sysvipc.table import Owned, rows


class Segment(Owned, frozen=True, kw_only=True):
    """One segment."""

    shmid: Annotated[int, doc("Its id")]
    removed: Annotated[bool, doc("Marked to be removed with its last user (SHM_DEST)")]
    locked: Annotated[bool, doc("Cannot be swapped out (SHM_LOCKED)")]
    size: Annotated[int, doc("Its size", "bytes")]
    cpid: Annotated[int, doc("Process that made it")]
    lpid: Annotated[int, doc("Last process that attached or detached it")]
    nattch: Annotated[int, doc("How often it is attached")]
    atime: Annotated[str | None, doc("Time of the last attaching; null: never (ISO 8601)")]
    dtime: Annotated[str | None, doc("Time of the last detaching; null: never (ISO 8601)")]
    rss: Annotated[int | None, doc("What of it is in memory (since Linux 2.6.34)", "bytes")] = None
    swap: Annotated[int | None, doc("What of it is in swap (since Linux 2.6.34)", "bytes")] = None
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Segment]:
    """One segment a line."""
    return rows(raw, machine, _segment)


def _segment(row: dict[str, Any]) -> Segment:
    mode = int(row["perms"], 8)
    return record_with_extra(
        Segment, {**row, "removed": bool(mode & 0o1000), "locked": bool(mode & 0o2000)}
    )


text = listing(
    "SHMID shmid number",
    "KEY key number",
    "PERMS perms",
    "USER user|uid",
    "SIZE size bytes",
    "RSS rss bytes",
    "SWAP swap bytes",
    "ATTACHED nattch number",
    "CREATOR cpid number",
    "LAST lpid number",
    "REMOVED removed",
    "CHANGED ctime",
    most="size",
    none="no shared memory\n",
)
