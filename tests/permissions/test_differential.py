"""Whoever may read a thing in /proc may read it in the mirror, whoever may not gets the same errno.

Asked of the kernel.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mounting import Mount
from tests.permissions.compare import Difference
from tests.permissions.entries import Entries
from tests.permissions.requesters import REQUESTERS
from tests.permissions.suite import UNSEEN, Comparison, agree, compare
from tests.permissions.targets import Target, described

ENOUGH = 100_000
MOMENTARY = {
    "stat",
    "status",
    "wchan",
    "stack",
    "syscall",
    "sched",
    "schedstat",
    "io",
    "fd",
    "fdinfo",
    "task",
}


@pytest.fixture(scope="module")
def comparison(mirror: Mount, everybody: list[Target], report: list[str]) -> Comparison:
    start = time.monotonic()
    names = [name for name in REQUESTERS if name not in UNSEEN]
    result = compare(names, Entries("/proc", str(mirror.path)), everybody)
    report.append(
        f"permissions: {result.answers:,} answers to {len(names)} requesters compared with the kernel's in "
        f"{time.monotonic() - start:.0f} s, {len(result.leaks)} let in wrongly, {len(result.others)} otherwise different, "
        f"{len(result.impossible)} impossible"
    )
    return result


def test_nothing_is_let_in_that_the_kernel_refuses(
    comparison: Comparison, everybody: list[Target]
) -> None:
    agree(comparison.leaks, everybody)


def test_everything_else_is_answered_as_by_the_kernel(
    comparison: Comparison, everybody: list[Target]
) -> None:
    agree(comparison.others, everybody)


def test_enough_was_asked(comparison: Comparison) -> None:
    assert comparison.answers >= ENOUGH


def _came_and_went(difference: Difference) -> bool:
    """Whether it is a descriptor of the daemon's, of which both say the same a moment later."""
    again = difference.again
    if again is None or not {"fd", "fdinfo"} & set(difference.entry):
        return False
    return {again.mirror or again.before, again.after or again.before} == {again.before}


def _leads_to_a_process(difference: Difference) -> bool:
    """Whether it is a pidfd, as the daemon and the server of parsers have: no path leads there."""
    mirror = difference.outcome.mirror
    if "fd" not in difference.entry or mirror is None or mirror.errno != errno.ENOENT:
        return False
    with suppress(OSError):
        return "pidfd" in os.readlink("/".join(("/proc", *difference.entry)))
    return True


def test_the_daemon_and_its_workers_are_like_any_process(
    mirror: Mount, everybody: list[Target]
) -> None:
    processes = [
        described(f"process {place} of the daemon", pid)
        for place, pid in enumerate(mirror.processes())
    ]
    names = [name for name in REQUESTERS if name not in UNSEEN][::3]
    result = compare(names, Entries("/proc", str(mirror.path)), processes, neighbours=everybody)
    # They run while they answer, so that what they do at the moment is another thing at each
    # question. A worker that is sent home meanwhile has a name for a moment more
    # (test_kept_names.py).
    there = {str(process.pid) for process in processes if Path(f"/proc/{process.pid}").exists()}
    lasting = [
        difference
        for difference in result.differences
        if difference.entry[0] in there
        and not (_came_and_went(difference) or _leads_to_a_process(difference))
    ]
    differences = [
        difference
        for difference in lasting
        if difference.leak or difference.entry[-1] not in MOMENTARY
    ]
    agree(differences, processes)


def test_the_kernel_agrees_with_itself(everybody: list[Target]) -> None:
    """The method sees no difference where there is none: /proc compared with /proc."""
    names = (
        "root",
        "owner",
        "another with CAP_SYS_PTRACE",
        "root of the target's user namespace",
        "owner with another clock",
    )
    result = compare(names, Entries("/proc", "/proc", decoded=False), everybody, read_only=False)
    agree(result.differences, everybody)
