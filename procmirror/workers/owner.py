"""Who owns a process, or the user namespace that it is in, if that is soon told.

The links that tell of the namespace wait for the exec lock of the process, which its user can hold
for ever (proc_ns_readlink, fs/proc/namespaces.c). Who reads `status` of a process that is killed
meanwhile takes its memory down, and waits for a FUSE server that its user runs (exit_aio).
"""

from __future__ import annotations

import threading
import time
from typing import Protocol, TypeAlias

from procmirror.identity.files import read_file
from procmirror.identity.status import real_uid

# For so many seconds an answer is waited for.
_SOON_SECONDS = 0.02
# While so many threads hang, no further one is started.
_MOST_HANGING = 8
# For so many seconds an answer holds: it is asked for twice for each request. Of so many processes.
_HOLDS_SECONDS, _MOST_KNOWN = 0.5, 1024


class Owners(Protocol):
    """What tells the owner; `procfs.roots.ProcRoots` does."""

    def is_owned(self, target: bytes, uid: int) -> bool:
        """Whether a user owns the user namespace that a process is in; it may wait."""


def is_owned_or_unknown(owners: Owners, target: bytes, uid: int) -> bool:
    """Whether a user owns the user namespace that a process is in; True if that is not soon told.

    A thread that waits for it is left behind. It has the rights of this thread of now.
    """
    found: list[bool] = []
    thread = threading.Thread(
        target=lambda: found.append(owners.is_owned(target, uid)), daemon=True
    )
    try:
        thread.start()
    except RuntimeError:
        # In a user namespace the RLIMIT_NPROC of its maker counts this process as the maker's.
        return owners.is_owned(target, uid)
    thread.join(_SOON_SECONDS)
    return found[0] if found else True


# The real uid, or why it is not told.
_Said: TypeAlias = int | OSError | ValueError


def _told(said: _Said) -> int:
    if isinstance(said, int):
        return said
    raise said


class RealUids:
    """Tells the real user ids of the processes of a procfs."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._hanging: dict[bytes, threading.Thread] = {}
        self._known: dict[bytes, tuple[_Said, float]] = {}

    def of(self, target: bytes) -> int | None:
        """The real uid of a process, by its number; None if that is not soon told.

        OSError and ValueError as what reads it raises them. A thread that waits for it is left
        behind; until it ends, this process is not asked about again. An answer may be half a second
        old.
        """
        now = time.monotonic()
        said, until = self._known.get(target, (0, now))
        return _told(said) if now < until else self._asked(target, now)

    def _asked(self, target: bytes, now: float) -> int | None:
        self._hanging = {one: thread for one, thread in self._hanging.items() if thread.is_alive()}
        if target in self._hanging or len(self._hanging) >= _MOST_HANGING:
            return None
        found: list[_Said] = []
        thread = threading.Thread(target=self._read, args=(target, found), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return None
        thread.join(_SOON_SECONDS)
        if not found:
            self._hanging[target] = thread
            return None
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[target] = found[0], now + _HOLDS_SECONDS
        return _told(found[0])

    def _read(self, target: bytes, found: list[_Said]) -> None:
        try:
            found.append(real_uid(read_file(self._source, target + b"/status")))
        except (OSError, ValueError) as failed:
            found.append(failed)
