"""waits: real processes that wait for each other, and deadlocks of each kind that is known."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import procmirror
from procmirror.decoding.view import Machine
from procmirror.procfs.unix_peers import messages, unix_peers
from procmirror.stack import glibc
from procmirror.stack.named_file import Mounts, Openers
from procmirror.stack.wait_graph import Edges, Waiters, chains, deadlocked
from procmirror.views import VIEWS, waits
from procmirror.views.pid import waits as chain_of
from tests.harness import until
from tests.live import Live
from tests.live import machine as facts
from tests.mounting import Mount
from tests.programs import ran, running
from tests.stack.apart import APART, waiting_for_a_fifo

(VIEW,) = (view for view in VIEWS if view.name == "waits")
Start = Callable[..., int]
STARTED: list[subprocess.Popen[bytes]] = []

RWLOCKS = r"""
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static pthread_rwlock_t first = PTHREAD_RWLOCK_INITIALIZER, second = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t both;
static int reads;
static void take(pthread_rwlock_t *lock) {
    if (reads) pthread_rwlock_rdlock(lock); else pthread_rwlock_wrlock(lock);
}
static void *other(void *unused) {
    (void)unused;
    pthread_rwlock_wrlock(&second);
    pthread_barrier_wait(&both);
    take(&first);
    return 0;
}
int main(int count, char **words) {
    pthread_t thread;
    reads = count > 1 && !strcmp(words[1], "read");
    pthread_barrier_init(&both, 0, 2);
    pthread_rwlock_wrlock(&first);
    pthread_create(&thread, 0, other, 0);
    pthread_barrier_wait(&both);
    take(&second);
    return 0;
}
"""
SHARED = r"""
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int count, char **words) {
    pthread_mutex_t *both = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    if (count > 1 && !strcmp(words[1], "robust"))
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(both, &kind);
    pthread_mutex_init(both + 1, &kind);
    pthread_barrierattr_t shared;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_t *held = (pthread_barrier_t *)(both + 2);
    pthread_barrier_init(held, &shared, 2);
    int child = !fork();
    pthread_mutex_lock(both + child);
    pthread_barrier_wait(held);
    pthread_mutex_lock(both + !child);
    return 0;
}
"""
# Waits at a word of shared memory that looks like a mutex of somebody else.
FORGED = """
import ctypes, mmap, os, sys
memory = mmap.mmap(-1, 4096)
words = (ctypes.c_uint32 * 3).from_buffer(memory)
words[0], words[2] = 2, int(sys.argv[1])
futex = 202 if os.uname().machine == "x86_64" else 98
ctypes.CDLL(None).syscall(futex, ctypes.byref(words), 0, 2, None, None, 0)
"""
MUTEXES = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both;
static void *other(void *unused) {
    (void)unused;
    pthread_mutex_lock(&second);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(&first);
    return 0;
}
int main(void) {
    pthread_t thread;
    pthread_barrier_init(&both, 0, 2);
    pthread_mutex_lock(&first);
    pthread_create(&thread, 0, other, 0);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(&second);
    return 0;
}
"""


# A child that waits for a lock of its parent, which goes on behind these lines.
CHILD_WAITS = """\
import fcntl, os
held = open("lock", "w")
fcntl.flock(held, fcntl.LOCK_EX)
child = os.fork()
if not child:
    held.close()
    fcntl.flock(open("lock", "w"), fcntl.LOCK_EX)
    os._exit(0)
"""


VFORK = r"""
#include <unistd.h>
int main(void) {
    int ends[2];
    char byte;
    if (pipe(ends)) return 1;
    if (vfork() == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1));
    }
    return 0;
}
"""


class Readable(Live):
    """The processes of this machine that the test may look at.

    A process that even root may not look at, such as the first of a sandbox, may hold any pipe:
    with it in sight no wait for a pipe is certain.
    """

    def names(self, path: str) -> list[str]:
        names = super().names(path)
        return [name for name in names if self._is_readable(name)] if path == "." else names

    def _is_readable(self, name: str) -> bool:
        try:
            return not name.isdigit() or bool(self.read(f"{name}/syscall") + b".")
        except OSError:
            return False


class Related(Readable):
    """The processes in the sessions of the tests and of what they started.

    Others have none of their pipes. The first process of a sandbox may be in the session of the
    tests too, where nobody made another one: it counts only if it can be looked at.
    """

    def names(self, path: str) -> list[str]:
        names = Live.names(self, path)
        if path != ".":
            return names
        sessions = {os.getsid(0), *(process.pid for process in STARTED)}
        return [
            name
            for name in names
            if not name.isdigit() or (session(int(name)) in sessions and self._is_readable(name))
        ]


def found(reading: Live | None = None) -> list[Any]:
    each = VIEW.record_of(reading or Related("/proc"), facts())
    return list(each.content(iter(each)))


