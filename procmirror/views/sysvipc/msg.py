"""/proc/sysvipc/msg: the message queues (proc_sysvipc(5), sysvipc_msg_proc_show in ipc/msg.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import record_with_extra
from procmirror.decoding.view import Extra, Machine, doc
from procmirror.views.sysvipc.table import Owned, rows


class Queue(Owned, frozen=True, kw_only=True):
    """One queue."""

    msqid: Annotated[int, doc("Its id")]
    cbytes: Annotated[int, doc("Messages in it", "bytes")]
    qnum: Annotated[int, doc("Number of messages in it")]
    lspid: Annotated[int, doc("Last process that sent")]
    lrpid: Annotated[int, doc("Last process that received")]
    stime: Annotated[str | None, doc("Time of the last sending; null: never (ISO 8601)")]
    rtime: Annotated[str | None, doc("Time of the last receiving; null: never (ISO 8601)")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Queue]:
    """One queue a line."""
    return rows(raw, machine, lambda row: record_with_extra(Queue, row))


text = listing(
    "MSQID msqid number",
    "KEY key number",
    "PERMS perms",
    "USER user|uid",
    "BYTES cbytes bytes",
    "COUNT qnum number",
    "SENDER lspid number",
    "RECEIVER lrpid number",
    "CHANGED ctime",
    none="no message queues\n",
)
