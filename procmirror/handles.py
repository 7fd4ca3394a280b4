"""What the kernel holds open of the mirror: contents and listings."""

from __future__ import annotations

import os
from collections.abc import Iterator

from procmirror.credentials import Identity, Requester
from procmirror.inodes import Node
from procmirror.mirror import Entry
from procmirror.workers import Where


class Content:
    """An open file: the snapshot of a view, or a descriptor of /proc opened as the requester.

    All that is known of the opener was found out at OPEN: later his number may be another's.
    """

    __slots__ = (
        "ahead",
        "charged",
        "data",
        "descriptor",
        "identity",
        "inline",
        "myself",
        "named",
        "namespaces",
        "node",
        "size",
        "spooled",
        "started",
        "taken",
        "where",
    )

    def __init__(self, node: Node, requester: Requester, where: Where, myself: bytes | None) -> None:
        self.node = node
        self.identity = requester.identity
        self.named = not requester.foreign
        self.where = where
        self.myself = myself
        self.namespaces: dict[str, str] = {}
        self.data: bytes | None = None
        self.descriptor = -1
        self.spooled = False
        self.size = 0
        self.inline = False
        self.started = False
        self.taken = 0.0
        self.charged = 0
        self.ahead: tuple[bytes, bool] | None = None

    def close(self) -> None:
        """Give back all descriptors."""
        self.where.release()
        self.drop()

    def drop(self) -> None:
        """Give back what was read, or is read from."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Listing:
    """An open directory: its entries, found as they are asked for where the kernel asks no question about them."""

    __slots__ = ("account", "descriptor", "entries", "identity", "more", "node", "read")

    def __init__(self, node: Node, identity: Identity, payer: int) -> None:
        self.node = node
        self.account = payer
        self.identity = identity
        self.descriptor = -1
        self.entries: list[Entry] = []
        self.more: Iterator[Entry] | None = None
        self.read = False
