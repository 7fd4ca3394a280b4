"""Requesters whom AppArmor confines, by four profiles, compared with the kernel's answers.

Each asks the kernel's own /proc under the same profile: what the kernel refuses and the mirror
gives is a failure, and so is any other difference. On a slow machine `CONFINED=slice` asks as each
requester under one profile, about fewer processes, and `CONFINED="PROFILE…"` under some profiles
only: what it finds stands for what the last run found under these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from errno import EACCES, EPERM
from pathlib import Path

import msgspec

from tests.kernels.findings import Findings
from tests.kernels.guest.patience import OPTIONS, PROGRAM, TIMES
from tests.kernels.guest.profiles import DOCKER, PROFILES, load
from tests.mounting import mounted
from tests.permissions.compare import Difference
from tests.permissions.entries import Entries
from tests.permissions.suite import Comparison, compare
from tests.permissions.targets import targets

STACKED = "procmirror-ptrace-read//&procmirror-container"
TARGETS = ["ordinary", "root's", "another's", "not dumpable"]
SLICE = {
    "owner": (DOCKER,),
    "root": ("procmirror-no-files",),
    "another": ("procmirror-no-ptrace",),
    "another with CAP_SYS_PTRACE": ("procmirror-ptrace-read",),
}
REQUESTERS = {
    "owner": (*PROFILES, STACKED),
    "root": (*PROFILES, STACKED),
    "another": tuple(PROFILES)[:3],
    "another with CAP_SYS_PTRACE": tuple(PROFILES)[:3],
}
SOME = os.environ.get("CONFINED", "").split()
RESULTS = Path("/run/results")


def examined(findings: Findings) -> None:
    """Load the profiles, and compare what requesters under each are answered."""
    for name in PROFILES:
        load(name)
    findings.remarks.append(f"limits of time {TIMES} times as long")
    about = ["ordinary", "not dumpable"] if SOME == ["slice"] else TARGETS
    if SOME and SOME != ["slice"]:
        _go_on(findings)
    with mounted(*OPTIONS, program=PROGRAM, quiet=False) as mount, targets(about) as everybody:
        entries = Entries("/proc", str(mount.path))
        for requester, name in _asked():
            within = ["aa-exec", "-p", name, "--"]
            result = compare([requester], entries, everybody, within=within)
            _judge(findings, name, requester, result)
            findings.write(RESULTS)


def _asked() -> Iterator[tuple[str, str]]:
    """Each requester and profile that is asked about."""
    everything = SLICE if SOME == ["slice"] else REQUESTERS
    for requester, names in everything.items():
        yield from ((requester, name) for name in names if SOME in ([], ["slice"]) or name in SOME)


def _go_on(findings: Findings) -> None:
    """Take over what the last run found under the other profiles."""
    place = RESULTS / f"{findings.part}.json"
    if not place.exists():
        return
    earlier = msgspec.json.decode(place.read_bytes(), type=Findings)
    for remark in earlier.remarks:
        answers = re.search(r": (\d+) answers", remark)
        if answers and remark.partition(": ")[0] not in SOME:
            findings.count += int(answers[1])
            findings.remarks.append(remark)
    for failure in earlier.failures:
        if failure.partition(": ")[0] not in SOME:
            findings.fail(failure)


def _judge(findings: Findings, profile: str, requester: str, result: Comparison) -> None:
    who = f"{profile}: {requester}"
    others = [one for one in result.others if not (_needs_more(profile, one) or _is_own_trace(one))]
    for difference in (*result.leaks, *others):
        findings.fail(f"{who}: {difference}")
    findings.count += result.answers
    findings.remarks.append(
        f"{who}: {result.answers} answers, {len(result.leaks)} let in, "
        f"{len(others)} answered otherwise"
    )


def _is_own_trace(difference: Difference) -> bool:
    """Whether the own `stack` or `syscall` is refused, as tracing is: the worker is another process."""
    entry, mirror = difference.entry, difference.outcome.mirror
    return (
        entry[0] == "self"
        and entry[-1] in {"stack", "syscall"}
        and mirror is not None
        and mirror.errno in {EACCES, EPERM}
    )


def _needs_more(profile: str, difference: Difference) -> bool:
    """Whether a view is refused that is made of a file besides its entry that the profile denies."""
    view, mirror = difference.item.mirror.rpartition("/")[2], difference.outcome.mirror
    return (
        profile == "procmirror-no-files"
        and view.startswith(("pagemap", "stack."))
        and mirror is not None
        and mirror.errno in {EACCES, EPERM}
    )
