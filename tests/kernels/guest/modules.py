"""Files that modules of the kernel make: each set up for real, and read as root and as a user.

The raw files are kept in the folder of the results, from where they may become fixtures.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jsonschema import ValidationError

from tests.kernels.findings import Findings
from tests.kernels.guest.patience import OPTIONS, PROGRAM
from tests.kernels.guest.programs import PLACE, environment
from tests.kernels.guest.recipes import FILES, RECIPES
from tests.kernels.judged import check
from tests.mounting import mounted
from tests.permissions.requesters import OWNER

RESULTS = Path("/run/results")
# How long a recipe may take, in seconds.
_SECONDS = 120
_USERS = {"root": 0, "a user": OWNER}
_SUFFIXES = ("txt", "json")


def examined(findings: Findings) -> None:
    """Set everything up, then look at it."""
    for name in RECIPES:
        _set_up(findings, name)
        findings.write(RESULTS)
    with mounted(*OPTIONS, program=PROGRAM, quiet=False) as mount:
        for pattern in FILES:
            found = sorted(Path("/proc").glob(pattern))
            if not found:
                findings.remarks.append(f"{pattern}: nothing")
            for file in found:
                _looked_at(findings, file, mount.path / file.relative_to("/proc"))
        for view in ("net/bonding", "net/vlan", "fs/jbd2"):
            _views(findings, Path("/proc", view), mount.path / view)
        findings.remarks += [f"log: {line[:300]}" for line in mount.complaints()[:20]]


def _set_up(findings: Findings, name: str) -> None:
    """Run a recipe in a folder of its own; what it says last is kept where it fails."""
    folder = Path("/tmp/modules", name)
    folder.mkdir(parents=True)
    told = {"PROGRAMS": PLACE, "PYTHON": sys.executable}
    log = folder / "log"
    command = ["sh", "-exc", RECIPES[name]]
    with log.open("wb") as output:
        code = subprocess.run(
            ["timeout", str(_SECONDS), *command],
            cwd=folder,
            env=environment() | told,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        ).returncode
    if code:
        last = log.read_text(errors="replace")[-300:]
        findings.remarks.append(f"{name}: not all was set up ({code}): {last}")


def _looked_at(findings: Findings, native: Path, mirrored: Path) -> None:
    """The file as the kernel has it and as the mirror has it, and its views."""
    path = native.relative_to("/proc")
    for who, user in _USERS.items():
        before, raw, after = (_read(place, user) for place in (native, mirrored, native))
        findings.count += 1
        if raw not in {before, after} and (before == after or raw[1] != before[1]):
            findings.fail(f"{who}: {path}: {raw[1] or raw[0][:100]!r}, not {before}")
        if who == "root" and not raw[1]:
            place = RESULTS / "captured" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(raw[0])
        _views(findings, native, mirrored, users=(who,))


def _views(
    findings: Findings, native: Path, mirrored: Path, users: tuple[str, ...] = tuple(_USERS)
) -> None:
    """The views of an entry: valid where it can be read, else refused as it is."""
    for who in users:
        refused = "" if native.is_dir() else _read(native, _USERS[who])[1]
        for suffix in _SUFFIXES:
            view = mirrored.with_name(f"{mirrored.name}.{suffix}")
            if not view.exists():
                continue
            findings.count += 1
            content, error = _read(view, _USERS[who])
            where = f"{who}: {native.relative_to('/proc')}.{suffix}"
            if error != refused:
                findings.fail(f"{where}: {error or 'given'}, not {refused or 'given'}")
            if not error:
                _judged(findings, where, content)


def _judged(findings: Findings, where: str, content: bytes) -> None:
    path = where.partition(": ")[2]
    kept = RESULTS / "captured" / path
    if where.startswith("root"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(content)
    try:
        check(path, content)
    except (ValueError, ValidationError) as wrong:
        findings.fail(f"{where}: {type(wrong).__name__}: {str(wrong)[:200]}")


def _read(path: Path, user: int) -> tuple[bytes, str]:
    """What a user reads there, or the words of the error."""
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    ran = subprocess.run([*become, "cat", path], check=False, capture_output=True)
    return ran.stdout, ran.stderr.decode().strip().rpartition(": ")[2]
