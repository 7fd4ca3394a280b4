"""`-d`: one line for every request that FUSE can make, which never keeps it from its answer."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pyfuse3
import pytest
import trio

from procmirror.fuse import request_log
from procmirror.procfs.processes import Process
from procmirror.workers import request_note
from tests.test_debug import LINE

HANDLERS = [name for name, _ in inspect.getmembers(pyfuse3.Operations, inspect.iscoroutinefunction)]
ROOT, PROCESS, OWN, FORGOTTEN = 1, 10, 2, 99
NAMES = {
    ROOT: SimpleNamespace(parent=None, name=b""),
    PROCESS: SimpleNamespace(parent=SimpleNamespace(parent=None, name=b""), name=b"17"),
}
CONTEXT = SimpleNamespace(pid=7, uid=1000)
SECRET = b"se\ncret"


class Operations:
    """Handlers that all do the same; `node` and `own_name` know what is in `NAMES` and one file."""

    def __init__(self, does: Callable[[], Any]) -> None:
        for name in HANDLERS:
            setattr(self, name, self._handler(does))

    def _handler(self, does: Callable[[], Any]) -> Any:
        async def handler(*_: Any) -> Any:
            return does()

        return handler

    def node(self, inode: int) -> Any:
        return NAMES.get(inode)

    def own_name(self, inode: int) -> bytes | None:
        return b"README.txt" if inode == OWN else None


def arguments(name: str, inode: int = PROCESS) -> list[Any]:
    """What pyfuse3 calls a handler with."""
    values: list[Any] = []
    for parameter in list(inspect.signature(getattr(pyfuse3.Operations, name)).parameters)[1:]:
        if parameter == "ctx":
            values.append(CONTEXT)
        elif "name" in parameter:
            values.append(b'na\nme"')
        elif parameter in {"buf", "value", "target"}:
            values.append(SECRET)
        elif parameter == "inode_list":
            values.append([(inode, 1)])
        else:
            values.append(inode)
    return values


def lines(
    caplog: pytest.LogCaptureFixture,
    name: str,
    given: list[Any],
    does: Callable[[], Any] = lambda: 5,
) -> list[str]:
    """The lines that a request writes; it is answered with what its handler does."""
    caplog.set_level(logging.DEBUG, "procmirror.requests")
    own = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    operations: Any = Operations(does)
    request_log.install(operations, own)
    try:
        with suppress(pyfuse3.FUSEError):
            trio.run(getattr(operations, name), *given)
    finally:
        os.close(own)
    return [f"procmirror: {one.levelname}: {one.getMessage()}" for one in caplog.records]


@pytest.mark.parametrize("name", HANDLERS)
def test_every_request_has_a_line_without_contents(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    given = arguments(name)
    (line,) = lines(caplog, name, given)
    match = LINE.fullmatch(line)
    # STATFS has no node, and what was not opened has no path.
    assert match or (name == "statfs" and ' path="" ' in line) or ' path="?" ?' in line
    assert "cret" not in line
    if b'na\nme"' in given:
        assert match and match["path"] == '/17/na\\nme\\"'


@pytest.mark.parametrize(
    ("inode", "path"),
    [(ROOT, "/"), (PROCESS, "/17"), (OWN, "/README.txt"), (FORGOTTEN, "inode:99")],
)
def test_a_node_has_its_path_and_what_is_none_its_number(
    caplog: pytest.LogCaptureFixture, inode: int, path: str
) -> None:
    (line,) = lines(caplog, "getattr", arguments("getattr", inode))
    assert re.search(r'path="(.*?)" tid=7 uid=1000 ', line)[1] == path  # type: ignore[index]


def test_a_line_has_the_worker_the_lock_and_the_errno(caplog: pytest.LogCaptureFixture) -> None:
    def refuses() -> None:
        note = request_note.current()
        assert note
        note.lock = (Process(b"17", 1), "memory")
        pidfd = os.pidfd_open(os.getpid())
        note.sent(pidfd)
        os.close(pidfd)
        raise pyfuse3.FUSEError(errno.EACCES)

    (line,) = lines(caplog, "open", arguments("open"), refuses)
    match = LINE.fullmatch(line)
    assert match and match["worker"] == str(os.getpid())
    assert (match["lock"], match["errno"]) == ("17/memory", "EACCES")


def test_a_request_that_cannot_be_named_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    first, second = lines(caplog, "lookup", [PROCESS, None, CONTEXT])
    assert "could not be named" in first and ' path="?" ? ' in second
