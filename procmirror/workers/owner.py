"""Who owns the user namespace of a process, if that is soon told.

The links that tell it wait for the exec lock of the process, which its user can hold for ever
(proc_ns_readlink, fs/proc/namespaces.c).
"""

from __future__ import annotations

import threading
from typing import Protocol

# For so many seconds the links are waited for.
_SOON_SECONDS = 0.02


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
