"""Processes that do not go on, and what they wait for."""

from __future__ import annotations

from pathlib import Path

from tests.cookbook.files import locking
from tests.cookbook.scene import Made, Scene, Scenes
from tests.harness import until
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
    until(lambda: "D (disk sleep)" in Path(f"/proc/{pid}/status").read_text(), "it does not sleep")
    lines = [rf"/{pid}/task.txt:.*its vfork child to exec or exit"]
    return Scene([pid], [made.program("sleep", "60"), *children(pid)], lines=lines)


@SCENES.asked("Why does SIGTERM not end it?")
def _ignored(made: Made) -> Scene:
    pid = made.program("sh", "-c", "trap '' TERM; exec sleep 60", name="sleep")
    return Scene(pid=pid, exactly='{"SigBlk":false,"SigIgn":true,"SigCgt":false}\n')


@SCENES.asked("Who is being traced, and by whom?")
def _traced(made: Made) -> Scene:
    tracer = made.program("strace", "-o", "/dev/null", "sleep", "60")
    traced = made.child(tracer, "sleep")
    others = [tracer, made.program("sleep", "60")]
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
        [parent, made.program("sleep", "60")],
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
    pid = made.program("sh", "-c", "sh -c 'sleep 60; :'; :")
    below = made.child(pid, "sh")
    lowest = made.child(below, "sleep")
    made.program("sleep", "60")
    return Scene(
        pid=pid, exactly=f"{pid} sh\n  {below} sh\n    {lowest} sleep\n", his=[pid, below, lowest]
    )
