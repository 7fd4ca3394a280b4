"""Requesters without a thread: what the rules of the FUSE side ask of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from procmirror.identity.identity import Identity
from procmirror.identity.requester import Requester

WES = Identity(1000, 1000, (), 0)
OURS = {"user": "user:[1]", "net": "net:[1]", "mnt": "mnt:[1]", "pid": "pid:[1]"}


class FakeRequesters:
    """A daemon that may act as anybody, and requesters whose namespaces a test chooses."""

    def __init__(self) -> None:
        self.proc = -1
        self.confined: set[int] = set()
        self.modules = False
        self.links: dict[int, dict[str, str]] = {}
        self.maps = ([(0, 100000, 65536)], [(0, 200000, 65536)])
        self.namespaces: Any = SimpleNamespace(
            differing_of=self._differing_of,
            all_of=lambda tid, __=None: {**OURS, **self.links.get(tid, {})},
            id_maps_of=lambda _: self.maps,
        )
        self.confinement: Any = self

    @property
    def exists(self) -> bool:
        """Whether there is a security module."""
        return self.modules

    def differs(self, tid: int) -> bool:
        """Whether a thread is confined otherwise than the daemon."""
        return tid in self.confined

    def other_label_of(self, tid: int) -> bytes:
        """The label of a thread that is confined otherwise than the daemon."""
        return b"confined" if tid in self.confined else b""

    def label_of(self, tid: int) -> str | None:
        """The label of a thread."""
        return "confined" if tid in self.confined else None

    def worker_identity(self, requester: Requester) -> Identity:
        """The identity of a worker for a requester."""
        return requester.identity

    def _differing_of(self, tid: int, kinds: Any = tuple(OURS)) -> dict[str, str]:
        theirs = {kind: text for kind, text in self.links.get(tid, {}).items() if kind != "user"}
        return {kind: text for kind, text in theirs.items() if kind in kinds}

    def requester(self, tid: int = 7, identity: Identity = WES, **links: str) -> Requester:
        """A requester in these namespaces, the others ours."""
        self.links[tid] = {kind: f"{kind}:[{text}]" for kind, text in links.items()}
        user = self.links[tid].get("user", OURS["user"])
        return Requester(tid, tid, identity, user, user != OURS["user"])