def by_pid(*pids: int) -> list[Any]:
    return [one for one in found() if one.pid in pids]


def session(pid: int) -> int | None:
    """The session of a process; None if it is gone."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program of Python in a session of its own; the sessions are ended with the test."""

    def begin(program: str, *arguments: object, **options: Any) -> int:
        command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
        options = {"cwd": tmp_path, **options}
        process = subprocess.Popen(command, start_new_session=True, **options)
        STARTED.append(process)
        return process.pid

    yield begin
    for process in STARTED:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    STARTED.clear()


LOCKER = """
    import fcntl, pathlib, sys, time
    own, other = (open(name, "w") for name in sys.argv[1:])
    fcntl.flock(own, fcntl.LOCK_EX)
    pathlib.Path(sys.argv[1] + ".held").touch()
    while not pathlib.Path(sys.argv[2] + ".held").exists():
        time.sleep(0.01)
    fcntl.flock(other, fcntl.LOCK_EX)
"""


def all_waiting(*pids: int) -> list[Any]:
    """What each process waits for, when all of them wait for somebody.

    The kernel may leave a lock out of its list while locks of others come and go.
    """

    def all_wait() -> list[Any]:
        told = [one for one in by_pid(*pids) if one.holders]
        return told if {one.pid for one in told} >= set(pids) else []

    return until(all_wait, f"they do not wait: {pids}")


def deadlock_of(*pids: int) -> list[Any]:
    def all_stuck() -> list[Any]:
        told = [one for one in by_pid(*pids) if one.deadlock]
        return told if {one.pid for one in told} >= set(pids) else []

    return until(all_stuck, f"no deadlock of {pids}: {by_pid(*pids)}")


def test_a_process_that_cannot_be_looked_at_makes_pipes_uncertain(start: Start) -> None:
    class Blind(Live):
        def names(self, path: str) -> list[str]:
            if path == f"{os.getpid()}/fd":
                raise PermissionError(13, "refused")
            return super().names(path)

    pid = start("import os\nread, write = os.pipe()\nos.read(read, 1)")
    until(lambda: by_pid(pid), "it does not wait")
    each = VIEW.record_of(Blind("/proc"), facts())
    (told,) = (one for one in each.content(iter(each)) if one.pid == pid)
    assert (told.complete, told.deadlock) == (False, False)
    assert "others may hold it too" in waits.text([told], facts())


def test_two_processes_with_two_file_locks_are_a_deadlock(start: Start, tmp_path: Path) -> None:
    first = start(LOCKER, "a", "b")
    second = start(LOCKER, "b", "a")
    told = {one.pid: one for one in deadlock_of(first, second)}
    assert told[first].waits_for == f"a lock on {tmp_path / 'b'}"
    assert [holder.pid for holder in told[first].holders] == [second]
    everywhere = waits.text(found(Readable("/proc")), facts())
    assert f"deadlock: python({first})" in everywhere.replace("python3", "python")


# F_OFD_SETLKW is 38; a struct flock of 64 bits.
OPEN_FILE_LOCKER = """
    import fcntl, pathlib, struct, sys, time
    own, other = (open(name, "w") for name in sys.argv[1:])
    whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
    fcntl.fcntl(own, 38, whole)
    pathlib.Path(sys.argv[1] + ".held").touch()
    while not pathlib.Path(sys.argv[2] + ".held").exists():
        time.sleep(0.01)
    fcntl.fcntl(other, 38, whole)
"""


def test_two_processes_with_two_locks_of_open_files_are_a_deadlock(start: Start) -> None:
    """The kernel names no process with such a lock, nor with the request that waits for it."""
    first, second = start(OPEN_FILE_LOCKER, "a", "b"), start(OPEN_FILE_LOCKER, "b", "a")
    told = {one.pid: one for one in deadlock_of(first, second)}
    assert [holder.pid for holder in told[first].holders] == [second]
    assert told[first].waits_for.startswith("a lock on ") and told[first].complete


def test_for_which_of_two_locks_an_open_file_waits_is_not_known(
    start: Start, tmp_path: Path
) -> None:
    taking = """
        import fcntl, pathlib, struct, sys, time
        def range_of(first):
            return struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, int(first), 1, 0)
        own = open("ranges", "w")
        fcntl.fcntl(own, 38, range_of(sys.argv[1]))
        pathlib.Path(sys.argv[1] + ".held").touch()
        if len(sys.argv) > 2:
            fcntl.fcntl(own, 38, range_of(sys.argv[2]))
        time.sleep(600)
    """
    holders = [start(taking, at) for at in (1, 2)]
    until(lambda: len(list(tmp_path.glob("*.held"))) == 2, "no locks")
    waiters = [start(taking, at, at - 10) for at in (11, 12)]
    for one in all_waiting(*waiters):
        assert not one.complete and not one.deadlock
        assert {holder.pid for holder in one.holders} == {*holders, *waiters}


