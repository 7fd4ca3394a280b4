"""No owner of processes takes a view of all processes from the others."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from procmirror.decoding.shares import LITTLE, TOTAL, Shares
from procmirror.decoding.view import MOST_OF_EACH, Machine
from procmirror.mirror.siblings import view_named
from tests.readings import Imitated

GREEDY, OTHER = 61021, 61022
# What takes six bytes in JSON.
LONG = b"\x01" * (MOST_OF_EACH - 1)
STATUS = b"Name:\tsleep\nPid:\t%d\nPPid:\t1\nUid:\t%d\t%d\t%d\t%d\nVmRSS:\t1 kB\n"


def rows(view: str, reading: Imitated) -> list[dict[str, Any]]:
    """The rows of a view of all processes, all of which it can hold."""
    made = view_named(view).record_of(reading, Machine())
    text = msgspec.json.encode(list(made.content(iter(made))))
    assert len(text) < 64 << 20
    found: list[dict[str, Any]] = json.loads(text)
    return found


def status(pid: int, uid: int) -> bytes:
    return STATUS % (pid, uid, uid, uid, uid)


@pytest.mark.parametrize("view", ["tree", "memory"])
def test_of_many_long_arguments_an_owner_has_its_share(view: str) -> None:
    last = 300
    files: dict[str, object] = {}
    for pid in range(1, last + 1):
        files[f"{pid}/status"] = status(pid, OTHER if pid == last else GREEDY)
        files[f"{pid}/cmdline"] = LONG + b"\0"
        files[f"{pid}/smaps_rollup"] = b""
    found = {row["pid"]: row for row in rows(view, Imitated(files))}
    assert len(found) == last
    name = "cmdline" if "cmdline" in found[1] else "arguments"
    assert [len(found[pid][name][0]) for pid in (1, last)] == [len(LONG)] * 2
    assert len(found[last - 1][name][0]) == LITTLE
    cut = {"part": "cmdline", "reason": f"truncated to {LITTLE} bytes"}
    assert cut in found[last - 1]["incomplete"]
    assert not any(one["part"] == "cmdline" for one in found[last]["incomplete"])


def test_of_many_long_paths_an_owner_has_its_share() -> None:
    last, path = 200, "/" + "\x01" * 4000
    files: dict[str, object] = {}
    links: dict[str, object] = {}
    for pid in range(1, last + 1):
        files[f"{pid}/status"] = status(pid, OTHER if pid == last else GREEDY)
        for fd in range(20):
            files[f"{pid}/fdinfo/{fd}"] = b"pos:\t0\nflags:\t02\n"
            files[f"{pid}/fd/{fd}"] = b""
            links[f"{pid}/fd/{fd}"] = path
    found = rows("files", Imitated(files, links))
    shown = {pid: [row for row in found if row["pid"] == pid] for pid in range(1, last + 1)}
    assert [sum(row["use"] == "fd" for row in shown[pid]) for pid in (1, last)] == [20, 20]
    (marked,) = shown[last - 1]
    assert {"part": "fd", "reason": "EFBIG"} in marked["incomplete"]


def test_there_is_always_some_for_the_next_owner() -> None:
    shares = Shares()
    for owner in range(12):
        while shares.has_more(owner):
            shares.take(owner, ["x" * 10_000])
    assert shares.has_more(12)
    assert sum(shares._had.values()) < TOTAL
