"""The text of locks: one lock a line, with those who wait for it below."""

from __future__ import annotations

from collections.abc import Iterator

from procmirror.decoding.text import columns
from procmirror.decoding.view import Machine
from procmirror.views.locks import Lock, Waiter


def text(locks: list[Lock], _: Machine) -> str:
    """One lock a line, those that somebody waits for first.

    Who waits stands below, further to the right, with the process that it waits for.
    """
    rows: list[tuple[object, ...]] = []
    for lock in sorted(locks, key=lambda lock: not lock.waiters):
        file = lock.path or (f"{lock.device} inode {lock.inode}" if lock.device else "-")
        rows.append(
            (
                *_holder(lock),
                "-",
                lock.kind,
                lock.type,
                _range(lock.start, lock.end),
                file,
            )
        )
        rows += _waiting(lock)
    return (
        columns(rows, ("COMMAND", "PID", "BLOCKER", "KIND", "TYPE", "BYTES", "FILE"), right=(1, 2))
        if rows
        else "no locks\n"
    )


def _waiting(lock: Lock) -> Iterator[tuple[object, ...]]:
    """A row for each that waits for a lock, or for another that does."""
    above = [lock.holders[0].pid if lock.holders else lock.pid]
    for one in lock.waiters:
        del above[one.depth :]
        blocker = above[-1] or "-"
        above.append(one.pid)
        who = "  " * one.depth + _who(one, lock.kind)
        span = _range(one.start, one.end)
        yield who, one.pid or "-", blocker, lock.kind, one.type, span, ""


def _holder(lock: Lock) -> tuple[str, object]:
    """The command and the number of who holds a lock; of several, how many there are besides."""
    if not lock.holders:
        return _who(lock, lock.kind), lock.pid or "-"
    first, others = lock.holders[0], len(lock.holders) - 1
    return (first.comm or "(unknown)") + (f"+{others}" if others else ""), first.pid


def _who(one: Lock | Waiter, kind: str) -> str:
    return one.comm or (
        "(unknown)" if (one.pid or 0) > 0 else "(open-file)" if kind == "OFDLCK" else "(elsewhere)"
    )


def _range(start: int | None, end: int | None) -> str:
    return "all" if not start and end is None else f"{start}-{'' if end is None else end}"
