"""What the three tables of /proc/sysvipc have in common.

Source: sysvipc_proc_show in ipc/util.c: a header, and rows under it.

Users and groups are of the requester's user namespace, processes of its pid namespace (0 if they
are of another).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from procmirror.decoding.table import Rows, columns_of
from procmirror.decoding.table import rows as each_row
from procmirror.decoding.text import date, decoded
from procmirror.decoding.view import Machine, Record, doc

T = TypeVar("T")
TIMES = ("atime", "dtime", "ctime", "stime", "rtime", "otime")


class Owned(Record, frozen=True, kw_only=True):
    """The columns that all have."""

    key: Annotated[int, doc("Key under which it was made, as a signed number; 0: private")]
    perms: Annotated[str, doc("Mode bits, octal")]
    uid: Annotated[int, doc("Owner")]
    user: Annotated[str | None, doc("Name of the owner")]
    gid: Annotated[int, doc("Group of the owner")]
    group: Annotated[str | None, doc("Name of that group")]
    cuid: Annotated[int, doc("Creator")]
    creator: Annotated[str | None, doc("Name of the creator")]
    cgid: Annotated[int, doc("Group of the creator")]
    creator_group: Annotated[str | None, doc("Name of that group")]
    ctime: Annotated[
        str | None,
        doc("Time of the last change of owner or mode; null: never (ISO 8601)"),
    ]


def rows(raw: bytes, machine: Machine, make: Callable[[dict[str, Any]], T]) -> Rows[T]:
    """The records that `make` makes of the rows.

    It is given the columns by name, with names for users and groups, and null for times that never
    were.
    """
    header = columns_of(raw, "key")
    return each_row(raw, lambda line: make(_columns(header, line, machine)), 1)


def _columns(header: list[str], line: bytes, machine: Machine) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(header, decoded(line).split(), strict=True))
    uid, gid, cuid, cgid = (int(row[name]) for name in ("uid", "gid", "cuid", "cgid"))
    times = {name: date(int(row[name]) or None) for name in TIMES if name in row}
    names = {"user": machine.users.get(uid), "group": machine.groups.get(gid)}
    creators = {"creator": machine.users.get(cuid), "creator_group": machine.groups.get(cgid)}
    return {**row, **times, **names, **creators}
