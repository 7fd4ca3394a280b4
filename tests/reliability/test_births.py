"""Whoever loses interest while a worker is made leaves nothing behind.

No answer for the next, and no count.
"""

from __future__ import annotations

import os
import random
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from procmirror.procfs.roots import ProcRoots
from procmirror.workers.forkserver_client import ForkServer
from procmirror.workers.placement import IN_DAEMON
from tests.harness import until
from tests.mounting import Mount, mounted
from tests.programs import environment, ran, running

CLOSING = """
import os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDONLY)
time.sleep(float(sys.argv[2]))
os.close(descriptor)
time.sleep(0.02)
"""
_CHANCE = random.Random(7)


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mounted(quiet=False) as mount:
        yield mount


def test_a_worker_that_nobody_waits_for_any_more_is_given_to_nobody_else() -> None:
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    server = ForkServer(ProcRoots(root, root))
    server.begin()

    async def spawned() -> None:
        for delay in (0, *(_CHANCE.random() / 500 for _ in range(30))):
            with trio.move_on_after(delay):
                (await server.spawn(IN_DAEMON.identity, {})).close()
            assert not select.select([server.channel], [], [], 0)[0]

    trio.run(spawned)
    server.close()
    os.close(root)


def test_namespaces_that_are_closed_while_a_request_queues_for_the_fork_server_are_copied() -> None:
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    server = ForkServer(ProcRoots(root, root))
    server.begin()
    first = server.channel

    async def spawned() -> None:
        own = os.open("/proc/self/ns/uts", os.O_RDONLY)
        async with trio.open_nursery() as nursery, server.lock:
            nursery.start_soon(one, {"uts": own})
            await trio.testing.wait_all_tasks_blocked()
            os.close(own)

    async def one(namespaces: dict[str, int]) -> None:
        (await server.spawn(IN_DAEMON.identity, namespaces)).close()

    trio.run(spawned)
    assert server.channel is first
    server.close()
    os.close(root)


def test_readers_in_namespaces_of_their_own_who_leave_early_change_nothing_for_others(
    own_mirror: Mount,
) -> None:
    path = str(own_mirror.path / "processes.ndjson")
    for user in range(61100, 61140):
        wait = f"{_CHANCE.uniform(0.003, 0.015):.4f}"
        ran("unshare", "-Ur", sys.executable, "-c", CLOSING, path, wait, user=user)
    for _ in range(3):
        ran("sh", "-c", f"cat {path} & cat {path} & cat {path} & wait")
    with running("sleep", "600", env=environment(SECRET="of-root")) as pid:
        for user in range(61140, 61150):
            own = ran("unshare", "-Ur", "cat", own_mirror.path / "self/smaps_rollup", user=user)
            assert own.code == 0, own
            other = ran("unshare", "-Ur", "cat", own_mirror.path / f"{pid}/environ", user=user)
            assert (other.code, other.out) == (1, "")
            assert other.err.endswith("Permission denied\n")
    assert Path(f"/proc/{own_mirror.daemon}").exists()


REWINDING = """
import mmap, os, sys, threading, time
descriptor = os.open(sys.argv[1] % os.getpid(), os.O_RDONLY)
os.pread(descriptor, 100, 0)
maps = [mmap.mmap(-1, 4096, prot=1 + at % 2 * 2, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for at in range(1500)]
time.sleep(1.1)
readers = [threading.Thread(target=os.pread, args=(descriptor, 100, 0)) for _ in range(6)]
[reader.start() for reader in readers]
[reader.join() for reader in readers]
os.close(descriptor)
"""


def test_readers_who_begin_anew_at_once_leave_nothing(own_mirror: Mount) -> None:
    def memory() -> int:
        return sum(
            "memfd:procmirror (" in os.readlink(link)  # but no note of what a worker reads
            for link in Path(f"/proc/{own_mirror.daemon}/fd").iterdir()
            if link.is_symlink()
        )

    for _ in range(3):
        assert ran(
            sys.executable, "-c", REWINDING, f"{own_mirror.path}/%d/maps.json", deadline=20
        ) == (
            0,
            "",
            "",
        )
    until(lambda: memory() == 0, "snapshots are left")


def test_a_reader_of_megabytes_at_a_time_gets_what_the_kernel_says_and_leaves_nothing(
    own_mirror: Mount,
) -> None:
    before = len(os.listdir(f"/proc/{own_mirror.daemon}/fd"))
    place = own_mirror.path / "kallsyms"
    code, counted, _ = ran(
        "sh", "-c", f"dd if={place} bs=1M status=none | cmp - /proc/kallsyms && echo same"
    )
    assert (code, counted) == (0, "same\n")
    descriptor = os.open(place, os.O_RDONLY)
    for _ in range(20):
        os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    # The status and syscall of a requester stay open for two seconds at most.
    until(
        lambda: len(os.listdir(f"/proc/{own_mirror.daemon}/fd")) <= before + 3,
        "more descriptors are open than before",
    )
