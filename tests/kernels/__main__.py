"""Boot Debian's kernels and run the guest's parts on each: `python -m tests.kernels [RELEASE…] [-- PART…]`.

One kernel at a time, on one processor, at a low priority. What is kept of a run is in
build/kernels/RELEASE/results; docs/KERNELS.md is made of all of them. The part `capture`, which keeps
raw files for tests/machines, runs only where it is named.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.harness import ROOT
from tests.kernels import programs, record
from tests.kernels.debian import fetched
from tests.kernels.findings import ARCHIVE, Findings, Run, found
from tests.kernels.judged import judge
from tests.kernels.machine import SELINUX, Machine, booted
from tests.kernels.userland import HOME

FOLDER = ROOT / "build/kernels"
MACHINES = ("bullseye", "bookworm", "trixie", "sid", "trixie-arm64")
# Of another processor's files there is no AppArmor program; rights do not depend on it.
PARTS = {"trixie-arm64": ["waits", "views", "copying", "stacks"]}
# How many times longer than elsewhere a test may wait for what comes within a moment.
SLOWER = 5
SECONDS = int(os.environ.get("SECONDS_MAX", "7200"))


def main() -> int:
    """Run what is asked for; 0 when no part of any kernel failed."""
    asked = sys.argv[1:]
    parts = asked[asked.index("--") + 1 :] if "--" in asked else []
    releases = asked[: asked.index("--")] if "--" in asked else asked
    code = 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    # One at a time: the descriptor is closed with this process.
    fcntl.flock(os.open(FOLDER, os.O_RDONLY), fcntl.LOCK_EX)
    for release in releases or MACHINES:
        run = _run(release, parts)
        for part in run.parts:
            sys.stdout.write(
                f"{release}: {part.part}: {part.count} {part.unit}, {part.failed} failures, "
                f"{part.seconds:.0f} s\n"
            )
        sys.stdout.flush()
        code = code or (run.status if run.status is not None else 124)
    record.write(FOLDER, MACHINES, ROOT / "docs/KERNELS.md")
    return code


def _run(release: str, parts: list[str]) -> Run:
    """Boot one kernel with a copy of the tree as it is now; what it found."""
    kernel = fetched(release, FOLDER / release)
    results = FOLDER / release / "results"
    foreign = kernel.root != Path("/")
    tree = kernel.root / HOME / "tree" if foreign else FOLDER / release / "tree"
    if not parts:
        shutil.rmtree(results, ignore_errors=True)
    _copied(tree)
    told = [f"{name}={os.environ.get(name, '')}" for name in ("RIGHTS", "CONFINED")]
    command = ["env", f"PROCMIRROR_TESTS_SLOWER={SLOWER}", *told]
    if not foreign:
        command.append(f"PROCMIRROR_TESTS_PROGRAMS={programs.fetched(FOLDER / 'programs')}")
    command += [f"PYTHONPATH=/{HOME}/wheels", "/usr/bin/python3"] if foreign else [sys.executable]
    command += ["-m", "tests.kernels.guest", "/run/results"]
    status: int | None = 0
    for names, machine in boots(parts or PARTS.get(release, list(record.PARTS))):
        ended = booted(kernel, tree, results, [*command, *names], SECONDS, machine)
        status = None if ended is None or status is None else status or ended
    _judged(results)
    today = dt.datetime.now(dt.UTC).date().isoformat()
    run = Run(release, kernel.version, today, kernel.architecture, status, list(found(results)))
    (FOLDER / release / "run.json").write_bytes(msgspec.json.encode(run))
    return run


def boots(parts: list[str]) -> Iterator[tuple[list[str], Machine]]:
    """The parts that run at each boot, and the machine: files are captured on two processors.

    What `rights` sets cannot be taken back, and another part would find it.
    """
    with_apparmor = [name for name in parts if name not in {"rights", "selinux", "capture"}]
    if with_apparmor:
        yield with_apparmor, Machine()
    if "rights" in parts:
        yield ["rights"], Machine()
    if "selinux" in parts:
        yield ["selinux"], Machine(SELINUX)
    if "capture" in parts:
        yield ["capture"], Machine(processors=2)


def _judged(results: Path) -> None:
    """Judge what the views said, of which the guest only knows which could not be read."""
    place, archive = results / "views.json", results / ARCHIVE
    if archive.exists() and place.exists():
        findings = msgspec.json.decode(place.read_bytes(), type=Findings)
        judge(archive, findings)
        findings.write(results)
        archive.unlink()


def _copied(tree: Path) -> None:
    """The package and its tests as they are now: who edits them does not disturb a run."""
    shutil.rmtree(tree, ignore_errors=True)
    kept = shutil.ignore_patterns("__pycache__")
    for name in ("procmirror", "tests", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=kept)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)


if __name__ == "__main__":
    sys.exit(main())
