"""/proc/PID/loginuid: the user who logged in, for the audit log.

Source: proc_pid_loginuid(5), fs/proc/base.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.text import printable
from procmirror.decoding.view import Machine, Record, doc

UNSET = 2**32 - 1


class Loginuid(Record, frozen=True):
    """The id stays whatever the process becomes later."""

    loginuid: Annotated[int | None, doc("User id at login; null: not set: no login")]
    name: Annotated[str | None, doc("The user's name; null if there is none")]


def decode(raw: bytes, machine: Machine) -> Loginuid:
    """The id, a decimal number without a newline."""
    number = int(raw)
    return Loginuid(None, None) if number == UNSET else Loginuid(number, machine.users.get(number))


def text(loginuid: Loginuid, _: Machine) -> str:
    """Name and number."""
    if loginuid.loginuid is None:
        return "not set: no login\n"
    return (
        f"{printable(loginuid.name)} ({loginuid.loginuid})\n"
        if loginuid.name
        else f"{loginuid.loginuid}\n"
    )
