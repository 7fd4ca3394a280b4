"""The user frames of ten programs against those of eu-stack, which stops a process to get them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.kernels.findings import Findings
from tests.stack.targets import available, built_go, compared, compiled, running

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
    with tempfile.TemporaryDirectory() as folder:
        commands = dict(COMMANDS)
        commands["C, recursive"] = [compiled("frames.c", Path(folder), "-O2"), "recursion"]
        commands["Go"] = [built_go(Path(folder))]
        for name, (program, *arguments) in commands.items():
            try:
                with running(available(program), *arguments) as pid:
                    same, theirs, only_ours = compared(pid)
            except (AssertionError, OSError) as broken:
                findings.fail(f"{name}: {type(broken).__name__}: {str(broken)[:300]}")
                continue
            findings.count += theirs
            findings.remarks.append(f"{name}: {same} of {theirs} frames")
            if not theirs or same != theirs or only_ours:
                findings.fail(f"{name}: {same} of {theirs} frames, {only_ours} that it lacks")
