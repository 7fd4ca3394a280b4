"""The limits of what each account may hold at a time: descriptors, and bytes of snapshots.

One account cannot take what the others need, and all accounts together leave enough for the daemon.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from errno import ENFILE

from procmirror.identity.errors import error
from procmirror.identity.namespaces import outermost_user_namespace
from procmirror.identity.requester import Requester

# The number of descriptors that no account can take: they identify requesters, and belong to
# workers.
_RESERVED_DESCRIPTORS = 256
# The number of directories of processes that are kept open, if there are descriptors enough.
_KEPT_PROCESSES = 1000
_SNAPSHOT_BYTES = 64 << 20
_FEWEST_DESCRIPTORS = 16

ROOT = 0
# The account of all requesters with the uid 0 that lack capabilities of the daemon, as in a
# container without a user namespace.
LESSER_ROOTS = -1


def account_of(requester: Requester, permitted: int, proc: int) -> int:
    """The account that a requester is charged to.

    It is the uid; it is ROOT only for root with all the capabilities in the mask `permitted`. In
    another user namespace it is the uid of the owner of the outermost one around the requester, so
    that an owner of 65,536 subordinate uids has one account. Each such namespace of root's is an
    account of its own, the negative of its inode. `proc` is a descriptor of the procfs in which
    FUSE names threads; OSError as the kernel raises it.
    """
    identity = requester.identity
    if not requester.foreign:
        is_lesser = identity.uid == 0 and permitted & ~identity.capabilities
        return LESSER_ROOTS if is_lesser else identity.uid
    inode, owner = outermost_user_namespace(proc, requester.tid)
    return owner or -inode


@dataclass(slots=True)
class _Held:
    """What one account holds; `refunds` counts its refunds."""

    descriptors: int = 0
    size: int = 0
    refunds: int = 0
    # The number of refunds when a request had waited for another one in vain.
    refunds_in_vain: int = -1


def _descriptor_limit() -> int:
    """The number of descriptors that this process may have."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if limit == resource.RLIM_INFINITY else limit


def kept_processes() -> int:
    """The number of descriptors for the directories of processes."""
    return min(_KEPT_PROCESSES, _descriptor_limit() // 4)


class Quota:
    """The charges of all accounts.

    An account may hold a quarter of the descriptors that the daemon does not need for answers. One
    quarter is root's alone, so that root is answered when all other accounts together hold what
    they can: they share the other three.
    """

    def __init__(self) -> None:
        limit = _descriptor_limit()
        for_answers = min(_RESERVED_DESCRIPTORS, limit // 4) + kept_processes()
        self._descriptors = max(_FEWEST_DESCRIPTORS, (limit - for_answers) // 4)
        self._left = 3 * self._descriptors
        self._held: dict[int, _Held] = {}

    def space(self, account: int) -> int:
        """The number of further bytes of snapshots that an account may hold."""
        held = self._held.get(account)
        return _SNAPSHOT_BYTES - held.size if held else _SNAPSHOT_BYTES

    def charge(self, account: int, descriptors: int, size: int) -> None:
        """Charge descriptors and bytes to an account; OSError(ENFILE) beyond a limit."""
        if not self.charged(account, descriptors, size):
            raise error(ENFILE)

    def charged(self, account: int, descriptors: int, size: int = 0) -> bool:
        """Charge and return True, or return False if a limit would be exceeded."""
        held = self._held.get(account) or _Held()
        others = account != ROOT
        if (
            held.descriptors + descriptors > self._descriptors
            or held.size + size > _SNAPSHOT_BYTES
            or (others and descriptors > self._left)
        ):
            return False
        held.descriptors += descriptors
        held.size += size
        if others:
            self._left -= descriptors
        if held.descriptors or held.size:
            self._held[account] = held
        return True

    def refund(self, account: int, descriptors: int, size: int) -> None:
        """Take back a charge."""
        held = self._held[account]
        held.descriptors -= descriptors
        held.size -= size
        held.refunds += 1
        if account != ROOT:
            self._left += descriptors
        if not (held.descriptors or held.size):
            del self._held[account]

    def returned(self, account: int) -> int:
        """The number of refunds of an account so far.

        -1 if the account holds nothing, or if a request has waited in vain since the last refund.
        """
        held = self._held.get(account)
        if held is None or held.refunds_in_vain == held.refunds:
            return -1
        return held.refunds

    def in_vain(self, account: int) -> None:
        """Note that a request has waited in vain for a refund of an account."""
        if held := self._held.get(account):
            held.refunds_in_vain = held.refunds


class Charge:
    """What one open file is charged for: a number of descriptors, and bytes that may change."""

    def __init__(self, quota: Quota, account: int, descriptors: int) -> None:
        self._quota = quota
        self.account = account
        self._descriptors = descriptors
        self.size = 0

    def resize(self, size: int) -> None:
        """Charge `size` bytes in place of the earlier ones; OSError(ENFILE) beyond the limit."""
        self._quota.charge(self.account, 0, size - self.size)
        self.size = size

    def add(self, size: int) -> None:
        """Charge `size` bytes more; OSError(ENFILE) beyond the limit."""
        self.resize(self.size + size)

    def add_if_half_is_left(self, size: int) -> bool:
        """Charge `size` bytes more if as much as half of the limit is left then; whether it is."""
        left = self._quota.space(self.account) - size
        if 2 * left < _SNAPSHOT_BYTES:
            return False
        self.add(size)
        return True

    def refund(self) -> None:
        """Refund the account for everything."""
        self._quota.refund(self.account, self._descriptors, self.size)
