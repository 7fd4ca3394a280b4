"""Where a write goes, and what may be written at all, without a mount."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse.execution import Execution
from procmirror.fuse.writing import Writing
from procmirror.identity.identity import Identity
from procmirror.mirror.traits import directory
from procmirror.procfs.processes import Process
from procmirror.workers.entry_operations import SetAttributes
from procmirror.workers.file_operations import Write
from procmirror.workers.operation import Descriptors
from procmirror.workers.placement import IN_DAEMON


class Dispatch:
    """Takes down what is to be written, and says that all was written."""

    apart = False

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.executions: list[Execution] = []
        self.refusals = self

    def is_bound(self, _: object) -> bool:
        """Whether the requester is in other namespaces."""
        return self.apart

    async def run(self, operation: Write, at: Descriptors, execution: Execution) -> int:
        """Write everything."""
        spool = at()[1:]
        content = os.pread(spool[0], operation.size, 0) if spool else operation.data
        assert len(content) == operation.size
        self.offsets.append(operation.offset)
        self.executions.append(execution)
        return operation.size


def writing(dispatch: Any, *, allowed: bool = True) -> Writing:
    return Writing(allowed, dispatch)


def written(dispatch: Any, *pieces: tuple[int, bytes], name: bytes = b"comm") -> list[int]:
    """What is answered to writes at offsets to one open file."""
    process = Process(b"7", 1)
    execution = Execution(Identity(7, 7, (), 0), process, IN_DAEMON, (process, "exec"))
    opener = SimpleNamespace(node=node("PID", name), execution=execution)
    file: Any = SimpleNamespace(opener=opener, position=0, descriptor=-1)

    async def run() -> list[int]:
        return [await writing(dispatch).write(file, at, data) for at, data in pieces]

    return trio.run(run)


def test_writes_one_after_the_other_do_not_seek() -> None:
    """A seek would make a file of procfs produce its content (seq_lseek, fs/seq_file.c)."""
    dispatch = Dispatch()
    assert written(dispatch, (0, b"ab"), (2, b"c"), (3, b"d" * 300_000)) == [2, 1, 300_000]
    assert dispatch.offsets == [-1, -1, -1]


def test_a_write_elsewhere_seeks() -> None:
    dispatch = Dispatch()
    written(dispatch, (0, b"ab"), (0, b"c"), (1, b"d"), (7, b"e"))
    assert dispatch.offsets == [-1, 0, -1, 7]


@pytest.mark.parametrize(("name", "lock"), [(b"comm", "exec"), (b"clear_refs", "memory")])
def test_a_write_waits_for_its_own_lock_and_without_the_right_of_oneself(
    name: bytes, lock: str
) -> None:
    """Writing clear_refs takes the memory lock (fs/proc/task_mmu.c), reading does not."""
    dispatch = Dispatch()
    written(dispatch, (0, b"1"), name=name)
    (execution,) = dispatch.executions
    assert execution.lock == (execution.process, lock)
    assert (execution.self_capabilities, execution.here) == (0, False)


def node(path: str, name: bytes, *, view: bool = False) -> Any:
    """A name in the directory with these traits."""
    sibling = object() if view else None
    return SimpleNamespace(name=name, place=directory(path), sibling=sibling, process=None)


@pytest.mark.parametrize(
    ("path", "name", "view"),
    [
        ("PID", b"mem", False),
        ("PID", b"comm.txt", True),
        ("", b"by-name", False),
        ("by-name", b"bash", False),
    ],
)
def test_memory_and_what_is_not_of_procfs_are_never_written(
    path: str, name: bytes, view: bool
) -> None:
    requester: Any = SimpleNamespace()
    with pytest.raises(OSError, match="Read-only") as refused:
        writing(Dispatch()).admit(node(path, name, view=view), requester)
    assert refused.value.errno == errno.EROFS


def test_who_is_apart_and_a_mirror_that_is_read_only_write_nothing() -> None:
    requester: Any = SimpleNamespace()
    apart = Dispatch()
    apart.apart = True
    for refusing in (writing(apart), writing(Dispatch(), allowed=False)):
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC):
            with pytest.raises(OSError, match="Read-only"):
                refusing.flags(node("PID", b"comm"), requester, flags)
        assert refusing.flags(node("PID", b"comm"), requester, os.O_RDONLY) == 0
    assert writing(Dispatch()).flags(node("PID", b"comm"), requester, os.O_RDWR) == os.O_RDWR


@pytest.mark.parametrize(
    ("accessed", "modified", "times"),
    [(True, False, (5, None)), (False, True, (None, 7)), (True, True, (5, 7))],
)
def test_only_the_times_that_are_given_are_set(
    monkeypatch: pytest.MonkeyPatch, accessed: bool, modified: bool, times: Any
) -> None:
    monkeypatch.setattr(Writing, "admit", lambda *_: None)
    asked: list[object] = []

    async def perform(_: object, __: object, operation: object, *, source: bytes) -> None:
        asked.append(operation)
        assert source == b"version"

    dispatch: Any = SimpleNamespace(perform=perform)
    fields = dict.fromkeys(("mode", "size", "uid", "gid"), False)
    fields |= {"atime": accessed, "mtime": modified}
    wanted = SimpleNamespace(st_atime_ns=5, st_mtime_ns=7)
    node: Any = SimpleNamespace(path=b"version", source=b"version")
    changed = SimpleNamespace(**{f"update_{name}": given for name, given in fields.items()})
    requester: Any = None
    trio.run(Writing(allowed=True, dispatch=dispatch).change, node, requester, wanted, changed)
    assert asked == [SetAttributes(b"version", None, times)]