# Holds a lock of an open file for which a child waits.
OPEN_FILE_OF_CHILD = """
import fcntl, os, struct, sys, time
whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
held = open(sys.argv[1], "w")
fcntl.fcntl(held, 38, whole)
if not os.fork():
    held.close()
    fcntl.fcntl(open(sys.argv[1], "w"), 38, whole)
    os._exit(0)
time.sleep(600)
"""


@pytest.mark.root
def test_a_lock_of_an_open_file_of_another_file_system_is_another(tmp_path: Path) -> None:
    """The first files of two tmpfs have one number."""
    mount = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    program = [sys.executable, "-c", OPEN_FILE_OF_CHILD, tmp_path / "lock"]
    command = [*APART, "sh", "-c", mount, tmp_path, *program]
    name = os.path.basename(sys.executable)
    with running(*command, name=name) as one, running(*command, name=name) as other:
        holders = {}
        for holder in (one, other):
            children = Path(f"/proc/{holder}/task/{holder}/children")
            until(children.read_text, "it has no child")
            holders[int(children.read_text())] = holder
        for one_waits in all_waiting(*holders):
            assert [holder.pid for holder in one_waits.holders] == [holders[one_waits.pid]]
            assert one_waits.complete


def test_a_lock_whose_holder_sleeps_is_no_deadlock(start: Start) -> None:
    program = "import fcntl, sys, time\nf = open('c', 'w')\nfcntl.flock(f, fcntl.LOCK_EX)\n"
    holder = start(program + "time.sleep(600)")
    until(lambda: f" {holder} " in Path("/proc/locks").read_text(), "it does not lock")
    waiter = start(program)
    (one,) = all_waiting(waiter)
    assert ([holder.pid for holder in one.holders], one.deadlock) == ([holder], False)


def test_a_lock_is_held_by_all_that_inherited_its_file(start: Start) -> None:
    """The process that made it may have ended, and one that goes on may give it back."""
    keeper = start(
        """
        import fcntl, os, time
        f = open("h", "w")
        if not os.fork():
            fcntl.flock(f, fcntl.LOCK_EX)
            os._exit(0)
        os.wait()
        time.sleep(600)
        """
    )
    until(lambda: "lock:" in _fdinfos(keeper), "nobody locks")
    waiter = start("import fcntl\nf = open('h', 'w')\nfcntl.flock(f, fcntl.LOCK_EX)")
    (one,) = all_waiting(waiter)
    assert ([holder.pid for holder in one.holders], one.deadlock) == ([keeper], False)


def _fdinfos(pid: int) -> str:
    return "".join(info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir())


def test_two_pipes_that_nobody_fills_are_a_deadlock(start: Start) -> None:
    program = "import os, sys\nos.read(int(sys.argv[1]), 1)"
    (one_in, two_out), (two_in, one_out) = os.pipe(), os.pipe()
    first = start(program, one_in, pass_fds=(one_in, one_out))
    second = start(program, two_in, pass_fds=(two_in, two_out))
    for fd in (one_in, two_out, two_in, one_out):
        os.close(fd)
    told = {one.pid: one for one in deadlock_of(first, second)}
    assert told[first].waits_for.startswith("data in pipe:[")
    assert [holder.pid for holder in told[second].holders] == [first]


class Meanwhile(Related):
    """Something happens once, when a process is looked at first, or when all are listed."""

    def __init__(self, path: str, happen: Callable[[], object]) -> None:
        super().__init__("/proc")
        self._path, self._happen = path, happen

    def _pass(self, path: str) -> None:
        if path == self._path:
            self._path = ""
            self._happen()

    def read(self, path: str) -> bytes:
        self._pass(path)
        return super().read(path)

    def names(self, path: str) -> list[str]:
        names = super().names(path)
        self._pass(path)
        return names


