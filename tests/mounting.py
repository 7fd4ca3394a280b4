"""A mirror mounted for a test: its own daemon, its log, and nothing left of either afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import DEADLINE, ROOT, Limit, comes_true, ended, load, parent_of

# What any user in a container may cause, and is to be answered so.
_EXPECTED = ("it depends on the requester's pid namespace", 'state {"version":')
_COMPLAINT = re.compile(r"Traceback|WARNING|ERROR|CRITICAL|Exception", re.IGNORECASE)


@dataclass(frozen=True)
class Mount:
    """A mounted mirror: where, by which process, and what it has said."""

    path: Path
    daemon: int
    log: Path

    def processes(self) -> list[int]:
        """The daemon and all its descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            children.setdefault(parent_of(int(entry.name)), []).append(int(entry.name))
        found = [self.daemon]
        for pid in found:
            found.extend(children.get(pid, ()))
        return found

    def complaints(self) -> list[str]:
        """The lines of the log that a healthy daemon does not write."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [
            line
            for line in lines
            if _COMPLAINT.search(line) and not any(expected in line for expected in _EXPECTED)
        ]


@contextlib.contextmanager
def mounted(
    *options: str,
    source: str = "/proc",
    program: Sequence[str] = ("-m", "procmirror"),
    quiet: bool = True,
) -> Iterator[Mount]:
    """A mirror of `source`, unmounted at the end; `quiet` fails on complaints in its log.

    Everybody may search the folder that it stands in, so that every requester can go there by name.
    """
    folder = Path(tempfile.mkdtemp(prefix="procmirror-"))
    folder.chmod(0o755)
    point, log = folder / "proc", folder / "log"
    point.mkdir()
    with log.open("wb") as output:
        command = [sys.executable, *program, source, str(point), "-f", *options]
        daemon = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    mount = Mount(point, daemon.pid, log)
    try:
        comes_true(lambda: os.path.ismount(point) or daemon.poll() is not None)
        assert daemon.poll() is None, log.read_text(errors="replace")
        yield mount
        processes = mount.processes()
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace"))
        _end(daemon, point)
        if not os.path.ismount(point):
            shutil.rmtree(folder)
        raise
    code = _end(daemon, point)
    complaints = mount.complaints() if quiet else []
    if code:
        sys.stderr.write(log.read_text(errors="replace"))
    comes_true(lambda: all(map(ended, processes)))
    left = [pid for pid in processes if not ended(pid)]
    shutil.rmtree(folder)
    assert code == 0, f"the daemon ended with {code}"
    assert not complaints, "\n".join(complaints)
    assert not left, f"processes are left: {left}"


def _end(daemon: subprocess.Popen[bytes], point: Path) -> int:
    """Unmount, waiting for those who still go away; the daemon's exit status."""
    limit = Limit(DEADLINE)
    while os.path.ismount(point) and limit.left() > 0:
        if subprocess.run(["umount", point], check=False, stderr=subprocess.DEVNULL).returncode:
            time.sleep(0.2)
    try:
        return daemon.wait(DEADLINE * load())
    except subprocess.TimeoutExpired:
        daemon.kill()
        subprocess.run(["umount", "-l", point], check=False)
        return daemon.wait()
