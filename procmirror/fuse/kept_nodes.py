"""Nodes of which there may be any number, and no more than so many are kept.

The kernel takes a name that it is asked to forget from whoever has it as working directory. So an
account that looks up much loses its own names.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Kept = TypeVar("Kept")


class KeptNodes(Generic[Kept]):
    """Nodes by number and account, the oldest first; at most `most` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._account_of: dict[int, int] = {}
        self._of_account: dict[int, dict[int, Kept]] = {}

    def __len__(self) -> int:
        return len(self._account_of)

    def add(self, number: int, node: Kept, account: int) -> Kept | None:
        """Keep one more; returns the one that is not kept any more, None while there is room.

        It is the oldest of the account that has the most; of two that have as many, of this one.
        """
        self._account_of[number] = account
        self._of_account.setdefault(account, {})[number] = node
        if len(self) <= self.most:
            return None
        nodes = self._of_account
        greediest = max(nodes, key=lambda one: (len(nodes[one]), one == account))
        return self.forget(next(iter(nodes[greediest])))

    def forget(self, number: int) -> Kept | None:
        """Take one out; returns it, None if it is not kept."""
        account = self._account_of.pop(number, None)
        if account is None:
            return None
        nodes = self._of_account[account]
        node = nodes.pop(number)
        if not nodes:
            del self._of_account[account]
        return node