def _reads(pid: int, fd: int) -> bool:
    """Whether a process is blocked in a call of which the descriptor is the first argument."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[1:2] == [hex(fd)]


def test_two_that_wait_in_turn_are_no_deadlock(start: Start) -> None:
    """One is looked at before it gets its answer, the other when it has sent that."""
    (one_in, one_out), (two_in, two_out), (go, tell) = os.pipe(), os.pipe(), os.pipe()
    asks = f"import os\nos.read({one_in}, 1)\nos.read({go}, 1)"
    answers = f"import os\nos.read({go}, 1)\nos.write({one_out}, b'.')\nos.read({two_in}, 1)"
    first = start(asks, pass_fds=(one_in, two_out, go))
    second = start(answers, pass_fds=(two_in, one_out, go))
    for fd in (one_in, one_out, two_in, two_out):
        os.close(fd)
    until(lambda: _reads(first, one_in) and _reads(second, go), "they do not wait")

    def answer() -> None:
        os.write(tell, b".")
        until(lambda: _reads(first, go) and _reads(second, two_in), "no answer")

    told = {one.pid: one for one in found(Meanwhile(f"{second}/status", answer))}
    os.close(go)
    os.close(tell)
    assert [holder.pid for holder in told[first].holders] == [second]
    assert [holder.pid for holder in told[second].holders] == [first]
    assert not told[first].deadlock and not told[second].deadlock


def test_who_starts_another_process_meanwhile_is_in_no_deadlock(start: Start) -> None:
    """The new process may end, or fill the pipe that the other child reads."""
    program = """
        import os, sys, time
        go, out = int(sys.argv[1]), os.pipe()
        if not os.fork():
            os.read(out[0], 1)
        os.read(go, 1)
        if not os.fork():
            time.sleep(600)
        os.wait()
    """
    go, tell = os.pipe()
    parent = start(program, go, pass_fds=(go,))
    children = Path(f"/proc/{parent}/task/{parent}/children")

    def stays(count: int) -> bool:
        return len(children.read_text().split()) == count and not _reads(parent, go)

    until(lambda: len(children.read_text().split()) == 1 and _reads(parent, go), "no child")

    def another() -> None:
        os.write(tell, b".")
        until(lambda: stays(2), "no other child")
        asleep = Path(f"/proc/{parent}/wchan")
        until(lambda: "wait" in asleep.read_text(), "it does not wait")

    told = {one.pid: one for one in found(Meanwhile(".", another))}
    os.close(go)
    os.close(tell)
    assert len(told[parent].holders) == 1 and not told[parent].deadlock


def test_a_reader_that_holds_the_only_writing_end_waits_for_itself(start: Start) -> None:
    pid = start("import os\nread, write = os.pipe()\nos.read(read, 1)")
    (told,) = deadlock_of(pid)
    assert [holder.pid for holder in told.holders] == [pid]


def test_a_full_pipe_waits_for_its_reader(start: Start) -> None:
    reading, writing = os.pipe()
    reader = start("import time\ntime.sleep(600)", pass_fds=(reading,))
    writer = start(f"import os\nos.write({writing}, bytes(1 << 20))", pass_fds=(writing,))
    os.close(reading)
    os.close(writing)
    (one,) = all_waiting(writer)
    assert one.waits_for.startswith("room in pipe:[")
    assert ([holder.pid for holder in one.holders], one.deadlock) == ([reader], False)


def test_a_fifo_waits_for_its_writer(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = start("import time\nf = open('fifo', 'w')\ntime.sleep(600)")
    reader = start("open('fifo').read()")
    (one,) = all_waiting(reader)
    assert one.waits_for == f"data in {tmp_path / 'fifo'}"
    assert [holder.pid for holder in one.holders] == [writer]


def test_two_fifos_that_nobody_fills_are_a_deadlock(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "one")
    os.mkfifo(tmp_path / "two")
    first = start("a = open('one', 'rb', 0)\nb = open('two', 'wb', 0)\na.read(1)")
    second = start("a = open('one', 'wb', 0)\nb = open('two', 'rb', 0)\nb.read(1)")
    told = {one.pid: one for one in deadlock_of(first, second)}
    assert told[first].waits_for == f"data in {tmp_path / 'one'}"
    assert [holder.pid for holder in told[second].holders] == [first]


@pytest.mark.root
def test_a_fifo_at_the_same_place_in_another_mount_namespace_is_another(tmp_path: Path) -> None:
    """Here even the numbers of the files are equal."""
    with waiting_for_a_fifo(tmp_path) as one, waiting_for_a_fifo(tmp_path) as other:
        told = {each.pid: each for each in all_waiting(one, other)}
        for pid in (one, other):
            assert told[pid].waits_for == f"data in {tmp_path / 'fifo'}"
            assert [holder.pid for holder in told[pid].holders] == [pid]


@pytest.mark.root
def test_a_fifo_is_the_same_below_another_mount(start: Start, tmp_path: Path) -> None:
    """Under another name, in another mount namespace."""
    (tmp_path / "elsewhere").mkdir()
    os.mkfifo(tmp_path / "fifo")
    script = 'mount --bind "$0" "$0/elsewhere" && exec sleep 600 >"$0/elsewhere/fifo"'
    reader = start("open('fifo').read()")
    with running(*APART, "sh", "-c", script, tmp_path, name="sleep") as writer:
        (one,) = all_waiting(reader)
        assert [holder.pid for holder in one.holders] == [writer]


def opened_by(mounts: dict[int, bytes], *opened: tuple[int, int]) -> Openers:
    """Who has files open, by number of mount and process; `mounts` are lines of mountinfo."""
    table = b"".join(b"%d 1 %s\n" % one for one in mounts.items())
    openers = Openers(Mounts(lambda _: table))
    for mount, pid in opened:
        openers.add(mount, {pid})
    return openers


def test_a_file_whose_file_system_is_not_known_may_be_the_same() -> None:
    """Its mount is in no table: it was opened before its process went to another namespace."""
    device = b"0:7 / / rw - tmpfs x rw"
    openers = opened_by({1: device, 2: device}, (1, 10), (2, 20), (3, 30))
    assert openers.of(1, 10) == ({10, 20}, False)
    assert openers.of(3, 30) == ({30}, False)
    assert opened_by({1: device, 2: device}, (1, 10), (2, 20)).of(1, 10) == ({10, 20}, True)


def test_tables_of_a_hundred_thousand_mounts_are_asked_for_once() -> None:
    """Sixty-four processes of a user have one such table, and a mount that is not in it."""
    read: list[str] = []

    def table(path: str) -> bytes:
        read.append(path)
        return b"1 1 0:7 / /a/b/c/d/e/f/g/h/i/j rw - tmpfs x rw\n" * 100_000

    openers = Openers(Mounts(table))
    for number in range(64):
        openers.add(1000 + number, {10 + number})
    assert len(read) == 1
    assert openers.of(1000, 10) == ({10}, False)


def test_a_file_of_another_subvolume_may_be_the_same() -> None:
    subvolumes = {1: b"0:7 /a / rw - btrfs x rw", 2: b"0:7 /b / rw - btrfs x rw"}
    assert opened_by(subvolumes, (1, 10), (2, 20)).of(1, 10) == ({10}, False)


def test_both_ends_of_a_unix_socket_that_read_are_a_deadlock(start: Start) -> None:
    one, other = socket.socketpair()
    program = "import socket, sys\nsocket.socket(fileno=int(sys.argv[1])).recv(1)"
    with one, other:
        first = start(program, one.fileno(), pass_fds=(one.fileno(),))
        second = start(program, other.fileno(), pass_fds=(other.fileno(),))
    told = {one.pid: one for one in deadlock_of(first, second)}
    assert [holder.pid for holder in told[first].holders] == [second]
    assert told[second].waits_for.startswith("data from the peer of socket:[")


def test_the_peers_of_unix_sockets_are_those_of_ss() -> None:
    one, other = socket.socketpair()
    with one, other:
        own, its = (os.fstat(end.fileno()).st_ino for end in (one, other))
        told = subprocess.run(["ss", "-x"], capture_output=True, text=True, check=True).stdout
        assert any([str(own), "*", str(its)] == line.split()[5:8] for line in told.splitlines())
        assert (unix_peers()[own], unix_peers()[its]) == (its, own)
    assert own not in unix_peers()


def test_a_datagram_socket_has_no_peer_that_alone_could_write_to_it() -> None:
    one, other = socket.socketpair(type=socket.SOCK_DGRAM)
    with one, other:
        assert os.fstat(one.fileno()).st_ino not in unix_peers()


def test_an_answer_of_the_kernel_that_is_cut_ends_there() -> None:
    assert list(messages(b"")) == []
    assert list(messages(bytes(16))) == []
    assert list(messages(struct.pack("=IHHII", 20, 3, 0, 0, 0) + bytes(4))) == [(3, bytes(4))]


POLLED = "polled = select.poll(); polled.register(ended, select.POLLIN); polled.poll({})"


@pytest.mark.parametrize(
    "waiting",
    ["os.waitid(os.P_PIDFD, ended, os.WEXITED)", POLLED.format(""), POLLED.format("3_600_000")],
    ids=["waitid", "poll", "poll with a timeout"],
)
def test_a_pidfd_of_a_child_that_waits_for_its_parents_lock_is_a_deadlock(
    start: Start, waiting: str
) -> None:
    """With a timeout it is a wait, but no deadlock."""
    parent = start(f"{CHILD_WAITS}import select\nended = os.pidfd_open(child)\n{waiting}")
    if "3_600" in waiting:
        (told,) = all_waiting(parent)
        assert not told.deadlock
    else:
        (told,) = deadlock_of(parent)
    assert told.waits_for == f"the end of process {told.holders[0].pid}"


def test_a_vfork_child_that_waits_for_its_parent_is_a_deadlock(
    start: Start, tmp_path: Path
) -> None:
    source = tmp_path / "vfork.c"
    source.write_text(VFORK)
    subprocess.run(["gcc", "-o", tmp_path / "vfork", source], check=True)
    parent = start(f"import os\nos.execv({str(tmp_path / 'vfork')!r}, ['vfork'])")
    (told,) = deadlock_of(parent)
    assert told.waits_for == "its vfork child to exec or exit"
    (child,) = deadlock_of(told.holders[0].pid)
    assert [holder.pid for holder in child.holders] == [parent]


def test_the_chain_of_one_process_leads_to_its_root_cause_and_back(start: Start) -> None:
    """Three processes in a row: the first sleeps, the second waits for it, the third for that."""
    (one_in, one_out), (two_in, two_out) = os.pipe(), os.pipe()
    cause = start("import time\ntime.sleep(600)", pass_fds=(one_out,))
    program = "import os, sys\nos.read(int(sys.argv[1]), 1)"
    middle = start(program, one_in, pass_fds=(one_in, two_out))
    last = start(program, two_in, pass_fds=(two_in,))
    for fd in (one_in, one_out, two_in, two_out):
        os.close(fd)
    until(lambda: {one.pid for one in by_pid(middle, last)} == {middle, last}, "they do not wait")
    chain = procmirror.read(f"{middle}/waits")
    assert [one.pid for one in chain.waits] == [middle]
    assert [(root.pid, root.waits_for) for root in chain.roots] == [(cause, "the end of its sleep")]
    assert (chain.waited_by[0].pid, chain.waited_by[0].depth) == (last, 1)
    shown = chain_of.text(chain, facts()).splitlines()
    assert re.match(rf"python\S*\({middle}\) waits for data in pipe:", shown[0])
    assert re.match(rf"root cause: python\S*\({cause}\)  S waits for the end of its", shown[1])
    far = procmirror.read(f"{last}/waits")
    assert ([one.pid for one in far.waits], [root.pid for root in far.roots]) == (
        [last, middle],
        [cause],
    )
    assert procmirror.read(f"{cause}/waits").waits == []
    assert procmirror.read(f"{last}/task/{last}/waits").waits == far.waits


def test_the_chain_of_a_deadlock_has_the_cycle_and_no_root_cause(start: Start) -> None:
    first, second = start(LOCKER, "f", "g"), start(LOCKER, "g", "f")
    deadlock_of(first, second)
    chain = procmirror.read(f"{first}/waits")
    assert (chain.deadlock, chain.roots) == (True, [])
    assert [one.pid for one in chain.waits] == [first, second]
    assert chain_of.text(chain, facts()).startswith("deadlock: ")


def test_a_parent_and_a_child_that_waits_for_its_lock_are_a_deadlock(start: Start) -> None:
    parent = start(CHILD_WAITS + "os.waitpid(child, 0)")
    (told,) = deadlock_of(parent)
    assert told.waits_for == f"the end of its child {told.holders[0].pid}"
    (child,) = deadlock_of(told.holders[0].pid)
    assert [holder.pid for holder in child.holders] == [parent]


def both_threads(pid: int) -> list[Any]:
    """The two threads of a process, when both are in a deadlock."""
    told = by_pid(pid)
    return told if sum(one.deadlock for one in told) == 2 else []


def test_two_threads_with_two_mutexes_are_a_deadlock(start: Start, tmp_path: Path) -> None:
    source = tmp_path / "mutexes.c"
    source.write_text(MUTEXES)
    subprocess.run(["gcc", "-pthread", "-o", tmp_path / "mutexes", source], check=True)
    pid = start(f"import os\nos.execv({str(tmp_path / 'mutexes')!r}, ['mutexes'])")
    told = {one.tid: one for one in until(lambda: both_threads(pid), "no deadlock of threads")}
    assert {one.holders[0].tid for one in told.values()} == set(told)
    assert all(one.waits_for.startswith("a mutex held by thread ") for one in told.values())


@pytest.mark.parametrize("kind", ["plain", "robust"])
def test_two_processes_with_two_shared_mutexes_are_a_deadlock(
    start: Start, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "shared.c"
    source.write_text(SHARED)
    subprocess.run(["gcc", "-pthread", "-o", tmp_path / "shared", source], check=True)
    pid = start(f"import os\nos.execv({str(tmp_path / 'shared')!r}, ['shared', {kind!r}])")
    both = until(
        lambda: [one for one in found() if one.deadlock and os.getpgid(one.pid) == pid],
        "no deadlock of processes",
    )
    assert {one.holders[0].pid for one in both} == {one.pid for one in both}
    words = "a mutex held by thread" if kind == "plain" else "a robust mutex held by thread"
    assert {one.waits_for.rpartition(" ")[0] for one in both} == {words}


def test_a_mutex_of_a_process_that_does_not_share_it_is_none(start: Start) -> None:
    pid = start(FORGED, os.getpid())
    until(lambda: "futex" in Path(f"/proc/{pid}/wchan").read_text(), "it does not wait")
    assert by_pid(pid) == []


@pytest.mark.parametrize("way", ["write", "read"])
def test_two_threads_with_two_read_write_locks_are_a_deadlock(
    start: Start, tmp_path: Path, way: str
) -> None:
    source = tmp_path / "rwlocks.c"
    source.write_text(RWLOCKS)
    subprocess.run(["gcc", "-pthread", "-o", tmp_path / "rwlocks", source], check=True)
    pid = start(f"import os\nos.execv({str(tmp_path / 'rwlocks')!r}, ['rwlocks', {way!r}])")
    told = {one.tid: one for one in until(lambda: both_threads(pid), "no deadlock of threads")}
    assert {one.holders[0].tid for one in told.values()} == set(told)
    assert {one.waits_for.rpartition(" ")[0] for one in told.values()} == {
        "a read-write lock held by thread"
    }


def test_words_that_are_no_read_write_lock_have_no_writer() -> None:
    lock = [3, 1, 1, 3, 0, 0, 77, 0]
    assert glibc.rwlock_writer(lock, 128) == 77
    for place, word in ((0, 2), (2, 0), (3, 2), (4, 1), (5, 1), (7, 1)):
        assert glibc.rwlock_writer([*lock[:place], word, *lock[place + 1 :]], 128) is None
    assert glibc.rwlock_writer(lock[:-1], 128) is None
    assert glibc.rwlock_writer(lock, 0) is None


def test_both_ends_of_a_local_connection_that_read_are_a_deadlock(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = start(f"import socket\nsocket.create_connection(('127.0.0.1', {port})).recv(1)")
        connection, _ = server.accept()
    pid = start(
        f"import socket\nsocket.socket(fileno={connection.fileno()}).recv(1)",
        pass_fds=(connection.fileno(),),
    )
    connection.close()
    told = {one.pid: one for one in deadlock_of(client, pid)}
    assert [holder.pid for holder in told[client].holders] == [pid]


ENDS = """
    import os, socket
    own, other = socket.socketpair() if {sockets} else (None, None)
    reading, writing = os.pipe()
    os.read(own.fileno() if own else reading, 1)
