"""Who is asked about.

Sleeping processes of every kind that the kernel judges differently, and what there is in each.

Run as `python -m tests.permissions.targets NAME` it becomes such a process and says so on its
standard output.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.harness import ROOT, rests, state_of, until
from tests.permissions import calls
from tests.permissions.calls import become, call, enter_new, in_order, new_user_namespace, prctl
from tests.permissions.requesters import OTHER, OWNER, owner

SLEEP = ["/bin/sleep", "infinity"]
# Descriptors that every target has, and one that none has.
FILE, PIPE, SOCKET, ABSENT = 3, 4, 5, 99


@dataclass(frozen=True)
class Target:
    """A process to be asked about, with an address and a mapping that exist in it."""

    name: str
    pid: int
    threads: tuple[int, ...] = ()
    address: int = 0
    mapping: str = "0-1000"


def _announce(pid: int) -> None:
    """Say who the target is, and by closing the output that it has become what it should be."""
    os.write(1, f"{pid}\n".encode())
    os.close(1)


def _stay() -> None:
    """Wait for the end, in the same call for ever: nothing that the kernel says about us changes."""
    while True:
        signal.pause()


def _descriptors() -> None:
    """The same descriptors in every target."""
    os.dup2(os.open("/etc/hostname", os.O_RDONLY), 20)
    reading, writing = os.pipe()
    left, right = socket.socketpair()
    os.dup2(reading, 21)
    os.dup2(left.detach(), 22)
    os.closerange(3, 20)
    for source, descriptor in ((20, FILE), (21, PIPE), (22, SOCKET)):
        os.dup2(source, descriptor)
    os.closerange(20, 30)
    del writing, right


def _sleeping(step: Callable[[], None], program: str = SLEEP[0]) -> None:
    """A step, then another program, so that nothing of Python remains."""
    step()
    prctl(calls.PR_SET_PDEATHSIG, calls.SIGKILL)
    os.write(1, f"{os.readlink('/proc/self')}\n".encode())
    fcntl.fcntl(1, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    os.execv(program, SLEEP)


def _waiting(step: Callable[[], None]) -> None:
    step()
    prctl(calls.PR_SET_PDEATHSIG, calls.SIGKILL)
    _announce(os.getpid())
    _stay()


def _unreadable() -> None:
    """A program that its user may run but not read: never dumpable."""
    program = os.memfd_create("sleep")
    os.write(program, Path(SLEEP[0]).read_bytes())
    os.fchmod(program, 0o711)
    path = f"/proc/self/fd/{os.dup2(os.open(f'/proc/self/fd/{program}', os.O_RDONLY), 30, inheritable=False)}"
    os.close(program)
    _sleeping(owner, path)


def _extra_capability() -> None:
    bit = 1 << calls.CAP_NET_RAW
    become(OWNER, OWNER, (), bit)
    calls.set_capabilities(bit, bit, bit)
    prctl(calls.PR_CAP_AMBIENT, calls.PR_CAP_AMBIENT_RAISE, calls.CAP_NET_RAW)


def _undumpable() -> None:
    owner()
    prctl(calls.PR_SET_DUMPABLE, 0)


def _dead_leader() -> None:
    """A second thread lives on when the first has ended."""
    owner()

    def second() -> None:
        while " Z " not in Path(f"/proc/{os.getpid()}/stat").read_text():
            time.sleep(0.01)
        _announce(os.getpid())
        _stay()

    threading.Thread(target=second).start()
    call("exit", 0)


def _mixed_threads() -> None:
    """The first thread is the owner's, a second another's."""
    ready = threading.Event()

    def second() -> None:
        become(OTHER, OTHER)
        ready.set()
        _stay()

    threading.Thread(target=second, daemon=True).start()
    ready.wait()
    _waiting(owner)


def _zombie(*, dumpable: bool) -> None:
    """A child that has ended, which nobody buries."""
    child = os.fork()
    if not child:
        owner()
        if not dumpable:
            prctl(calls.PR_SET_DUMPABLE, 0)
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    _announce(child)
    _stay()


TARGETS: dict[str, Callable[[], None]] = {
    "ordinary": partial(_sleeping, owner),
    "root's": partial(_sleeping, lambda: None),
    "another's": partial(_sleeping, partial(become, OTHER, OTHER)),
    "with an unreadable program": _unreadable,
    "with one capability more": partial(_sleeping, _extra_capability),
    "not dumpable": partial(_waiting, _undumpable),
    "in a child user namespace": partial(
        _sleeping, in_order(owner, partial(new_user_namespace, f"0 {OWNER} 1"))
    ),
    "in another network namespace": partial(
        _sleeping, in_order(partial(enter_new, calls.CLONE_NEWNET), owner)
    ),
    "with a dead leader": _dead_leader,
    "with threads of two users": _mixed_threads,
    "zombie": partial(_zombie, dumpable=True),
    "zombie, not dumpable": partial(_zombie, dumpable=False),
}
# Those who are only written to.
UNMAPPED = "in a user namespace without maps"
KINDS = TARGETS | {UNMAPPED: partial(_sleeping, in_order(owner, partial(new_user_namespace, None)))}


def _first_mapping(pid: int) -> tuple[int, str]:
    """An address in the first file mapping of a process, and the name of that mapping."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            start, _, end = line.split()[0].partition("-")
            return int(start, 16), f"{start}-{end}"
    return 0x1000, "1000-2000"


def _is_still(pid: int) -> bool:
    """Whether the dynamic linker has done its work, and the program waits or has ended."""
    comm = Path(f"/proc/{pid}/comm").read_text(errors="replace")
    return state_of(pid) in {"S", "Z"} and (comm != "sleep\n" or rests(pid) or state_of(pid) == "Z")


def described(name: str, pid: int) -> Target:
    """A running process as a target."""
    address, mapping = _first_mapping(pid)
    return Target(
        name, pid, tuple(sorted(map(int, os.listdir(f"/proc/{pid}/task")))), address, mapping
    )


def kernel_thread() -> int:
    """A thread of the kernel's: the parent of all others."""
    assert Path("/proc/2/stat").read_bytes().startswith(b"2 (kthreadd)")
    return 2


@contextlib.contextmanager
def targets(names: Sequence[str] = tuple(TARGETS)) -> Iterator[list[Target]]:
    """All targets, or some of `KINDS`, running for the time of a block, and a kernel thread before them."""
    with contextlib.ExitStack() as stack:
        processes = []
        for name in names:
            command = [sys.executable, "-m", "tests.permissions.targets", name]
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
            )
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        found = [int(process.stdout.read()) for process in processes if process.stdout]
        until(lambda: all(map(_is_still, found)), "the targets do not rest")
        yield [described("kernel thread", kernel_thread()), *map(described, names, found)]


def main() -> None:
    """Be the target named on the command line."""
    prctl(calls.PR_SET_PDEATHSIG, calls.SIGKILL)
    _descriptors()
    KINDS[sys.argv[1]]()


if __name__ == "__main__":
    main()
