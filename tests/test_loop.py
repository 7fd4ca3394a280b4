"""The request loop.

A handler that waits delays nobody, trio's tasks run meanwhile, and it gives way where it cannot
help.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyfuse3
import pytest
import trio

from procmirror.fuse import loop, session_tasks

# Files that can be opened in the order of their names only: opening the second waits until the
# first was opened.
PROGRAM = """
import errno, stat, sys
import pyfuse3, trio
from procmirror.fuse import loop

NAMES = (b"tick", b"first", b"second", b"third", b"after-tick", b"late")
BEFORE = {b"second": b"first", b"third": b"second", b"after-tick": b"tick"}

class Steps(pyfuse3.Operations):
    def __init__(self):
        super().__init__()
        self.steps = {name: trio.Event() for name in NAMES}

    async def getattr(self, inode, ctx):
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.entry_timeout, entry.attr_timeout = inode, 0, 0
        entry.st_mode = stat.S_IFDIR | 0o755 if inode == 1 else stat.S_IFREG | 0o644
        return entry

    async def lookup(self, parent, name, ctx):
        if name not in NAMES:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(10 + NAMES.index(name), ctx)

    async def open(self, inode, flags, ctx):
        name = NAMES[inode - 10]
        if name in BEFORE:
            await self.steps[BEFORE[name]].wait()
        elif name == b"late":
            with trio.move_on_after(0.01):
                await trio.sleep_forever()
        self.steps[name].set()
        return pyfuse3.FileInfo(fh=inode)

async def tick(steps):
    await trio.sleep(0.05)
    steps[b"tick"].set()

async def main():
    operations = Steps()
    pyfuse3.init(operations, sys.argv[1], {"fsname=steps"})
    print("ready", flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick, operations.steps)
        await loop.serve()

trio.run(main)
pyfuse3.close()
"""


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Path]:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield tmp_path
        subprocess.run(["fusermount3", "-u", str(tmp_path)], check=True, timeout=20)
        assert process.wait(20) == 0


def opening(path: Path, done: list[str]) -> threading.Thread:
    def touch() -> None:
        os.close(os.open(path, os.O_RDONLY))
        done.append(path.name)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    return thread


@pytest.mark.mount
def test_handlers_that_wait_for_later_requests_get_them(steps: Path) -> None:
    done: list[str] = []
    waiting = [opening(steps / name, done) for name in ("third", "second")]
    opening(steps / "late", done).join(20)
    assert done == ["late"]
    waiting.append(opening(steps / "first", done))
    for thread in waiting:
        thread.join(20)
    assert sorted(done) == ["first", "late", "second", "third"]


@pytest.mark.mount
def test_other_tasks_and_their_deadlines_run_between_requests(steps: Path) -> None:
    done: list[str] = []
    thread = opening(steps / "after-tick", done)
    while thread.is_alive():
        assert not os.path.exists(steps / "gone")
    assert done == ["after-tick"]


def test_without_a_place_for_the_stand_in_pyfuse3_serves_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called = []

    async def main(*limits: int) -> None:
        called.append(limits)

    monkeypatch.setattr(pyfuse3, "trio", object(), raising=False)
    monkeypatch.setattr(pyfuse3, "main", main)
    trio.run(loop.serve, 7)
    assert called == [(1, 7)]


def test_the_stand_in_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def main(*limits: int) -> None:
        seen.append((limits, pyfuse3.trio is trio))  # type: ignore[attr-defined]

    monkeypatch.setattr(pyfuse3, "main", main)
    trio.run(loop.serve)
    assert seen == [((0, 1), False)]
    assert pyfuse3.trio is trio  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EIO])
def test_an_aborted_connection_is_the_end_and_any_other_error_is_not(code: int) -> None:
    """As pyfuse3 raises them from its read.

    The first comes of an umount(8) with much left to be closed.
    """

    async def session_loop() -> None:
        raise OSError(code, os.strerror(code))

    async def main() -> None:
        driver = session_tasks.Driver(
            loop.Loop(1), lambda: session_tasks.Session(session_loop()), lambda: None
        )
        await driver.run()

    with (
        contextlib.nullcontext()
        if code == errno.ECONNABORTED
        else pytest.raises(OSError, match=os.strerror(code))
    ):
        trio.run(main)