"""


def told_on(mirror: Mount, user: int | None) -> dict[int, dict[str, Any]]:
    """The rows of waits.ndjson as a user reads it, by pid."""
    rows = map(json.loads, ran("cat", mirror.path / "waits.ndjson", user=user).out.splitlines())
    return {row["pid"]: row for row in rows}


def test_a_user_is_told_the_deadlocks_of_his_own_processes_and_no_others(
    start: Start, mirror: Mount, wes: int
) -> None:
    """As root is; a pipe or socket may be held by a process that the user may not look at."""
    with TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        his = {"cwd": place, "user": wes, "group": wes, "extra_groups": []}
        pair = [start(LOCKER, "f", "g", **his), start(LOCKER, "g", "f", **his)]
        of_open_files = [
            start(OPEN_FILE_LOCKER, *names, **his) for names in (("a", "b"), ("b", "a"))
        ]
        parent = start(CHILD_WAITS + "os.waitpid(child, 0)", **his)
        ends = [start(ENDS.format(sockets=sockets), **his) for sockets in (True, False)]
        stuck = {*pair, parent}

        def all_told() -> bool:
            rows = told_on(mirror, wes)
            return rows.keys() >= stuck | {*ends, *of_open_files} and all(
                rows[pid]["deadlock"] for pid in stuck
            )

        until(all_told, "the user is not told")
        rows, by_root = told_on(mirror, wes), told_on(mirror, None)
        for pid in (*pair, parent, *of_open_files, *ends):
            same = ("waits_for", "holders")
            assert [rows[pid][name] for name in same] == [by_root[pid][name] for name in same]
        for pid in (*of_open_files, *ends):
            assert rows[pid]["holders"] and not rows[pid]["complete"] and not rows[pid]["deadlock"]
        others = [start(LOCKER, "x", "y"), start(LOCKER, "y", "x")]
        until(lambda: told_on(mirror, None).keys() >= set(others), "they do not wait")
        assert not told_on(mirror, wes).keys() & set(others)
        text = ran("cat", mirror.path / "waits.txt", user=wes).out
        assert text.count("deadlock: ") == 2 and "(others may hold it too)" in text


def test_a_busy_machine_shows_no_deadlock(start: Start) -> None:
    """Pipelines, children and readers of sockets wait all the time, but for somebody who goes on."""
    pids = [
        start("import subprocess\nsubprocess.run('sleep 600 | cat | cat', shell=True)"),
        start("import subprocess\nsubprocess.Popen(['sleep', '600']).wait()"),
        start(
            """
            import os, socket, time
            one, other = socket.socketpair()
            if os.fork():
                other.close()
                one.recv(1)
            one.close()
            time.sleep(600)
            """
        ),
        start(
            "import threading, time\nt = threading.Thread(target=time.sleep, args=(600,))\nt.start()\nt.join()"
        ),
        start(
            "import multiprocessing as m, time\nif True:\n  with m.Pool(2) as p: p.map(time.sleep, [600])"
        ),
    ]

    # Other tests may have deadlocks of their own meanwhile.
    def all_begun() -> list[Any]:
        waits = [one for one in found(Readable("/proc")) if session(one.pid) in pids]
        assert not [one for one in waits if one.deadlock]
        return waits if len(waits) > len(pids) else []

    until(all_begun, "they do not wait")


def test_what_is_not_visible_makes_no_deadlock() -> None:
    stuck = {
        1: Edges(frozenset({2}), endless=True, known=True),
        2: Edges(frozenset({1}), endless=True, known=False),
    }
    assert deadlocked(stuck) == set()
    assert deadlocked({1: stuck[1], 2: Edges(frozenset({1}), endless=True, known=True)}) == {1, 2}
    assert deadlocked({1: stuck[1], 2: Edges(frozenset({1}), endless=False, known=True)}) == set()
    assert deadlocked({1: stuck[1], 2: Edges(frozenset({1, 3}), endless=True, known=True)}) == set()


def test_the_deadlocked_set_is_closed_and_the_largest() -> None:
    """Against a definition by brute force over small random graphs."""
    chosen = random.Random(7)
    for _ in range(300):
        size = chosen.randint(1, 6)
        graph = {
            tid: Edges(
                frozenset(chosen.sample(range(size + 1), chosen.randint(0, min(3, size)))),
                endless=chosen.random() < 0.9,
                known=chosen.random() < 0.9,
            )
            for tid in range(size)
        }
        closed = [
            some
            for mask in range(1 << size)
            for some in [{tid for tid in range(size) if mask >> tid & 1}]
            if all(
                graph[tid].endless
                and graph[tid].known
                and graph[tid].threads
                and graph[tid].threads <= some
                for tid in some
            )
        ]
        assert deadlocked(graph) == max(closed, key=len)


def test_a_chain_of_a_hundred_thousand_waits_is_followed_once() -> None:
    """At its end one thread runs, so that none is stuck; with a cycle there all are."""
    size = 100_000
    graph = {tid: Edges(frozenset({tid + 1}), endless=True, known=True) for tid in range(size)}
    assert deadlocked(graph) == set()
    graph[size] = Edges(frozenset({size - 1}), endless=True, known=True)
    assert len(deadlocked(graph)) == size + 1


def test_who_waits_for_several_is_taken_with_the_first_of_them() -> None:
    both, one = frozenset({7, 8}), frozenset({8})
    graph = {
        tid: Edges(threads, endless=True, known=True)
        for tid, threads in ((1, both), (2, both), (3, one))
    }
    waiters = Waiters(graph, graph)
    assert waiters.awaited == {7, 8}
    assert [sorted(waiters.taken(thread)) for thread in (7, 8, 8, 9)] == [[1, 2], [3], [], []]


def test_each_thread_is_shown_once_however_the_chains_run() -> None:
    graph = {
        tid: Edges(frozenset({(tid + 1) % 2000}), endless=True, known=True) for tid in range(2000)
    }
    shown = list(chains(graph, deadlocked(graph)))
    assert [tid for tid, _ in shown] == list(range(2000))
    assert shown[0] == (0, 0)


def test_a_process_that_the_walk_gave_up_makes_pipes_uncertain(start: Start) -> None:
    pid = start("import os\nread, write = os.pipe()\nos.read(read, 1)")
    until(lambda: by_pid(pid), "it does not wait")
    each = VIEW.record_of(Readable("/proc"), facts())
    made = (one for one in each if one.pid != os.getpid())
    (told,) = (one for one in each.content(made) if one.pid == pid)
    assert (told.complete, told.deadlock) == (False, False)


@pytest.mark.parametrize(
    ("state", "waits_for", "words"),
    [
        ("S", "the end of its sleep", "waits for no other process: for the end of its sleep"),
        ("R", None, "waits for nothing: it runs"),
        ("S", None, "what sleep(7) waits for is not known"),
        (None, None, "what sleep(7) waits for is not known"),
    ],
)
def test_what_is_not_seen_is_not_taken_for_no_wait(
    state: str | None, waits_for: str | None, words: str
) -> None:
    root = chain_of.Root(7, "sleep", state, waits_for)
    chain = chain_of.Chain(
        pid=7,
        comm="sleep",
        deadlock=False,
        waits=[],
        roots=[root],
        waited_by=[],
        complete=state is not None,
    )
    assert words in chain_of.text(chain, Machine()).splitlines()[0]
