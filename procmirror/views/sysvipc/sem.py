"""/proc/sysvipc/sem: the sets of semaphores.

Source: proc_sysvipc(5), sysvipc_sem_proc_show in ipc/sem.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import known
from procmirror.decoding.view import Extra, Machine, doc
from procmirror.views.sysvipc.table import Owned, rows


class Semaphores(Owned, frozen=True, kw_only=True):
    """One set."""

    semid: Annotated[int, doc("Its id")]
    nsems: Annotated[int, doc("Semaphores in it")]
    otime: Annotated[
        int | None, doc("Time of the last operation; null: never", "seconds since 1970")
    ]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Semaphores]:
    """One set a line."""
    return rows(raw, machine, lambda row: known(Semaphores, row))
