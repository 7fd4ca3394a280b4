"""Processes that do not go on, and what they wait for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.cookbook.files import locking
from tests.cookbook.scene import Made, Scene, Scenes
from tests.harness import state_of, until
from tests.programs import children

SCENES = Scenes()


@SCENES.asked("What does this stuck process wait for?")
def _stack(made: Made) -> Scene:
    path, _, waiter = locking(made)
    lines = [
        rf"^python\S* +{waiter} +S .* waits for a file lock held by process \d+ \(python\S*\)$",
        rf"^  fcntl\(fd=\d+<{path}>, cmd=F_SETLKW",
    ]
    return Scene(pid=waiter, lines=lines)


# The child of this posix_spawn opens a FIFO that nobody writes to, and the parent sleeps until it
# is through.
SPAWNER = """
os.mkfifo(sys.argv[1])
print(flush=True)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])"""


@SCENES.asked("What is in uninterruptible sleep, and why?")
def _uninterruptible(made: Made) -> Scene:
    pid = made.python(SPAWNER, made.folder / "fifo")
    until(lambda: state_of(pid) == "D" and children(pid), "it does not sleep")
    lines = [rf"/{pid}/task.txt:.*its vfork child to exec or exit"]
    return Scene([pid], [made.program("sleep", "600"), *children(pid)], lines=lines)


@SCENES.asked("Why does SIGTERM not end it?")
def _ignored(made: Made) -> Scene:
    pid = made.program("sh", "-c", "trap '' TERM; exec sleep 600", name="sleep")
    return Scene(pid=pid, exactly='{"SigBlk":false,"SigIgn":true,"SigCgt":false}\n')


@SCENES.asked("Who is being traced, and by whom?")
def _traced(made: Made) -> Scene:
    tracer = made.program("strace", "-o", "/dev/null", "sleep", "600")
    traced = made.child(tracer, "sleep")
    others = [tracer, made.program("sleep", "600")]
    return Scene(
        [traced], others, his=[traced], lines=[rf"/{traced}/process.txt:traced-by +{tracer}$"]
    )


@SCENES.asked("Which processes are zombies, and who should have waited for them?")
def _zombies(made: Made) -> Scene:
    script = """
pid = os.fork() or os._exit(3)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(pid, flush=True)"""
    parent = made.python(script)
    zombie = int(made.said[parent])
    comm = Path(f"/proc/{parent}/comm").read_text().strip()
    return Scene(
        [zombie],
        [parent, made.program("sleep", "600")],
        his=[zombie],
        lines=[rf"^ *{zombie} +{parent} +\S+ +Z .*{comm}"],
    )


@SCENES.asked("What does its event loop wait for?")
def _event_loop(made: Made) -> Scene:
    script = """
import select
loop, (reads, writes) = select.epoll(), os.pipe()
loop.register(reads, select.EPOLLIN)
print(reads, flush=True)"""
    pid = made.python(script)
    return Scene(pid=pid, exactly=f"{made.said[pid].strip()}\tEPOLLIN\tEPOLLERR\tEPOLLHUP\n")


@SCENES.asked("What does the tree of processes below it look like?")
def _tree(made: Made) -> Scene:
    pid = made.program("sh", "-c", "sh -c 'sleep 600; :'; :")
    below = made.child(pid, "sh")
    lowest = made.child(below, "sleep")
    made.program("sleep", "600")
    return Scene(
        [pid, below, lowest],
        [made.program("sleep", "600")],
        pid=pid,
        his=[pid, below, lowest],
        lines=[
            rf"^ *{pid} .*  sh -c",
            rf"^ *{below} .*    sh -c",
            rf"^ *{lowest} .*      sleep 600$",
        ],
    )


@SCENES.asked("What is the root cause for which it waits?")
def _root_cause(made: Made) -> Scene:
    path, holder, waiter = locking(made)
    lines = [
        rf"^python\S*\({waiter}\) waits for a lock on {path}, from python\S*\({holder}\)$",
        rf"^root cause: python\S*\({holder}\)  S waits for a signal$",
    ]
    return Scene(pid=waiter, lines=lines)


CROSSED = """
import fcntl, time
one, two = (open(name, "w") for name in sys.argv[1:])
fcntl.flock(one, fcntl.LOCK_EX)
open(sys.argv[1] + ".held", "w")
print(flush=True)
while not os.path.exists(sys.argv[2] + ".held"):
    time.sleep(0.01)
fcntl.flock(two, fcntl.LOCK_EX)"""


@SCENES.asked("Is there a deadlock?")
def _deadlock(made: Made) -> Scene:
    one, two = made.folder / "a", made.folder / "b"
    first, second = made.python(CROSSED, one, two), made.python(CROSSED, two, one)
    until(lambda: all(_in_flock(pid) for pid in (first, second)), "they do not wait")
    lines = [
        rf"^deadlock: python\S*\({first}\) waits for a lock on {two}, from python\S*\({second}\)$",
        rf"^  python\S*\({second}\) waits for a lock on {one}, from python\S*\({first}\)$",
    ]
    return Scene(lines=lines)


def _in_flock(pid: int) -> bool:
    return Path(f"/proc/{pid}/wchan").read_text() == "locks_lock_inode_wait"


@SCENES.asked("Where in its Python code is this program?")
def _python(made: Made) -> Scene:
    script = """
import time
def stuck_here():
    print(flush=True)
    time.sleep(600)
stuck_here()"""
    return Scene(
        pid=made.python(script),
        lines=[r"waits for the end of its sleep, in \d+\.\d s$", "stuck_here"],
    )


@SCENES.asked("What do all its threads wait for?")
def _threads(made: Made) -> Scene:
    script = """
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print(flush=True)"""
    lines = [r" the end of its sleep$", r" a signal$"]
    return Scene(pid=made.python(script), lines=lines)


@SCENES.asked("What is its whole command line?")
def _command(made: Made) -> Scene:
    pid = made.program("sh", "-c", "sleep 600; :", "an argument")
    return Scene(pid=pid, exactly="sh -c 'sleep 600; :' 'an argument'\n")


@SCENES.asked("Which processes are stopped?")
def _stopped(made: Made) -> Scene:
    stopped, goes_on = made.program("sleep", "600"), made.program("sleep", "600")
    os.kill(stopped, signal.SIGSTOP)
    until(lambda: "T (stopped)" in Path(f"/proc/{stopped}/status").read_text(), "it goes on")
    return Scene([stopped], [goes_on], his=[stopped])
