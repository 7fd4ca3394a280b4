"""The ring of a real mirror: who is answered by it, and that nothing that waits in it keeps others."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import until
from tests.mounting import Mount
from tests.programs import ran, running
from tests.reliability.mirrors import at_once, living, mirrored
from tests.reliability.readers import Job, Readers, ask, read
from tests.reliability.stuck import stuck

OWNER, OTHER = 61005, 61006
FILES = ("stat", "stat.json", "environ", "environ.txt", "cmdline", "cmdline.txt", "io", "wchan")
# A mirror that may have no ring, as in a container.
WITHOUT = """
import os, sys
from procmirror.cli.main import main
from procmirror.identity import seccomp
machine = os.uname().machine
seccomp.install(seccomp.all_but(seccomp._ARCHITECTURES[machine], [425]))
sys.exit(main())
"""


@pytest.fixture(scope="module")
def logged() -> Iterator[Mount]:
    with mirrored("-d") as mount:
        yield mount


def places(mount: Mount, path: str) -> list[str]:
    """Where the OPENs of a path were answered so far: `here`, `ring` or `worker`."""
    found = re.findall(
        rf'OPEN path="{re.escape(path)}" .* at=(\w+)', mount.log.read_text(errors="replace")
    )
    return list(map(str, found))


def open_places(mount: Mount, path: str, user: int | None = None) -> str:
    """Where one more OPEN is answered."""
    before = len(places(mount, path))
    ran("cat", f"{mount.path}{path}", user=user)
    return until(lambda: places(mount, path)[before:], "it is not logged")[0]


@pytest.mark.parametrize("user", [None, OWNER])
@pytest.mark.parametrize("name", FILES)
def test_the_ring_answers_root_and_the_owner(logged: Mount, name: str, user: int | None) -> None:
    with running("sleep", "60", user=OWNER) as pid:
        # On a busy machine a worker is asked now and then.
        assert until(lambda: open_places(logged, f"/{pid}/{name}", user) == "ring", "never")
        told = ran("cat", logged.path / f"{pid}/{name}", user=user)
        assert told.code == 0
        if name != "stat" and "." not in name:
            assert told.out == ran("cat", f"/proc/{pid}/{name}", user=user).out


@pytest.mark.parametrize("name", ["environ", "environ.txt", "io"])
def test_the_ring_refuses_whom_the_kernel_refuses(logged: Mount, name: str) -> None:
    with running("sleep", "60", user=OWNER) as pid:
        told = ran("cat", logged.path / f"{pid}/{name}", user=OTHER)
        assert (told.code, told.out) == (1, "")
        assert "Permission denied" in told.err


def test_addresses_are_told_to_who_may_trace(logged: Mount) -> None:
    with running("sleep", "60", user=OWNER) as pid:
        codes = {
            user: ran("cat", logged.path / f"{pid}/stat", user=user).out.split()[25]
            for user in (OWNER, OTHER)
        }
    assert codes[OWNER] != "1" and codes[OTHER] == "1"


@pytest.mark.parametrize("name", ["environ", "environ.txt", "io", "stat", "wchan"])
def test_about_the_daemon_and_its_threads_no_ring_is_asked(logged: Mount, name: str) -> None:
    """They share its memory, so that the kernel would let everybody read."""
    ran("cat", logged.path / "1/stat")
    for thread in os.listdir(f"/proc/{logged.daemon}/task"):
        for path in (f"/{logged.daemon}/{name}", f"/{logged.daemon}/task/{thread}/{name}"):
            assert open_places(logged, path, OTHER) != "ring"
            ours, theirs = (
                ran("cat", f"{root}{path}", user=OTHER) for root in (logged.path, "/proc")
            )
            assert ours.code == theirs.code
            if name == "stat":
                assert ours.out.split()[25:28] == theirs.out.split()[25:28]


def test_of_its_processes_the_daemon_alone_has_a_ring(logged: Mount) -> None:
    ran("cat", logged.path / "1/stack.txt")
    for pid in living(logged):
        links = [
            os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")
        ]
        maps = Path(f"/proc/{pid}/maps").read_text()
        daemon = pid == logged.daemon
        assert links.count("anon_inode:[io_uring]") == int(daemon)
        assert ("io_uring" in maps) is daemon


def test_a_target_that_never_answers_is_left_to_workers(logged: Mount) -> None:
    with stuck(user=OWNER) as (target,):
        path = f"/{target.pid}/cmdline"
        ((first,),) = ask([Job([read(f"{logged.path}{path}")], OWNER)], 10.0)
        assert first.error == "ETIMEDOUT"
        assert places(logged, path)[-1] == "worker"
        with running("sleep", "60", user=OWNER) as other:
            assert until(lambda: open_places(logged, f"/{other}/cmdline") == "ring", "never")
        started = time.monotonic()
        ran("cat", f"{logged.path}/{target.pid}/stat", user=OTHER)
        assert time.monotonic() - started < at_once()


def states(pid: int) -> set[str]:
    """The states of the threads of a process; Z alone if it has ended."""
    found = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            found.add(thread.read_text().rpartition(") ")[2][:1])
    return found


@pytest.mark.parametrize("way", ["umount", "SIGTERM"])
def test_what_waits_in_the_ring_does_not_keep_the_daemon_from_its_end(way: str) -> None:
    with stuck(6, user=OWNER) as targets, mirrored() as mount:
        asking: list[Readers] = []
        began = time.monotonic()

        def waits() -> bool:
            """Whether a thread of the kernel waits for a lock, as the worker does.

            On a busy machine the ring is asked nothing for up to two seconds: then of another one.
            """
            if len(asking) < min(len(targets), 1 + (time.monotonic() - began) / 3):
                path = mount.path / f"{targets[len(asking)].pid}/environ"
                asking.append(Readers([Job([read(path)])], 10.0))
            return "D" in states(mount.daemon)

        until(waits, "nothing waits in the ring")
        if way == "umount":
            assert all(None not in readers.answers() for readers in asking)
            ran("umount", mount.path)
        else:
            os.kill(mount.daemon, signal.SIGTERM)
        started = time.monotonic()
        until(lambda: states(mount.daemon) <= {"Z"}, "the daemon does not end")
        assert time.monotonic() - started < 2 * at_once()
        assert all(None not in readers.answers() for readers in asking)


def test_without_a_ring_workers_answer_all(tmp_path: Path) -> None:
    script = tmp_path / "without.py"
    script.write_text(WITHOUT)
    with (
        mirrored("-d", program=(str(script),)) as mount,
        running("sleep", "60", user=OWNER) as pid,
    ):
        for name in FILES:
            assert open_places(mount, f"/{pid}/{name}", OWNER) == "worker"
        assert ran("cat", mount.path / f"{pid}/cmdline").out == "sleep\00060\0"
        told = ran("cat", mount.path / f"{pid}/environ", user=OTHER)
        assert "Permission denied" in told.err
