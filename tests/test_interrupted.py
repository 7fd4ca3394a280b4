"""Ctrl-C ends the tests at once, and nothing is left of what they have started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import DEADLINE, ROOT, ended, load, stat_of, state_of, until
from tests.programs import environment, killed

pytestmark = pytest.mark.root
# Ctrl-C is not for programs that a shell started in the background, as it may have these tests.
_INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
)
_INTERRUPTED = 2
_ALL, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for temporary files, which all users may enter."""
    made = Path(tempfile.mkdtemp(prefix="interrupted-"))
    made.chmod(0o1777)
    yield made
    shutil.rmtree(made)


def alive(session: int) -> dict[int, bytes]:
    """The processes of a session that have not ended, with their commands.

    The command of one that is held back is not asked for: it may never come.
    """
    pids = [int(entry.name) for entry in _ALL.glob("[0-9]*")]
    ours = [pid for pid in pids if stat_of(pid)[3:4] == [b"%d" % session]]
    return {pid: _command(pid) for pid in ours if not ended(pid)}


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return b"" if state_of(pid) == "D" else (_ALL / f"{pid}/cmdline").read_bytes()
    return b""


@pytest.mark.parametrize(
    ("module", "name", "program", "count"),
    [
        # Who removes the cgroup, who has made it, and three that are frozen.
        ("tests/attack/test_held.py", "natively and frozen", b"tests.attack.held", 5),
        ("tests/permissions/test_differential.py", "let_in", b"tests.permissions.requesters", 2),
    ],
)
def test_ctrl_c_leaves_nothing(
    folder: Path, module: str, name: str, program: bytes, count: int
) -> None:
    command = (sys.executable, "-c", _INTERRUPTIBLE, "-n", "1", "-p", "no:cacheprovider", module)
    with subprocess.Popen(
        [*command, "-k", name],
        cwd=ROOT,
        env=environment(TMPDIR=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as run:
        try:

            def under_way() -> bool:
                commands = alive(run.pid).values()
                return sum(not one or program in one for one in commands) >= count

            until(under_way, "no test runs")
            groups = {f"procmirror-{pid}" for pid in alive(run.pid)}
            os.killpg(run.pid, signal.SIGINT)
            said, _ = run.communicate(timeout=DEADLINE * load())
            assert run.returncode == _INTERRUPTED, said.decode()
            until(lambda: not alive(run.pid), "processes are left")
            left = {one.name for one in (*_GROUPS.glob("*"), *_GROUPS.glob("*/procmirror-*"))}
            assert not groups & left, "a cgroup is left"
        finally:
            killed(*alive(run.pid))
    assert {one.name.partition("-")[0] for one in folder.iterdir()} <= {"pytest"}
