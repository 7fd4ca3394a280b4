"""PID/waits: what a chain tells of processes that the requester may not look at."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness import until
from tests.mounting import Mount
from tests.programs import ran, running, started

# It locks what is open as its standard input, and shows the file once it is told a line.
LOCKS = """
import fcntl, sys
fcntl.flock(0, fcntl.LOCK_EX)
print(flush=True)
with open(int(sys.argv[1])) as told:
    told.readline()
print(open(sys.argv[2]).read(), flush=True)
"""


def is_blocked(pid: int, call: bytes = b"73 ") -> bool:
    """Whether a process is in flock(2)."""
    return Path(f"/proc/{pid}/syscall").read_bytes().startswith(call)


def test_who_waits_for_ones_own_process_is_told_as_far_as_one_may_look(
    mirror: Mount, wes: int, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    listening, telling = os.pipe()
    own = mirror.path / "self" / "waits.json"
    command = (sys.executable, "-I", "-c", LOCKS, listening, own)
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "pass_fds": (listening,), "user": wes}
    with lock.open() as file, started(*command, stdin=file, **options) as his:
        os.close(listening)
        assert his.stdout and his.stdout.readline()
        with running("flock", lock, "true") as roots:
            until(lambda: is_blocked(roots), "it does not wait")
            view = mirror.path / str(his.pid) / "waits.json"
            told = json.loads(view.read_bytes())
            assert [one["pid"] for one in told["waited_by"]] == [roots]
            refused = json.loads(ran("cat", view, user=wes).out)
            assert (refused["waited_by"], refused["complete"]) == ([], False)
            theirs = json.loads(ran("cat", mirror.path / str(roots) / "waits.json", user=wes).out)
            assert (theirs["waits"], theirs["complete"]) == ([], False)
            # The right to look at oneself is no right to look at others.
            os.write(telling, b"\n")
            os.close(telling)
            mine = json.loads(his.stdout.read())
            assert (mine["pid"], mine["waited_by"], mine["complete"]) == (his.pid, [], False)


# Another of its threads waits for the lock meanwhile.
LOOKS = """
import fcntl, json, sys, threading, time
threading.Thread(target=fcntl.flock, args=(int(sys.argv[2]), fcntl.LOCK_EX), daemon=True).start()
while True:
    told = open(sys.argv[1]).read()
    # The kernel may leave a lock out of its list while locks of others come and go.
    if [one["pid"] for one in json.loads(told)["roots"]] == [int(sys.argv[3])]:
        sys.exit(print(told, flush=True))
    time.sleep(0.01)
"""


def test_what_the_root_cause_waits_for_is_told_to_who_may_look_at_it(
    mirror: Mount, wes: int, tmp_path: Path
) -> None:
    """The kernel shows wchan to everybody who may trace: the right to look at oneself is not that."""
    lock = tmp_path / "lock"
    lock.touch()
    own = mirror.path / "self" / "waits.json"
    with lock.open() as held, lock.open() as file:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = (sys.executable, "-I", "-c", LOOKS, own, file.fileno(), os.getpid())
        told = json.loads(ran(*command, user=wes, pass_fds=(file.fileno(),)).out)
    (cause,) = told["roots"]
    assert (cause["pid"], cause["waits_for"]) == (os.getpid(), None)
    assert told["complete"] is False
