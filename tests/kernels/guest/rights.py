"""The permission suite under the settings of a hardened machine, a share of it under each.

Ptrace scope 3 and lockdown cannot be taken back, so that the order of the settings matters. On a
slow machine `RIGHTS="hidepid lockdown"` asks about some settings, by those whom they are about only,
and adds what it finds to the last run's.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, EPERM
from pathlib import Path

import msgspec

from tests.kernels.findings import Findings
from tests.kernels.guest.patience import OPTIONS, PROGRAM
from tests.mounting import Mount, mounted
from tests.permissions.compare import Difference, apart
from tests.permissions.entries import Entries
from tests.permissions.requesters import REQUESTERS
from tests.permissions.suite import UNSEEN, compare
from tests.permissions.targets import targets

# Each setting is asked about by one requester in so many, other ones each time, and by those whom
# it is about.
SHARE = 80
CONCERNED = {
    "ptrace_scope": ["owner", "another with CAP_SYS_PTRACE"],
    "hidepid": ["another"],
    "kptr_restrict": ["root"],
    "lockdown": ["root"],
    "dmesg_restrict": ["owner"],
    "perf_event_paranoid": ["owner"],
}
SCOPE, LAST_SCOPE = "/proc/sys/kernel/yama/ptrace_scope", 3
SOME = os.environ.get("RIGHTS", "").split()
RESULTS = Path("/run/results")
OF_ALL = ["ordinary", "root's", "another's", "not dumpable", "in a child user namespace"]
TARGETS = ["ordinary", "another's", "not dumpable"] if SOME else [*OF_ALL]


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
    "lockdown integrity": lambda: _write("/sys/kernel/security/lockdown", "integrity"),
    "lockdown confidentiality": lambda: _write("/sys/kernel/security/lockdown", "confidentiality"),
    "ptrace_scope 3": _sysctl("yama/ptrace_scope", 3),
}


def examined(findings: Findings) -> None:
    """Compare the answers to a share of the requesters under each setting."""
    names = [name for name in REQUESTERS if name not in UNSEEN]
    _add_earlier(findings)
    with mounted(*OPTIONS, program=PROGRAM, quiet=False) as mount, targets(TARGETS) as everybody:
        for place, (setting, establish) in enumerate(SETTINGS.items()):
            kind = setting.split()[0]
            if SOME and kind not in SOME and setting.replace(" ", "=") not in SOME:
                continue
            establish()
            share = [] if SOME else names[place * 7 % SHARE :: SHARE]
            share = list(dict.fromkeys([*CONCERNED.get(kind, ()), *share]))
            try:
                if setting.startswith("hidepid"):
                    with _hidden(setting) as (source, mirror):
                        result = compare(share, Entries(source, str(mirror.path)), everybody)
                else:
                    result = compare(share, Entries("/proc", str(mount.path)), everybody)
            except (AssertionError, RuntimeError, OSError) as broken:
                findings.fail(f"{setting}: {type(broken).__name__}: {str(broken)[:300]}")
                continue
            scope = int(Path(SCOPE).read_text(encoding="ascii"))
            told = [one for one in result.others if _is_told(scope, one)]
            for difference in (*result.leaks, *(one for one in result.others if one not in told)):
                findings.fail(f"{setting}: {difference}")
            findings.count += result.answers
            findings.remarks.append(
                f"{setting}: {result.answers} answers to {', '.join(share)}, {len(result.leaks)} "
                f"let in, {len(told)} refused as docs/PERMISSIONS.md tells"
            )
            findings.write(RESULTS)


def _is_told(scope: int, difference: Difference) -> bool:
    """Whether docs/PERMISSIONS.md tells of a refusal under this scope of Yama's."""
    mirror = difference.outcome.mirror
    if mirror is None or mirror.errno not in {EACCES, EPERM}:
        return False
    own = difference.entry[0] == "self" and difference.entry[-1].split(".")[0] in {
        "personality",
        "mem",
    }
    if scope < LAST_SCOPE:
        return scope == LAST_SCOPE - 1 and own and apart(difference.requester)
    return own or difference.requester == "another with CAP_SYS_PTRACE"


def _add_earlier(findings: Findings) -> None:
    """Go on from what the last run found, if only some settings are asked about."""
    place = RESULTS / f"{findings.part}.json"
    if not SOME or not place.exists():
        return
    earlier = msgspec.json.decode(place.read_bytes(), type=Findings)
    findings.count += earlier.count
    for failure in earlier.failures:
        findings.fail(failure)
    findings.remarks += earlier.remarks


@contextmanager
def _hidden(setting: str) -> Iterator[tuple[str, Mount]]:
    """A procfs with this option, and a mirror of it."""
    source = "/run/hidden/proc"
    Path(source).mkdir(exist_ok=True, parents=True)
    option = setting.replace(" ", "=")
    subprocess.run(["mount", "-t", "proc", "-o", option, "proc", source], check=True)
    try:
        with mounted(*OPTIONS, source=source, program=PROGRAM, quiet=False) as mirror:
            yield source, mirror
    finally:
        subprocess.run(["umount", source], check=True)
