"""What programs that copy by sendfile(2) or splice(2) get of a file of the mirror.

Some kernels end these calls at the size of the file, which is 0 here as in /proc. What such a
program gets is recorded; only wrong bytes are a failure, and nothing where read(2) gives all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kernels.findings import Findings
from tests.mounting import mounted

_COPYFILE = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
_SENDFILE = (
    "import os, sys; source, target = os.open(sys.argv[1], os.O_RDONLY), "
    "os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o600)\n"
    "while os.sendfile(target, source, None, 1 << 20): pass"
)
_SPLICE = (
    "import os, sys; source, target = os.open(sys.argv[1], os.O_RDONLY), "
    "os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o600)\n"
    "reading, writing = os.pipe()\n"
    "while n := os.splice(source, writing, 1 << 16): os.splice(reading, target, n)"
)
WAYS: dict[str, list[str]] = {
    "cat": ["sh", "-c", 'cat "$0" > "$1"'],
    "BusyBox cat": ["sh", "-c", 'busybox cat "$0" > "$1"'],
    "BusyBox cat to a pipe": ["sh", "-c", 'busybox cat "$0" | cat > "$1"'],
    "BusyBox cp": ["busybox", "cp"],
    "BusyBox head": ["sh", "-c", 'busybox head -n 1000 "$0" > "$1"'],
    "BusyBox sed": ["sh", "-c", 'busybox sed -n p "$0" > "$1"'],
    "Python shutil.copyfile": [sys.executable, "-c", _COPYFILE],
    "sendfile": [sys.executable, "-c", _SENDFILE],
    "splice": [sys.executable, "-c", _SPLICE],
}
FILES = ("status", "status.txt", "environ.txt")


def examined(findings: Findings) -> None:
    """Copy files of a sleeping process in every way."""
    with (
        mounted(quiet=False) as mount,
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(["sleep", "1000"], env={"A": "b", "C": "d"}) as process,
    ):
        target = Path(folder) / "copy"
        for name in FILES:
            source = mount.path / str(process.pid) / name
            wanted = source.read_bytes()
            for way, command in WAYS.items():
                target.unlink(missing_ok=True)
                ran = subprocess.run(
                    [*command, source, target], check=False, capture_output=True, text=True
                )
                got = target.read_bytes() if target.exists() else b""
                findings.count += 1
                _judged(findings, f"{name}: {way}", got, wanted, ran)
        if os.stat(source).st_size:
            findings.fail(f"the size of {name} is not 0")
        process.kill()


def _judged(
    findings: Findings,
    what: str,
    got: bytes,
    wanted: bytes,
    ran: subprocess.CompletedProcess[str],
) -> None:
    if got == wanted:
        return
    if got:
        findings.fail(f"{what}: {len(got)} bytes that are not those of read(2)")
    elif what.endswith((": cat", "head", "sed")):
        findings.fail(f"{what}: nothing: {ran.stderr[-200:]}")
    else:
        said = ran.stderr.strip().splitlines()[-1:] or ["no message"]
        findings.remarks.append(f"{what}: nothing, status {ran.returncode}, {said[0][:100]}")
