"""/proc/PID/sessionid: the number of the login for the audit log.

Source: proc_pid_sessionid(5), fs/proc/base.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.view import Machine, Record, doc
from procmirror.views.pid.loginuid import UNSET


class Sessionid(Record, frozen=True):
    """Counted up by the kernel whenever a loginuid is set."""

    sessionid: Annotated[int | None, doc("Audit session; null: nobody logged in")]


def decode(raw: bytes, _: Machine) -> Sessionid:
    """The number, decimal without a newline."""
    number = int(raw)
    return Sessionid(None if number == UNSET else number)
