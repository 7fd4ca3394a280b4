"""/proc/PID/wchan: the kernel function in which the task is blocked.

Source: proc_pid_wchan(5), fs/proc/base.c, get_wchan.

`0` without a newline for a task that is not blocked, for a zombie, and for every task that the
reader may not trace. The functions of the scheduler itself are passed over by the kernel.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.kernel.waits import phrase


class Wchan(Record, frozen=True):
    """Where the task waits, and for what."""

    symbol: Annotated[
        str | None,
        doc("The kernel function; null if the task is not blocked or the requester may not know"),
    ]
    waits_for: Annotated[
        str | None, doc("What this function waits for; null where its name does not tell")
    ]


def decode(raw: bytes, _: Machine) -> Wchan:
    """The one word of the file; a newline after it is some other kernel's."""
    symbol = decoded(raw.rstrip(b"\n")) or "0"
    if not symbol.isprintable() or len(symbol.split()) != 1:
        raise expected("one word", symbol)
    return Wchan(None, None) if symbol == "0" else Wchan(symbol, phrase(symbol))


def text(wchan: Wchan, _: Machine) -> str:
    """One line; without a symbol, what that may mean."""
    if wchan.symbol is None:
        return "0 (not blocked, or not permitted)\n"
    return (
        f"{wchan.symbol}: waits for {wchan.waits_for}\n" if wchan.waits_for else f"{wchan.symbol}\n"
    )
