"""The permission suite under the settings of a hardened machine, a share of it under each.

Ptrace scope 3 and lockdown cannot be taken back, so that the order of the settings matters.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.kernels.findings import Findings
from tests.mounting import mounted
from tests.permissions.entries import Entries
from tests.permissions.requesters import REQUESTERS
from tests.permissions.suite import UNSEEN, compare
from tests.permissions.targets import targets

# Each setting is asked about by one requester in so many, another share each time.
SHARE = 36


def _sysctl(name: str, value: int) -> Callable[[], None]:
    return lambda: _write(f"/proc/sys/kernel/{name}", str(value))


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")


SETTINGS: dict[str, Callable[[], None]] = {
    "ptrace_scope 0": _sysctl("yama/ptrace_scope", 0),
    "ptrace_scope 1": _sysctl("yama/ptrace_scope", 1),
    "ptrace_scope 2": _sysctl("yama/ptrace_scope", 2),
    "kptr_restrict 1": _sysctl("kptr_restrict", 1),
    "kptr_restrict 2": _sysctl("kptr_restrict", 2),
    "dmesg_restrict 1": _sysctl("dmesg_restrict", 1),
    "perf_event_paranoid 3": _sysctl("perf_event_paranoid", 3),
    "hidepid 1": lambda: None,
    "hidepid 2": lambda: None,
    "ptrace_scope 3": _sysctl("yama/ptrace_scope", 3),
    "lockdown integrity": lambda: _write("/sys/kernel/security/lockdown", "integrity"),
    "lockdown confidentiality": lambda: _write("/sys/kernel/security/lockdown", "confidentiality"),
}


def examined(findings: Findings) -> None:
    """Compare the answers to a share of the requesters under each setting."""
    names = [name for name in REQUESTERS if name not in UNSEEN]
    for place, (setting, establish) in enumerate(SETTINGS.items()):
        establish()
        share = names[place * 3 % SHARE :: SHARE]
        before = findings.count
        try:
            _compared(findings, setting, share)
        except (AssertionError, RuntimeError, OSError) as broken:
            findings.fail(f"{setting}: {type(broken).__name__}: {str(broken)[:300]}")
        findings.remarks.append(
            f"{setting}: {findings.count - before} answers to {len(share)} requesters"
        )


def _compared(findings: Findings, setting: str, names: list[str]) -> None:
    with ExitStack() as stack:
        source = "/proc"
        if setting.startswith("hidepid"):
            source = "/run/hidden"
            Path(source).mkdir(exist_ok=True)
            option = setting.replace(" ", "=")
            subprocess.run(["mount", "-t", "proc", "-o", option, "proc", source], check=True)
            stack.callback(subprocess.run, ["umount", source], check=True)
        mount = stack.enter_context(mounted(source=source, quiet=False))
        everybody = stack.enter_context(targets())
        result = compare(names, Entries(source, str(mount.path)), everybody)
    findings.count += result.answers
    for difference in result.differences:
        findings.fail(f"{setting}: {difference}")
