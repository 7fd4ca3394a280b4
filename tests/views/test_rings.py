"""What the kernel takes seconds to print of a ring of io_uring is not asked for by views of all processes."""

from __future__ import annotations

from typing import Any

from procmirror.decoding.view import Machine
from procmirror.mirror.siblings import view_named
from tests.readings import Imitated

RING = "anon_inode:[io_uring]"
LOCK = b"FLOCK  ADVISORY  WRITE 7 08:01:12 0 EOF"


def reading() -> Imitated:
    files: dict[str, object] = {
        "locks": b"1: " + LOCK + b"\n",
        "7/comm": b"holder\n",
        "7/status": b"Name:\tholder\nPid:\t7\nUid:\t0\t0\t0\t0\n",
        "7/fd/3": b"",
        "7/fd/4": b"",
        "7/fdinfo/3": b"pos:\t0\nflags:\t02000002\n",
        "7/fdinfo/4": b"pos:\t0\nflags:\t0100000\nlock:\t1: " + LOCK + b"\n",
    }
    return Imitated(files, {"7/fd/3": RING, "7/fd/4": "/srv/lock"})


def made(view: str, source: Imitated) -> Any:
    found = view_named(view).record_of(source, Machine())
    return list(found.content(iter(found))) if view == "files" else found


def test_holders_of_locks_are_found_without_rings() -> None:
    source = reading()
    (lock,) = made("locks", source)
    assert lock.path == "/srv/lock"
    assert "7/fdinfo/4" in source.asked
    assert "7/fdinfo/3" not in source.asked


def test_a_ring_is_known_to_be_open_for_both() -> None:
    source = reading()
    found = {row.path: row.access for row in made("files", source)}
    assert found[RING] == "read-write"
    assert found["/srv/lock"] == "read"
    assert "7/fdinfo/3" not in source.asked
