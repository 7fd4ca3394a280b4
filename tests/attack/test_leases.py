"""A lease on a file of one's own process keeps nobody waiting but who opens that file natively."""

from __future__ import annotations

import errno
import json
import time
from pathlib import Path

from tests.attack import namespace_leases
from tests.attack.scene import ATTACKER, THIRD, attacker, measured, undisturbed
from tests.harness import load, until
from tests.programs import ran
from tests.reliability.mirrors import mirrored
from tests.reliability.readers import Job, ask, attributes, names, read

NAMES = ("status", "stat", "cmdline", "environ", "status.json", "process.txt", "stack.txt")
_MANY = 20


def _leases_of(pid: int) -> int:
    """How many leases a process has, by the kernel's list."""
    locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return sum("LEASE" in line and f" {pid} " in line for line in locks)


def test_who_has_leases_on_his_files_keeps_nobody_waiting() -> None:
    """The daemon opens some of these files itself, for whoever asks about that process.

    Whoever looks for the processes of a mirror opens the `stat` of all natively, and waits for 45
    seconds at each that is leased: that is done before.
    """
    with (
        mirrored() as mirror,
        undisturbed(mirror),
        attacker("leases", mirror.path, ATTACKER) as made,
    ):
        until(lambda: _leases_of(made[1]) > _MANY, "no leases")
        paths = [mirror.path / f"{pid}/{name}" for pid in made for name in NAMES]
        for user in (0, ATTACKER, THIRD):
            began = time.monotonic()
            (answers,) = ask([Job([read(path) for path in paths], user)])
            assert time.monotonic() - began < 10 * load()
            # What is not leased at the moment, or not to be read by others, is answered so.
            told = {one.error for one in answers}
            assert told <= {"", errno.errorcode[errno.EAGAIN], errno.errorcode[errno.EACCES]}
        measured(mirror, 1).check()


def test_a_setting_of_roots_is_nobodys_to_lease_whatever_namespaces_a_user_has() -> None:
    """Below `sys` the kernel tells other owners in other namespaces, and the mirror has one file."""
    with (
        mirrored() as mirror,
        undisturbed(mirror),
        attacker("namespace_leases", mirror.path, ATTACKER) as held,
    ):
        assert held == 0
        paths = [mirror.path / name for name in namespace_leases.NAMES]
        (answers,) = ask([Job([read(path) for path in paths])])
        assert [one.error for one in answers] == [""] * len(paths)


def test_what_is_no_file_of_who_has_leases_is_answered() -> None:
    """The daemon reads status of a process to know whether it is a thread of the requester's."""
    with mirrored() as mirror, attacker("leases", mirror.path, ATTACKER) as made:
        until(lambda: _leases_of(made[1]) > _MANY, "no leases")
        place = mirror.path / str(made[1])
        steps = [
            names(place),
            names(place / "fd"),
            names(place / "task"),
            attributes(place / "exe"),
        ]
        for user in (0, ATTACKER):
            (answers,) = ask([Job(steps, user)])
            assert [one.error for one in answers] == [""] * len(steps)


def test_who_has_leases_on_his_files_is_still_a_process() -> None:
    with mirrored() as mirror, attacker("leases", mirror.path, ATTACKER) as made:
        until(lambda: _leases_of(made[1]) > _MANY, "no leases")
        rows = map(json.loads, ran("cat", mirror.path / "processes.ndjson").out.splitlines())
        shown = {row["pid"]: row for row in rows}
        assert set(made) <= set(shown)
        for pid in made:
            row = shown[pid]
            reasons = {part["reason"] for part in row.get("incomplete", ())}
            assert row["stat"] is not None or reasons == {"EAGAIN"}
