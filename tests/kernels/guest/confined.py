"""Requesters whom AppArmor confines, by four profiles, compared with the kernel's answers.

Each asks the kernel's own /proc under the same profile: what the kernel refuses and the mirror
gives is a failure, and so is any other difference. On a slow machine `CONFINED=slice` asks as each
requester under one profile, about fewer processes.
"""

from __future__ import annotations

import os
from pathlib import Path

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


def examined(findings: Findings) -> None:
    """Load the profiles, and compare what requesters under each are answered."""
    for name in PROFILES:
        load(name)
    findings.remarks.append(f"limits of time {TIMES} times as long")
    is_slice = os.environ.get("CONFINED") == "slice"
    about = ["ordinary", "not dumpable"] if is_slice else TARGETS
    with mounted(*OPTIONS, program=PROGRAM, quiet=False) as mount, targets(about) as everybody:
        entries = Entries("/proc", str(mount.path))
        for requester, names in (SLICE if is_slice else REQUESTERS).items():
            for name in names:
                within = ["aa-exec", "-p", name, "--"]
                result = compare([requester], entries, everybody, within=within)
                _judge(findings, name, requester, result)
                findings.write(Path("/run/results"))


def _judge(findings: Findings, profile: str, requester: str, result: Comparison) -> None:
    who = f"{profile}: {requester}"
    others = [one for one in result.others if not _needs_more(profile, one)]
    for difference in (*result.leaks, *others):
        findings.fail(f"{who}: {difference}")
    findings.count += result.answers
    findings.remarks.append(
        f"{who}: {result.answers} answers, {len(result.leaks)} let in, "
        f"{len(others)} answered otherwise"
    )


def _needs_more(profile: str, difference: Difference) -> bool:
    """Whether a view is made of a file besides its entry that the profile denies."""
    return profile == "procmirror-no-files" and difference.entry[-1].startswith(
        ("pagemap", "stack.")
    )
