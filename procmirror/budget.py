"""What one account may hold at a time, so that nobody's greed is paid by others: descriptors, and bytes of snapshots."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass

# Descriptors that no account can take: they find out who asks.
_RESERVED = 64
_BYTES = 64 << 20


@dataclass(slots=True)
class _Held:
    descriptors: int = 0
    size: int = 0


class Budgets:
    """What each account holds."""

    def __init__(self) -> None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._descriptors = max(16, (limit - _RESERVED) // 4)
        self._held: dict[int, _Held] = {}

    def space(self, account: int) -> int:
        """How many bytes of snapshots an account may still have."""
        held = self._held.get(account)
        return _BYTES - held.size if held else _BYTES

    def charge(self, account: int, descriptors: int, size: int) -> None:
        """Count what is about to be held; OSError(ENFILE) if it is too much."""
        held = self._held.setdefault(account, _Held())
        if held.descriptors + descriptors > self._descriptors or held.size + size > _BYTES:
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        held.descriptors += descriptors
        held.size += size

    def refund(self, account: int, descriptors: int, size: int) -> None:
        """Count what was given back."""
        held = self._held[account]
        held.descriptors -= descriptors
        held.size -= size
        if held == _Held():
            del self._held[account]
