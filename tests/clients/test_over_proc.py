"""Programs that know no other place than /proc, with the mirror mounted there for them alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounting import Mount
from tests.programs import over_proc, running


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    with running("sleep", "611") as pid:
        yield pid


# What may differ is left out by the comparison: lines that /proc itself changes from one time to the next.
COMMANDS = {
    "ps aux": ["ps", "aux"],
    "ps -ef": ["ps", "-eo", "pid,ppid,user,group,nice,pri,tty,args"],
    "ps of threads": ["ps", "-eLo", "pid,tid,comm"],
    "top": ["top", "-b", "-n1"],
    "free": ["free"],
    "pgrep": ["pgrep", "-x", "sleep"],
    "pgrep -f": ["pgrep", "-af", "sleep 611"],
    "pstree": ["pstree", "-p"],
    "lsof": ["lsof", "-w", "-n", "-p", "{pid}"],
    "pmap": ["pmap", "-x", "{pid}"],
    "vmstat": ["vmstat"],
    "uptime": ["uptime", "-s"],
    "lscpu": ["lscpu"],
    "findmnt": ["findmnt", "-lno", "TARGET,SOURCE,FSTYPE"],
}


@pytest.mark.parametrize("case", COMMANDS)
def test_as_on_proc(mirror: Mount, sleeper: int, case: str) -> None:
    command = [word.format(pid=sleeper) for word in COMMANDS[case]]

    def lines(proc: Path) -> list[str]:
        code, out, err = over_proc(proc, *command)
        assert (code, err) == (0, "")
        return out.splitlines()

    lasting: set[str] = set()
    for attempt in range(5):
        before, mirrored, after = lines(Path("/proc")), lines(mirror.path), lines(Path("/proc"))
        stable = {line for line in before if line in after and not line.startswith("/proc ")}
        # What moves to and fro is soon seen to agree; what is wrong stays wrong.
        lasting = stable - set(mirrored) if not attempt else lasting & (stable - set(mirrored))
        if not lasting:
            break
    assert stable
    assert lasting == set()


def test_the_process_is_in_each_list(mirror: Mount, sleeper: int) -> None:
    for case in ("ps aux", "ps -ef", "ps of threads", "top", "pgrep", "pgrep -f", "pstree", "lsof", "pmap"):
        out = over_proc(mirror.path, *(word.format(pid=sleeper) for word in COMMANDS[case])).out
        assert str(sleeper) in out, case
