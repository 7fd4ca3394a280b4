"""What a request costs inside the daemon, step by step.

The handlers called as pyfuse3 calls them, without kernel and FUSE.
"""

from __future__ import annotations

import os
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from procmirror.decoding.render import rendered
from procmirror.decoding.view import View
from procmirror.fuse.operations import ProcMirror
from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import Identity
from procmirror.identity.requester import Requesters
from procmirror.procfs import proc
from procmirror.procfs.contents import content
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.views import VIEWS
from tests.benchmarks.contest import Action
from tests.live import machine
from tests.programs import running

_STATUS: View = next(view for view in VIEWS if view.name == "PID/status")
_STRANGER = Identity(65534, 65534, (), 0)


def _at_once(request: Coroutine[Any, Any, Any]) -> Any:
    """The answer of a handler that need not wait."""
    try:
        request.send(None)
    except StopIteration as answered:
        return answered.value
    raise AssertionError("it waits")


class _Daemon:
    """Everything but workers and FUSE; root's `sleep` asks about another."""

    def __init__(self, descriptor: int, asking: int, asked: int) -> None:
        self.credentials = Credentials()
        self.requesters = Requesters(descriptor, self.credentials)
        self.asking = asking
        self._context = cast("Any", SimpleNamespace(pid=asking, uid=0, gid=0))
        workers: Any = None
        self._mirror = ProcMirror(
            Proc(descriptor, descriptor),
            self.credentials,
            self.requesters,
            workers,
            ProcRoots(descriptor, descriptor),
        )
        self._process = self._looked_up(1, b"%d" % asked)
        self._files = {
            name: self._looked_up(self._process, name) for name in (b"status", b"status.json")
        }
        self._open = _at_once(
            self._mirror.open(self._files[b"status.json"], os.O_RDONLY, self._context)
        ).fh

    def _looked_up(self, parent: int, name: bytes) -> int:
        return int(_at_once(self._mirror.lookup(parent, name, self._context)).st_ino)

    def lookup(self) -> object:
        """LOOKUP of a view."""
        return self._looked_up(self._process, b"status.json")

    def opened(self, name: bytes) -> object:
        """OPEN and RELEASE."""
        handle = _at_once(self._mirror.open(self._files[name], os.O_RDONLY, self._context)).fh
        return _at_once(self._mirror.release(handle))

    def read(self) -> object:
        """READ at the end of a snapshot."""
        return _at_once(self._mirror.read(self._open, 1 << 20, 1 << 17))

    def identified(self) -> object:
        """Who asks."""
        return self.requesters.identify(self.asking, 0, 0)

    def acted(self) -> None:
        """As somebody else, and back."""
        with self.credentials.acting_as(_STRANGER):
            pass


@contextmanager
def actions() -> Iterator[dict[str, Action]]:
    """The steps by what they are called in the report."""
    descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    with running("sleep", "600") as asking, running("sleep", "600") as asked:
        time.sleep(0.1)
        daemon, facts = _Daemon(descriptor, asking, asked), machine()
        path = b"%d/status" % asked
        raw = content(descriptor, path, lambda: None)
        assert _STATUS.decode is not None
        record = _STATUS.decode(raw, facts)
        yield {
            "LOOKUP of status.json": daemon.lookup,
            "of which attributes by name": partial(proc.attributes, descriptor, path),
            "OPEN and RELEASE of status": partial(daemon.opened, b"status"),
            "OPEN and RELEASE of status.json": partial(daemon.opened, b"status.json"),
            "of which identifying the requester": daemon.identified,
            "of which reading status": partial(content, descriptor, path, lambda: None),
            "of which decoding it": partial(_STATUS.decode, raw, facts),
            "of which rendering it": lambda: b"".join(rendered(_STATUS, "json", record, facts)),
            "READ": daemon.read,
            "acting as somebody else, and back": daemon.acted,
        }
    os.close(descriptor)
