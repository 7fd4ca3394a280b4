"""/proc/key-users: the keys of each user and the limits.

Source: proc_key-users(5), security/keys/proc.c.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import extra_by_position
from procmirror.decoding.table import matched, rows
from procmirror.decoding.view import Extra, Machine, Record, doc

LINE = re.compile(rb" *(\d+): +(\d+) (\d+)/(\d+) (\d+)/(\d+) (\d+)/(\d+)(.*)")


class KeyUser(Record, frozen=True):
    """One user."""

    uid: Annotated[int, doc("The user")]
    user: Annotated[str | None, doc("Name of the user")]
    usage: Annotated[int, doc("References to the kernel's record of this user")]
    nkeys: Annotated[int, doc("Keys")]
    nikeys: Annotated[int, doc("What of them is instantiated")]
    qnkeys: Annotated[int, doc("Keys that count for the limit")]
    maxkeys: Annotated[int, doc("The limit of keys")]
    qnbytes: Annotated[int, doc("What these keys take", "bytes")]
    maxbytes: Annotated[int, doc("The limit of bytes", "bytes")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[KeyUser]:
    """One user a line."""
    return rows(raw, lambda line: _key_user(line, machine))


def _key_user(line: bytes, machine: Machine) -> KeyUser:
    match = matched(LINE, line, "UID: USAGE N/N N/N N/N")
    uid = int(match[1])
    values: list[Any] = [int(number) for number in match.groups()[1:8]]
    values.append(extra_by_position(line.split(), 5))
    return KeyUser(uid, machine.users.get(uid), *values)


text = listing(
    "USER user|uid",
    "KEYS nkeys number",
    "QUOTA-KEYS qnkeys number",
    "MOST-KEYS maxkeys number",
    "QUOTA qnbytes bytes",
    "MOST maxbytes bytes",
    none="no keys\n",
)
