"""The user frames of ten programs against those of eu-stack, which stops a process to get them.

The programs and their libraries are copied to a tmpfs: files of the machine below are on a network
file system here, and those are not read for a stack.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.kernels.findings import Findings
from tests.stack.targets import available, compared, compiled, running

# What eu-stack does not follow: the return from a signal handler has no rules on aarch64.
_UNKNOWN = {"aarch64": ("C, in a handler",)}
COMMANDS = {
    "sleep": ["sleep", "1000"],
    "nc": ["nc", "-l", "127.0.0.1", "4881"],
    "bash": ["bash", "-c", "read x; true"],
    "dash": ["dash", "-c", "read x; true"],
    "cat": ["cat"],
    "perl": ["perl", "-e", "sub f { my $n = shift; $n ? f($n - 1) : <STDIN> } f(20)"],
    "python": ["/usr/bin/python3", "-c", "import time; time.sleep(1000)"],
    "redis": ["redis-server", "--port", "4882", "--save", ""],
}


def examined(findings: Findings) -> None:
    """Compare the frames of each thread of each program."""
    unknown = _UNKNOWN.get(platform.machine(), ())
    with tempfile.TemporaryDirectory() as folder:
        frames = compiled("frames.c", Path(folder), "-O2")
        ways = {"C, recursive": [frames, "recursion"], "C, in a handler": [frames, "signal"]}
        wanted = COMMANDS | ways
        commands = {
            name: _copied(command, Path(folder))
            for name, command in wanted.items()
            if name not in unknown
        }
        for name, command in commands.items():
            try:
                with running(*command) as pid:
                    same, theirs, only_ours = compared(pid)
            except (AssertionError, OSError) as broken:
                findings.fail(f"{name}: {type(broken).__name__}: {str(broken)[:300]}")
                continue
            findings.count += theirs
            findings.remarks.append(f"{name}: {same} of {theirs} frames")
            if not theirs or same != theirs or only_ours:
                findings.fail(f"{name}: {same} of {theirs} frames, {only_ours} that it lacks")


def _copied(command: list[str], folder: Path) -> list[str]:
    """A command whose program, libraries and loader are copies in a folder."""
    program = available(command[0])
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", told)
    for file in (program, *libraries):
        if not (folder / Path(file).name).exists():
            shutil.copy(file, folder)
    loader = next(folder / Path(file).name for file in libraries if "/ld-linux" in file)
    return [
        str(loader),
        "--library-path",
        str(folder),
        str(folder / Path(program).name),
        *command[1:],
    ]
