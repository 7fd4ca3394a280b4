"""The user frames of ten programs against those of eu-stack, which stops a process to get them.

And those of musl and of node against what the programs do: eu-stack has no more than the first ones.
The programs and their libraries are copied to a tmpfs: files of the machine below are on a network
file system here, and those are not read for a stack.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from tests.kernels.findings import Findings
from tests.stack import gaps
from tests.stack.targets import available, compared, compiled, running, seen

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


# Six frames of one function wait below code that has no unwind data: the interpreter's, and, where it
# was called often before, the compiler's.
_NODE = "function f(n) { return n ? f(n - 1) + 1 : fs.readSync(0, Buffer.alloc(1)) };"
NODE = {
    "node": f"{_NODE} f(5)",
    "node, compiled": "function f(n, end) { return n ? f(n - 1, end) + 1 : end ? fs.readSync(0, Buffer.alloc(1)) : 1 };"
    "for (let i = 0; i < 20000; i++) f(20, 0); f(5, 1)",
}


def examined(findings: Findings) -> None:
    """Compare the frames of each thread of each program."""
    _against_eu_stack(findings)
    with tempfile.TemporaryDirectory() as folder:
        _of_musl(findings, Path(folder))
        _of_node(findings, Path(folder))


def _of_musl(findings: Findings, folder: Path) -> None:
    """The frames beyond the gaps, which are marked."""
    for loader in Path("/lib").glob("ld-musl-*.so.1"):
        shutil.copy(loader, folder)
    loaders = [str(one) for one in folder.glob("ld-musl-*.so.1")]
    for source, words in gaps.PROGRAMS:
        for flags in gaps.FLAGS:
            program = gaps.with_musl(source, folder, *flags)
            command = [*([] if "-static" in flags else loaders), program, *words]
            with running(*command) as pid:
                (thread,) = seen(pid).values()
            findings.count += len(thread.user or ())
            if not gaps.is_whole(source, thread):
                findings.fail(f"musl, {source} {flags}: {gaps.runs(thread)}")


def _of_node(findings: Findings, folder: Path) -> None:
    """The frames of generated code, up to the first function."""
    for name, script in NODE.items():
        with running(*_copied(["node", "-e", script], folder)) as pid:
            frames = seen(pid)[pid].user or []
        findings.count += len(frames)
        # Of a frame that the compiler made the function goes on elsewhere. Some builds of node have
        # names for the code of the interpreter.
        most = max(Counter(frame.pc for frame in frames).values(), default=0)
        ends = bool(frames) and frames[-1].symbol == "_start"
        if not ends or most < (6 if name == "node" else 5):
            findings.fail(f"{name}: {[(frame.pc, frame.symbol) for frame in frames]}")


def _against_eu_stack(findings: Findings) -> None:
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
