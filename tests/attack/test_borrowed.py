"""A request that waits is about the process that it was about, whatever is looked at meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.attack.scene import ATTACKER
from tests.harness import ROOT
from tests.mounting import mounted

# With few descriptors the mirror holds the directories of 256 processes.
_FEW = (
    "import resource, runpy\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\n"
    "runpy.run_module('procmirror', run_name='__main__')"
)
_VICTIMS, _ROUNDS = 300, 5


def test_what_waits_is_not_told_of_another_process() -> None:
    """Before, one of four such requests got the `smaps` of a process of root's."""
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(_VICTIMS)]
    try:
        with mounted(program=("-c", _FEW), quiet=False) as mirror:
            told = _asked(str(mirror.path), [str(one.pid) for one in sleepers])
    finally:
        for one in sleepers:
            one.kill()
            one.wait()
    assert told["others"] == 0
    assert told["own"] >= 1 and told["waited"] >= 1, f"it met no moment: {told}"


def _asked(mirror: str, victims: list[str]) -> dict[str, int]:
    """What the program was told, until something was told after the victims were looked at."""
    command = [sys.executable, "-m", "tests.attack.borrowed", mirror, str(ATTACKER), *victims]
    total: dict[str, int] = {"own": 0, "others": 0, "waited": 0}
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin and program.stdout
        assert json.loads(program.stdout.readline())
        for _ in range(_ROUNDS):
            program.stdin.write(b"\n")
            program.stdin.flush()
            said = json.loads(program.stdout.readline())
            total = {name: count + said[name] for name, count in total.items()}
            if total["waited"] >= 10:
                break
        program.stdin.close()
    return total
