"""Nodes of which there may be any number, and no more than so many are kept.

The kernel takes a name that it is asked to forget from whoever has it as working directory. So an
account that looks up much loses names that nobody else has looked up.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Kept = TypeVar("Kept")


class KeptNodes(Generic[Kept]):
    """Nodes by number and by the accounts that looked them up, the oldest first.

    At most `most` of them count; what the kernel was asked to forget counts no more.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._nodes: dict[int, Kept] = {}
        self._accounts: dict[int, set[int]] = {}
        self._of_account: dict[int, dict[int, None]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, number: int) -> bool:
        return number in self._nodes

    def add(self, number: int, node: Kept, account: int) -> Kept | None:
        """Keep one that an account has looked up; returns the one that is not kept any more.

        None while there is room. It is one of the oldest of the account that has the most, and of
        no other; of two that have as many, of this one.
        """
        self._nodes[number] = node
        self._accounts.setdefault(number, set()).add(account)
        self._of_account.setdefault(account, {})[number] = None
        numbers = self._of_account
        while len(self) > self.most:
            greediest = max(numbers, key=lambda one: (len(numbers[one]), one == account))
            oldest = next(iter(numbers[greediest]))
            self._leave(oldest, greediest)
            if not self._accounts[oldest]:
                return self.forget(oldest)
        return None

    def _leave(self, number: int, account: int) -> None:
        """Have a node no longer be of an account."""
        self._accounts[number].discard(account)
        numbers = self._of_account[account]
        del numbers[number]
        if not numbers:
            del self._of_account[account]

    def forget(self, number: int) -> Kept | None:
        """Take one out; returns it, None if it is not kept."""
        for account in tuple(self._accounts.get(number, ())):
            self._leave(number, account)
        self._accounts.pop(number, None)
        return self._nodes.pop(number, None)
