"""A container as Docker makes and confines it: crun, AppArmor profile, filter of calls, masks.

The mirror is bound in, and a procfs of the machine beside it, which is what the kernel says. The
profile denies by path what is below /proc; the bound procfs has another path.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.containers import Container, container
from tests.kernels.findings import Findings
from tests.kernels.guest.confined import TARGETS
from tests.kernels.guest.patience import OPTIONS, PROGRAM
from tests.kernels.guest.profiles import DOCKER, load
from tests.mounting import Mount, mounted
from tests.permissions.compare import judged
from tests.permissions.entries import Entries
from tests.permissions.requesters import OWNER
from tests.permissions.sessions import World, session
from tests.permissions.targets import Target, described, targets
from tests.test_containers import expected

USERS = {"root": 0, "a user": OWNER}
# What docs/CONTAINERS.md tells of it, one line each; `$M` is the mirror.
LOOKS = (
    "cat /proc/self/attr/current",
    "grep -E '^(Seccomp|NoNewPrivs):' $M/self/status",
    "head -c 20 $M/self/environ | tr '\\0' ' '",
    "head -n 1 $M/self/process.txt",
    "head -n 1 $M/self/stack.txt",
    "head -n 1 $M/1/status.txt",
    "head -c 1 $M/1/environ",
    "head -n 1 $M/1/process.txt",
    "wc -l < $M/processes.ndjson",
    "head -n 1 $M/meminfo",
    "head -c 1 $M/kcore",
    "head -c 1 $M/kmsg",
    "head -n 1 $M/keys",
    "head -n 1 $M/timer_list",
    "head -c 1 /proc/timer_list | wc -c",
    "ls $M/by-name/sleep",
)


def examined(findings: Findings) -> None:
    """Compare what root and a user of the container are answered, and take down a few looks."""
    load(DOCKER)
    with (
        mounted(*OPTIONS, program=PROGRAM, quiet=False) as mirror,
        _procfs() as kernel,
        targets(TARGETS) as everybody,
        container(mirror.path, kernel, profile=DOCKER) as inside,
    ):
        for name, user in USERS.items():
            for look in LOOKS:
                ran = inside.ran("sh", "-c", look.replace("$M", str(mirror.path)), user=user)
                said = (ran.out or ran.err).strip().replace(str(mirror.path), "$M")
                findings.remarks.append(f"{name}: {look}: {said[:150]}")
            findings.write(Path("/run/results"))
        for name, user in USERS.items():
            _compare(findings, name, inside, user, mirror, kernel, everybody)
            findings.write(Path("/run/results"))


@contextmanager
def _procfs() -> Iterator[Path]:
    place = Path("/tmp/kernel/proc")
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "proc", "proc", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def _compare(
    findings: Findings,
    name: str,
    inside: Container,
    user: int,
    mirror: Mount,
    kernel: Path,
    everybody: list[Target],
) -> None:
    entries = Entries(str(kernel), str(mirror.path))
    about = [*everybody, described("the container's first process", inside.pid)]
    answers = others = leaks = 0
    with session("root", World({}, inside.within(user))) as requester:
        items = [item for at, one in enumerate(about) for item in entries.about(one, at)]
        items += entries.everywhere(1)
        for item, outcome in requester.ask(items):
            answers += 1
            difference = judged(f"{name} in a container", requester.pid, item, outcome)
            if difference is not None and not expected(difference):
                leaks, others = leaks + difference.leak, others + (not difference.leak)
                findings.fail(str(difference))
    findings.count += answers
    findings.remarks.append(
        f"{name}: {answers} answers, {leaks} let in, {others} answered otherwise"
    )
