"""Links of `ns` that are read one process after the other, as pstree and lsns do, against /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.mounting import Mount
from tests.programs import running

USER = 64123
# Reads the same links of each process, and tells texts and errnos.
_READS = """
import json, os, sys
place, *pids = sys.argv[1:]
told = []
for pid in pids:
    for name in ("ipc", "mnt", "net", "uts", "user"):
        try:
            told.append(os.readlink(f"{place}/{pid}/ns/{name}"))
        except OSError as refused:
            told.append(refused.errno)
print(json.dumps(told))
"""


@pytest.fixture
def pids() -> Iterator[list[str]]:
    """Processes of a user and of root by turns, some in namespaces of their own."""
    sleep = ("sleep", "600")
    of_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *sleep)
    apart = ("unshare", "--uts", "--ipc", "--net", *sleep)
    with ExitStack() as stack:
        commands = (of_user, sleep, apart, of_user, apart, of_user, sleep)
        yield [str(stack.enter_context(running(*command, name="sleep"))) for command in commands]


def _told(place: Path | str, pids: list[str], user: int) -> list[str | int]:
    command = [sys.executable, "-c", _READS, str(place), *pids]
    made = subprocess.run(
        command, user=user, group=user, extra_groups=[], capture_output=True, check=True
    )
    found: list[str | int] = json.loads(made.stdout)
    return found


@pytest.mark.parametrize("user", [0, USER])
def test_a_series_is_told_what_proc_tells(mirror: Mount, pids: list[str], user: int) -> None:
    native = _told("/proc", pids, user)
    assert len(set(native)) > 5
    assert (13 in native) == (user != 0)
    assert _told(mirror.path, pids, user) == native


def test_a_change_between_two_reads_of_a_link_is_told(mirror: Mount, pids: list[str]) -> None:
    """After a series: the first read of a process has read its other links too."""
    script = "import ctypes, sys; sys.stdin.read(1); ctypes.CDLL(None).unshare(0x4000000)"
    script += "; print(flush=True); sys.stdin.read(1)"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as changing:
        assert changing.stdin
        assert changing.stdout
        folder = mirror.path / str(changing.pid) / "ns"
        for pid in pids:
            for name in ("ipc", "uts"):
                os.readlink(mirror.path / pid / "ns" / name)
        before = [os.readlink(folder / name) for name in ("ipc", "uts")]
        changing.stdin.write(b"-")
        changing.stdin.flush()
        changing.stdout.readline()
        assert os.readlink(folder / "uts") != before[1]
        changing.stdin.write(b"-")
