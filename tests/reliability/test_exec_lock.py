"""A process that never comes out of execve(2): whoever asks about it waits alone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.workers.pool import REAP_SECONDS
from tests.mounting import Mount
from tests.reliability.mirrors import at_once, mirrored
from tests.reliability.readers import Job, Readers, Step, ask, attributes, names, piece, read
from tests.reliability.stuck import stuck

OWNER, OTHER = 61007, 61008
LIMIT = 10.0
FOLDERS = ("attr", "fd", "fdinfo", "net", "ns", "task", "map_files")
ENDLESS = ("mem", "pagemap", "clear_refs")


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


def test_natively_such_a_target_holds_up_its_readers() -> None:
    with stuck(kind="exec") as (target,):
        command = ["timeout", "2", "cat", f"/proc/{target.pid}/environ"]
        assert subprocess.run(command, check=False).returncode == 124


def everything_about(folder: Path) -> list[Step]:
    """Whatever stands in the directory of a process, asked for by name, read and listed."""
    own = [name for name in os.listdir("/proc/self") if name not in ENDLESS]
    views = [f"{name}.{suffix}" for name in own for suffix in ("json", "txt")]
    links = [f"{folder}/ns/{name}" for name in os.listdir("/proc/self/ns")]
    return [
        names(folder),
        *(names(folder / name) for name in FOLDERS),
        *(attributes(folder / name) for name in own),
        *(attributes(link) for link in links),
        *(read(folder / name) for name in (*own, *views) if name not in FOLDERS),
        read(folder / "attr/current"),
        read(folder / f"task/{folder.name}/stat"),
    ]


@pytest.mark.parametrize("user", [OWNER, OTHER, 0])
def test_who_asks_about_it_waits_alone(own_mirror: Mount, user: int) -> None:
    with stuck(user=OWNER, kind="exec") as (target,):
        steps = everything_about(own_mirror.path / f"{target.pid}")
        # One process for all, as a walk has it, and eight at a time.
        asking = Readers([Job(steps[at::8], user) for at in range(8)], 60)
        bystander = [read(own_mirror.path / "loadavg"), read(own_mirror.path / "self/environ")]
        for _ in range(40):
            (answers,) = ask([Job(bystander, OTHER)], LIMIT)
            assert {answer.error for answer in answers} == {""}
            assert max(answer.seconds for answer in answers) < at_once()
        told = asking.answers()
    assert None not in told
    errors = {answer.error for job in told for answer in job or []}
    assert "" in errors and not errors & {"EIO"}


def test_nor_does_the_daemon_ask_for_its_owner_while_a_worker_is_lost(own_mirror: Mount) -> None:
    """A worker that cannot be ended counts against the owner of what it reads."""
    with stuck(lure=True, user=OWNER) as (lure,), stuck(user=OWNER, kind="exec") as (target,):
        ((lost,),) = ask([Job([piece(own_mirror.path / f"{lure.pid}/mem", lure.address)])], LIMIT)
        assert lost.error == "ETIMEDOUT"
        time.sleep(2 * REAP_SECONDS)
        folder = own_mirror.path / str(target.pid)
        asking = Readers(
            [Job([read(folder / "environ"), names(folder / "fd")], user) for user in (0, OTHER)], 30
        )
        bystander = [read(own_mirror.path / "loadavg"), read(own_mirror.path / "self/environ")]
        (answers,) = ask([Job(bystander * 20, OTHER)], LIMIT)
        assert {answer.error for answer in answers} == {""}
        assert max(answer.seconds for answer in answers) < at_once()
        assert None not in asking.answers()


@pytest.mark.parametrize("user", [0, OWNER, OTHER])
def test_views_of_it_say_what_the_kernel_tells_and_what_is_missing(
    own_mirror: Mount, user: int
) -> None:
    with stuck(user=OWNER, kind="exec") as (target,):
        folder = own_mirror.path / str(target.pid)
        views = [f"{name}.txt" for name in ("stack", "process", "task", "limits")]
        views += [] if user == OTHER else ["fd.txt"]
        # Twice: what is remembered of the first time changes nothing.
        (answers,) = ask([Job([read(folder / view) for view in views * 2], user)], 30)
        assert {answer.error for answer in answers} == {""}
        assert max(answer.seconds for answer in answers) < at_once()
        page = subprocess.run(
            ["cat", folder / "process.json"],
            user=user,
            extra_groups=[],
            capture_output=True,
            check=True,
        )
    process = json.loads(page.stdout)
    assert process["status"]["Uid"]["real"] == OWNER
    # Which files wait for the lock, the kernels do not agree on.
    assert "ETIMEDOUT" in {one["reason"] for one in process["incomplete"]}


@pytest.mark.parametrize("name", ["by-name", "by-user", "processes.ndjson"])
def test_lists_of_all_processes_wait_for_none_of_them(own_mirror: Mount, name: str) -> None:
    """Others than root own user namespaces, about which a worker asks of each process."""
    with stuck(user=OWNER, kind="exec"):
        path = own_mirror.path / name
        step = read(path) if path.suffix else names(path)
        (answers,) = ask([Job([step], OTHER)], LIMIT)
        assert answers[0].error == ""
