"""Requesters whom AppArmor confines, by four profiles, compared with the kernel's answers.

Each asks the kernel's own /proc under the same profile: what the kernel refuses and the mirror
gives is a failure, and so is any other difference.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.kernels.findings import Findings
from tests.mounting import mounted
from tests.permissions.compare import Difference
from tests.permissions.entries import Entries
from tests.permissions.suite import Comparison, compare
from tests.permissions.targets import targets

_EVERYTHING_ELSE = "file, capability, network, signal, unix, mount, umount, pivot_root, dbus,"
# The third is as container engines write it, in short.
PROFILES = {
    "procmirror-no-ptrace": _EVERYTHING_ELSE,
    "procmirror-ptrace-read": f"{_EVERYTHING_ELSE} ptrace (read),",
    "procmirror-container": """
        network, capability, file, umount, signal,
        deny @{PROC}/* w,
        deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w,
        deny @{PROC}/sys/[^k]** w,
        deny @{PROC}/sysrq-trigger rwklx,
        deny @{PROC}/kcore rwklx,
        ptrace (trace, read, tracedby, readby) peer=procmirror-container,
    """,
    # What it may not read is under the place of the procfs; the mirror itself it may read.
    "procmirror-no-files": f"""
        {_EVERYTHING_ELSE} ptrace (read),
        deny /proc/*/{{environ,maps,status,fd/}} r,
        deny /proc/*/task/*/{{environ,maps,status,fd/}} r,
        deny /proc/{{meminfo,version,net/}} r,
        deny /proc/*/net/tcp r,
    """,
}
# A name below fd/ has to be looked up within a second, which takes an emulated processor longer.
_PATIENT = (
    "-c",
    (
        "from procmirror.cli import main; from procmirror.workers import calls; "
        "calls.SHORT_TIMEOUT_SECONDS = 60; raise SystemExit(main.main())"
    ),
)
STACKED = "procmirror-ptrace-read//&procmirror-container"
TARGETS = ["ordinary", "root's", "another's", "not dumpable"]
REQUESTERS = {
    "owner": (*PROFILES, STACKED),
    "root": (*PROFILES, STACKED),
    "another": tuple(PROFILES)[:3],
    "another with CAP_SYS_PTRACE": tuple(PROFILES)[:3],
}


def examined(findings: Findings) -> None:
    """Load the profiles, and compare what requesters under each are answered."""
    for name, rules in PROFILES.items():
        _load(name, rules)
    with (
        mounted("--timeout", "60", program=_PATIENT, quiet=False) as mount,
        targets(TARGETS) as everybody,
    ):
        entries = Entries("/proc", str(mount.path))
        for requester, names in REQUESTERS.items():
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
    return profile == "procmirror-no-files" and difference.entry[-1].startswith("pagemap")


def _load(name: str, rules: str) -> None:
    flags = "flags=(attach_disconnected, mediate_deleted)"
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"#include <tunables/global>\nprofile {name} {flags} {{\n{rules}\n}}\n")
        file.flush()
        command = ["apparmor_parser", "--replace", "--skip-cache", file.name]
        subprocess.run(command, check=True)
