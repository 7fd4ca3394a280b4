"""psutil with its procfs at the mirror says of the system and of every process what it says on /proc."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mounting import Mount
from tests.programs import ran, running

HOLDER = """import socket, time
held = socket.create_server(("127.0.0.1", 0)), open("/etc/passwd"), open("/dev/null", "w")
time.sleep(600)"""


@pytest.fixture(scope="module")
def holders(wes: int) -> Iterator[list[int]]:
    """A process of root and one of wes with open files and a socket."""
    command = (sys.executable, "-S", "-c", HOLDER)
    with (
        running(*command, name="python") as roots,
        running(*command, user=wes, name="python") as his,
    ):
        yield [roots, his]


def facts(proc: Path, user: int | None) -> Any:
    code, out, err = ran(
        sys.executable, "-m", "tests.clients.psutil_facts", proc, user=user, deadline=60
    )
    assert (code, err) == (0, "")
    return json.loads(out)


# How far a number that moves by itself may be from what it was a moment before and after.
MOVES = 0.25
# What moves to and fro, so that it may be the same before and after and another between: shared
# pages, the system's memory.
MOVING = re.compile(r"^/system/memory|/memory_maps/|/memory_full_info/|/memory_info/")


def momentary(at: str, before: str, mirrored: str) -> bool:
    """Whether a word says what a process does at the moment.

    The kernel names its workers after that.
    """
    if at.endswith("/status"):
        return {before, mirrored} <= {"running", "sleeping", "disk-sleep"}
    return before.startswith("kworker/") and mirrored.startswith("kworker/")


def differences(
    before: Any, mirrored: Any, after: Any, at: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Where the mirror says something else although /proc says the same before and after, or a number far from both."""
    # The path of a process with another root directory would lead psutil to another file.
    if mirrored in (before, after, f"(unreachable){before}"):
        return
    if all(isinstance(one, dict) for one in (before, mirrored, after)):
        for name in before.keys() & after.keys():
            yield from differences(before[name], mirrored.get(name), after[name], f"{at}/{name}")
    elif all(
        isinstance(one, list) and len(one) == len(before) for one in (before, mirrored, after)
    ):
        for number, three in enumerate(zip(before, mirrored, after, strict=True)):
            yield from differences(*three, f"{at}/{number}")
    elif all(isinstance(one, int | float) for one in (before, mirrored, after)):
        if at.endswith("/cpu_num"):
            return
        moves = before != after or MOVING.search(at)
        if not moves or not min(before, after) * (1 - MOVES) <= mirrored <= max(before, after) * (
            1 + MOVES
        ):
            yield at, before, mirrored
    elif before == after and not momentary(at, str(before), str(mirrored)):
        yield at, before, mirrored


def settled(at: str, holders: list[int]) -> bool:
    """Whether a value can be compared.

    How pages are shared changes under others' hands, but for processes that only wait.
    """
    _, kind, pid, *_ = at.split("/")
    return kind != "processes" or int(pid) in holders or not MOVING.search(at)


@pytest.mark.parametrize("who", ["root", "wes"])
def test_as_on_proc(mirror: Mount, wes: int, holders: list[int], who: str) -> None:
    user = wes if who == "wes" else None
    lasting: dict[str, Any] = {}
    for attempt in range(4):
        before, mirrored, after = (
            facts(Path("/proc"), user),
            facts(mirror.path, user),
            facts(Path("/proc"), user),
        )
        found = {
            at: rest for at, *rest in differences(before, mirrored, after) if settled(at, holders)
        }
        # While the daemon is asked it holds the status of who asks.
        found.pop(f"/processes/{mirror.daemon}/open_files", None)
        # What moves to and fro is soon seen to agree; what is wrong stays wrong.
        lasting = {at: rest for at, rest in found.items() if at in lasting or not attempt}
        if not lasting:
            break
    assert lasting == {}
    own = mirrored["processes"][str(holders[user is not None])]
    assert own["environ"] and own["memory_maps"] and own["net_connections"] and own["num_fds"] >= 6
    assert [file[0] for file in own["open_files"]] == ["/etc/passwd"]
    roots = mirrored["processes"][str(holders[0])]
    assert (roots["environ"] == "AccessDenied") == (user is not None)
