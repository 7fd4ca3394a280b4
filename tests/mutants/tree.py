"""A copy of the project in which a fault is put and its tests are run."""

from __future__ import annotations

import compileall
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.harness import ROOT
from tests.mutants.row import Mutant

# Not part of the project, or not asked for by any test of the table.
_LEFT_OUT = (
    ".git",
    ".venv",
    "build",
    "dist",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
    "*.egg-info",
)
# The longest time that the tests of one mutant may take, in seconds. A mutant may wait for ever,
# which is found as well.
MOST_SECONDS = 300
# The same for the tests of all mutants, without a fault.
MOST_SECONDS_OF_ALL = 1200
# What pytest returns if a test failed, and if all passed.
_PASSED, _FAILED = 0, 1
# What this module returns for tests that did not end in time.
_ENDLESS = -1


class Run(NamedTuple):
    """What came of some tests: what pytest returned, its output, and how many seconds it took."""

    code: int
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""
        return self.code == _PASSED

    @property
    def failing(self) -> set[str]:
        """The files of the tests that failed, or could not be run."""
        lines = [line.split() for line in self.output.splitlines()]
        named = [words[1] for words in lines if words[:1] in (["FAILED"], ["ERROR"]) and words[1:]]
        return {name.partition("::")[0] for name in named}

    @property
    def found(self) -> bool:
        """Whether a test failed, or waited for ever.

        Tests that cannot be collected find nothing: the source is no program then.
        """
        return self.code in {_FAILED, _ENDLESS}


class Tree:
    """One copy of the project."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, tests: Sequence[str], *options: str, seconds: float = MOST_SECONDS) -> Run:
        """Run tests with these options of pytest, for so many seconds at most."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            # A fault may be found by waiting for what does not come.
            "PROCMIRROR_TESTS_SLOWER": "0.33",
        }
        start = time.monotonic()
        with subprocess.Popen(
            [*command, *options, *tests],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            output, code = _ended(process, seconds)
        return Run(code, output, time.monotonic() - start)

    def with_fault(self, mutant: Mutant) -> Run:
        """Put a fault in, run its tests, take it out."""
        module = self.root / "procmirror" / mutant.module
        source = module.read_text(encoding="utf-8")
        module.write_text(mutant.applied(source), encoding="utf-8")
        try:
            return self.run(mutant.tests, "-x")
        finally:
            module.write_text(source, encoding="utf-8")


def _ended(process: subprocess.Popen[str], seconds: float) -> tuple[str, int]:
    """The output and the code of a process, which is ended with its group if it does not end."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # Tests take down what they started when they are interrupted.
        os.killpg(process.pid, signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        return output, _ENDLESS
    return output, process.returncode


@contextmanager
def copied() -> Iterator[Tree]:
    """A copy of the project, gone after the block."""
    # Everybody may read it: tests mount as other users too.
    folder = Path(tempfile.mkdtemp(prefix="procmirror-mutants-"))
    folder.chmod(0o755)
    try:
        root = folder / "procmirror"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
        # Once, as each run of the tests starts Python many times and writes nothing here.
        compileall.compile_dir(root / "procmirror", quiet=2)
        compileall.compile_dir(root / "tests", quiet=2)
        yield Tree(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
