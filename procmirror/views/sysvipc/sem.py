"""/proc/sysvipc/sem: the sets of semaphores.

Source: proc_sysvipc(5), sysvipc_sem_proc_show in ipc/sem.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import record_with_extra
from procmirror.decoding.view import Extra, Machine, doc
from procmirror.views.sysvipc.table import Owned, rows


class Semaphores(Owned, frozen=True, kw_only=True):
    """One set."""

    semid: Annotated[int, doc("Its id")]
    nsems: Annotated[int, doc("Semaphores in it")]
    otime: Annotated[str | None, doc("Time of the last operation; null: never (ISO 8601)")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Semaphores]:
    """One set a line."""
    return rows(raw, machine, lambda row: record_with_extra(Semaphores, row))


text = listing(
    "SEMID semid number",
    "KEY key number",
    "PERMS perms",
    "USER user|uid",
    "SEMAPHORES nsems number",
    "USED otime",
    "CHANGED ctime",
    none="no semaphores\n",
)
