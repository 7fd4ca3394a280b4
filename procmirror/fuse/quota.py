"""What one account may hold at a time, so that nobody's greed is paid by others.

Descriptors, and bytes of snapshots.
"""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass

# Descriptors that no account can take: they find out who asks, and are workers.
_RESERVED = 256
# How many directories of processes are kept open, if there are descriptors enough.
_KEPT = 1000
_BYTES = 64 << 20


@dataclass(slots=True)
class _Held:
    descriptors: int = 0
    size: int = 0
    # How often something was given back, and how often it had been when somebody waited in vain for
    # more.
    returned: int = 0
    in_vain: int = -1


def _limit() -> int:
    """How many descriptors this process may have."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if limit == resource.RLIM_INFINITY else limit


def kept_processes() -> int:
    """How many descriptors there are for the directories of processes."""
    return min(_KEPT, _limit() // 4)


class Budgets:
    """What each account holds.

    At most a quarter of the descriptors that are not needed for answers.

    One quarter is root's alone, who has to be answered when all others together hold what they can.
    """

    def __init__(self) -> None:
        limit = _limit()
        self._descriptors = max(16, (limit - min(_RESERVED, limit // 4) - kept_processes()) // 4)
        self._left = 3 * self._descriptors
        self._held: dict[int, _Held] = {}

    def space(self, account: int) -> int:
        """How many bytes of snapshots an account may still have."""
        held = self._held.get(account)
        return _BYTES - held.size if held else _BYTES

    def charge(self, account: int, descriptors: int, size: int) -> None:
        """Count what is about to be held; OSError(ENFILE) if it is too much."""
        if not self.charged(account, descriptors, size):
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    def charged(self, account: int, descriptors: int, size: int = 0) -> bool:
        """The same; whether it is not too much."""
        held = self._held.get(account) or self._held.setdefault(account, _Held())
        room = min(
            self._descriptors - held.descriptors, self._left if account else self._descriptors
        )
        if descriptors > room or held.size + size > _BYTES:
            if not (held.descriptors or held.size):
                del self._held[account]
            return False
        held.descriptors += descriptors
        self._left -= descriptors if account else 0
        held.size += size
        return True

    def refund(self, account: int, descriptors: int, size: int) -> None:
        """Count what was given back."""
        held = self._held[account]
        held.descriptors -= descriptors
        self._left += descriptors if account else 0
        held.size -= size
        held.returned += 1
        if not (held.descriptors or held.size):
            del self._held[account]

    def returned(self, account: int) -> int:
        """How often an account has given something back.

        Negative if there is no more to come, or was not for who waited.
        """
        held = self._held.get(account)
        return -1 if held is None or held.in_vain == held.returned else held.returned

    def in_vain(self, account: int) -> None:
        """Somebody has waited in vain for the account to give something back."""
        if held := self._held.get(account):
            held.in_vain = held.returned
