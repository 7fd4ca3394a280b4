"""Where a write goes, and what may be written at all, without a mount."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse.writing import Writing
from procmirror.mirror import tree
from procmirror.workers.handle import Result


class Dispatch:
    """Takes down what a worker is asked to write, and says that it took all."""

    apart = False

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def is_apart(self, _: object) -> bool:
        """Whether the requester is in other namespaces."""
        return self.apart

    async def call(self, _: object, __: object, request: Any, ___: object) -> Result:
        """Write everything."""
        self.offsets.append(request.operation.offset)
        return Result(request.operation.size)


def writing(dispatch: Any, *, allowed: bool = True) -> Writing:
    return Writing(allowed, dispatch)


def written(dispatch: Any, *pieces: tuple[int, bytes]) -> list[int]:
    """What is answered to writes at offsets to one open file."""
    opener = SimpleNamespace(node=SimpleNamespace(process=None), identity=None, placement=None)
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


def node(path: str, name: bytes, *, view: bool = False) -> Any:
    """A name in the directory with these traits."""
    sibling = object() if view else None
    return SimpleNamespace(name=name, place=tree.directory(path), sibling=sibling, process=None)


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
