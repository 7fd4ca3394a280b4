"""Requesters whom AppArmor confines, by three profiles, compared with the kernel's answers.

The mirror cannot take on a label yet and refuses them what is guarded. That is no failure and is
counted in a remark; what the kernel refuses and the mirror gives is one, and any other difference.
"""

from __future__ import annotations

import errno
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
}
TARGETS = ["ordinary", "root's", "another's", "not dumpable"]
REQUESTERS = ["root", "owner", "another", "another with CAP_SYS_PTRACE"]


def examined(findings: Findings) -> None:
    """Load the profiles, and compare what requesters under each are answered."""
    for name, rules in PROFILES.items():
        _load(name, rules)
    with mounted(quiet=False) as mount, targets(TARGETS) as everybody:
        entries = Entries("/proc", str(mount.path))
        for requester in REQUESTERS:
            for name in PROFILES:
                within = ["aa-exec", "-p", name, "--"]
                result = compare([requester], entries, everybody, within=within)
                _judge(findings, f"{name}: {requester}", result)
                findings.write(Path("/run/results"))


def _judge(findings: Findings, who: str, result: Comparison) -> None:
    refused = [one for one in result.differences if _is_refusal(one)]
    for difference in result.differences:
        if not _is_refusal(difference):
            findings.fail(f"{who}: {difference}")
    findings.count += result.answers
    findings.remarks.append(
        f"{who}: {result.answers} answers, {len(result.leaks)} let in, "
        f"{len(refused)} refused that the kernel gives"
    )


def _load(name: str, rules: str) -> None:
    flags = "flags=(attach_disconnected, mediate_deleted)"
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"#include <tunables/global>\nprofile {name} {flags} {{\n{rules}\n}}\n")
        file.flush()
        command = ["apparmor_parser", "--replace", "--skip-cache", file.name]
        subprocess.run(command, check=True)


def _is_refusal(difference: Difference) -> bool:
    """Whether the mirror refuses what the kernel gives."""
    mirror = difference.outcome.mirror
    return mirror is not None and mirror.errno in {errno.EACCES, errno.ENOMEM}
