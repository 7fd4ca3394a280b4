"""What the kernel holds open of the mirror: contents and listings."""

from __future__ import annotations

import os
from collections.abc import Iterator

from procmirror.credentials import Identity, Requester
from procmirror.inodes import Node
from procmirror.mirror import Entry


class Content:
    """An open file: the snapshot of a view, or a descriptor of /proc opened as the requester."""

    __slots__ = (
        "account",
        "ahead",
        "charged",
        "data",
        "descriptor",
        "identity",
        "inline",
        "node",
        "requester",
        "size",
        "spooled",
        "started",
        "taken",
    )

    def __init__(self, node: Node, requester: Requester) -> None:
        self.node = node
        self.requester = requester
        self.identity = requester.identity
        self.data: bytes | None = None
        self.descriptor = -1
        self.spooled = False
        self.size = 0
        self.inline = False
        self.started = False
        self.taken = 0.0
        self.account = 0
        self.charged = 0
        self.ahead: tuple[bytes, bool] | None = None

    def close(self) -> None:
        """Give back the descriptor."""
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
