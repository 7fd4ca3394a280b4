"""Every line of docs/COOKBOOK.md as it stands there, asked of processes that were made to be the answer, and of others."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.mounting import Mount
from tests.programs import ROOT, children, descendants, environment, free_port, killed, ran, running, started, until

PAGE = ROOT / "docs" / "COOKBOOK.md"
# A question, its one line and the answer; whoever adds one below a heading without this shape is told so.
_QUESTION = re.compile(
    r"^### (?P<question>.+)\n\n```console\n# (?P<line>.+)\n(?P<answer>(?:.+\n)+)```\n\n(?P<remark>\S.+)", re.MULTILINE
)
QUESTIONS = {one["question"]: one["line"] for one in _QUESTION.finditer(PAGE.read_text(encoding="utf-8"))}
PLAIN = {"ls", "grep", "jq", "cat", "sort", "head", "awk", "readlink"}
# The process of a line of an answer: the first number that stands alone or as a directory.
_PROCESS = re.compile(r"(?:^|[\s/])(\d+)(?=[\s/]|$)")
# The same in sockets.txt.
_IN_SOCKETS = re.compile(r"\((\d+)\)")


class Scene(NamedTuple):
    """What a question is asked of, and what has to come out."""

    named: Sequence[int] = ()  # processes (or threads) that the answer names
    others: Sequence[int] = ()  # those that were made like them in all but what is asked, and are not in it
    his: Sequence[int] | None = None  # of these what wes is told; None where he is not asked
    lines: Sequence[str] = ()  # expressions that find something in the answer
    exactly: str | None = None  # the whole answer
    first: int = 0  # the process in its first line
    pid: int = 0  # $pid
    words: Sequence[tuple[str, object]] = ()  # what stands for the names in the page
    process: re.Pattern[str] = _PROCESS


class Made:
    """The processes of one scene; they end with it."""

    def __init__(self, stack: ExitStack, folder: Path, wes: int) -> None:
        self._stack = stack
        self.folder = folder
        self.wes = wes
        self.said: dict[int, str] = {}

    def program(self, *command: object, name: str = "", user: int | None = None, **options: Any) -> int:
        """The pid of a program that runs."""
        pid = self._stack.enter_context(running(*command, name=name, user=user, **options))
        self._stack.callback(lambda: killed(*descendants(pid)))
        return pid

    def python(self, script: str, *arguments: object, user: int | None = None) -> int:
        """The pid of a Python program that has printed a line; it goes on until it is killed."""
        command = (sys.executable, "-I", "-c", f"import os, sys\n{script}\nimport signal\nsignal.pause()")
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        program = self._stack.enter_context(started(*command, *arguments, user=user, stdin=null, stdout=pipe))
        self._stack.callback(lambda: killed(*descendants(program.pid)))
        assert program.stdout
        self.said[program.pid] = program.stdout.readline()
        assert self.said[program.pid], script
        return program.pid

    def child(self, pid: int, name: str) -> int:
        """A child of a process, when it has become a program."""

        def found() -> list[int]:
            return [one for one in children(pid) if Path(f"/proc/{one}/comm").read_text().strip() == name]

        until(found, f"{pid} has no child {name}")
        return found()[0]


Making = Callable[[Made], Scene]
SCENES: dict[str, Making] = {}


def scene(question: str) -> Callable[[Making], Making]:
    """What makes the processes for a question."""

    def told(making: Making) -> Making:
        SCENES[question] = making
        return making

    return told


MAPPED = """
import mmap
with open(sys.argv[1], "rb") as file:
    kept = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
if sys.argv[2:]:
    os.unlink(sys.argv[1])
print(flush=True)"""


@scene("Which process still uses the deleted libssl?")
def _deleted_library(made: Made) -> Scene:
    libssl, kept, libother = (made.folder / name for name in ("libssl.so.3", "libssl.so.1", "libother.so"))
    for path in (libssl, kept, libother):
        shutil.copy(sys.executable, path)
    one, two = made.python(MAPPED, libssl, "gone"), made.python(MAPPED, kept)
    return Scene([one], [two, made.python(MAPPED, libother, "gone")], his=[])


@scene("Whose program was replaced under it?")
def _replaced_program(made: Made) -> Scene:
    for name in ("server", "server.new", "kept"):
        shutil.copy("/bin/sleep", made.folder / name)
    old, kept = made.program(made.folder / "server", 60), made.program(made.folder / "kept", 60)
    os.replace(made.folder / "server.new", made.folder / "server")
    return Scene([old], [kept, made.program(made.folder / "server", 60)], his=[])


LOGS = """
file = open(sys.argv[1], sys.argv[2])
if sys.argv[3:]:
    os.unlink(sys.argv[1])
if file.writable():
    file.write("x" * 100_000), file.flush()
print(flush=True)"""


@scene("Who holds the deleted log that fills the disk, and how big is it?")
def _deleted_log(made: Made) -> Scene:
    names = [made.folder / f"{name}.log" for name in ("app", "kept", "read")]
    names[2].touch()
    writer = made.python(LOGS, names[0], "a", "gone")
    others = [made.python(LOGS, names[1], "a"), made.python(LOGS, names[2], "r", "gone")]
    return Scene([writer], others, his=[], lines=[rf"/{writer}/.* write +file +100000 +.*/app\.log \(deleted\)"])


@scene("Who has a file open below /srv/data?")
def _open_files(made: Made) -> Scene:
    (made.folder / "data").mkdir()
    inside, outside = (made.python(LOGS, made.folder / name, "w") for name in ("data/table", "data.old"))
    return Scene([inside], [outside], his=[], words=[("/srv/data", made.folder / "data")])


@scene("Who stands in /srv/data, so that it cannot be unmounted?")
def _working_directory(made: Made) -> Scene:
    places = [made.folder / name for name in ("data", "data/deep", "data.old")]
    for place in places:
        place.mkdir()
    one, deep, outside = (made.python("os.chdir(sys.argv[1]); print(flush=True)", place) for place in places)
    return Scene([one, deep], [outside], his=[], words=[("/srv/data", made.folder / "data")])


@scene("Who still has /srv/data mounted in a mount namespace of its own?")
def _mounted(made: Made) -> Scene:
    def mounting(name: str) -> int:
        place = made.folder / name
        place.mkdir()
        script = 'mount -t tmpfs none "$0" && exec sleep 60'
        return made.program("unshare", "--mount", "--propagation", "private", "sh", "-c", script, place, name="sleep")

    others = [mounting("data.old"), made.program("sleep", "60")]
    return Scene([mounting("data")], others, words=[("/srv/data", made.folder / "data")])


LOCKER = """
import fcntl
file = open(sys.argv[1], "w")
print(flush=True)
fcntl.lockf(file, fcntl.LOCK_EX)"""


def _locking(made: Made) -> tuple[Path, int, int]:
    """A file, who has locked it and who waits."""
    path = made.folder / "db.lock"

    def listed(mark: str) -> int:
        pid = made.python(LOCKER, path)
        until(lambda: f"{mark}POSIX  ADVISORY  WRITE {pid} " in Path("/proc/locks").read_text(), "the lock does not show")
        return pid

    return path, listed(""), listed("-> ")


@scene("Which process holds this lock, and who waits for it?")
def _lock(made: Made) -> Scene:
    path, holder, waiter = _locking(made)
    other = made.python(LOCKER, made.folder / "other.lock")
    return Scene([holder], [other], lines=[rf"^{holder}\t.*\tWRITE\tbefore\t{waiter}$"], words=[("/srv/data/db.lock", path)])


@scene("How near is it to its limit of open files?")
def _limit(made: Made) -> Scene:
    pid = made.program("prlimit", "--nofile=64:128", "sleep", "60", name="sleep")
    return Scene(pid=pid, exactly=f'{{"open":{len(os.listdir(f"/proc/{pid}/fd"))},"soft":64}}\n')


@scene("Who is at the other end of this pipe?")
def _pipe(made: Made) -> Scene:
    shells = [made.program("sh", "-c", "sleep 60 | cat; :") for _ in range(2)]
    (writer, reader), others = [(made.child(pid, "sleep"), made.child(pid, "cat")) for pid in shells]
    return Scene([writer, reader], others, pid=reader, lines=[rf"/{writer}/fd.txt: +1 +write", rf"/{reader}/fd.txt: +0 +read"])


WATCHER = """
import ctypes
libc = ctypes.CDLL(None)
instance = libc.inotify_init()
for number in range(int(sys.argv[2])):
    path = f"{sys.argv[1]}/{number}"
    open(path, "w").close()
    assert libc.inotify_add_watch(instance, path.encode(), 2) > 0
print(flush=True)"""


@scene("Who has more than a hundred inotify watches?")
def _watches(made: Made) -> Scene:
    many, few = (made.python(WATCHER, made.folder, number) for number in (150, 3))
    return Scene([many], [few], his=[], lines=[rf"/{many}/fdinfo/\d+:150$"])


@scene("What does this stuck process wait for?")
def _stack(made: Made) -> Scene:
    path, _, waiter = _locking(made)
    lines = [rf"^python\S* +{waiter} +S .* waits for a file lock$", rf"^  fcntl\(fd=\d+<{path}>, cmd=F_SETLKW"]
    return Scene(pid=waiter, lines=lines)


# The child of this posix_spawn opens a FIFO that nobody writes to, and the parent sleeps until it is through.
SPAWNER = """
os.mkfifo(sys.argv[1])
print(flush=True)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])"""


@scene("What is in uninterruptible sleep, and why?")
def _uninterruptible(made: Made) -> Scene:
    pid = made.python(SPAWNER, made.folder / "fifo")
    until(lambda: "D (disk sleep)" in Path(f"/proc/{pid}/status").read_text(), "it does not sleep")
    lines = [rf"/{pid}/task.txt:.*its vfork child to exec or exit"]
    return Scene([pid], [made.program("sleep", "60"), *children(pid)], lines=lines)


@scene("Why does SIGTERM not end it?")
def _ignored(made: Made) -> Scene:
    pid = made.program("sh", "-c", "trap '' TERM; exec sleep 60", name="sleep")
    return Scene(pid=pid, exactly='{"SigBlk":false,"SigIgn":true,"SigCgt":false}\n')


@scene("Who is being traced, and by whom?")
def _traced(made: Made) -> Scene:
    tracer = made.program("strace", "-o", "/dev/null", "sleep", "60")
    traced = made.child(tracer, "sleep")
    others = [tracer, made.program("sleep", "60")]
    return Scene([traced], others, his=[traced], lines=[rf"^{traced}\tsleep\tby\t{tracer}$"])


@scene("Which processes are zombies, and who should have waited for them?")
def _zombies(made: Made) -> Scene:
    script = """
pid = os.fork() or os._exit(3)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(pid, flush=True)"""
    parent = made.python(script)
    zombie = int(made.said[parent])
    comm = Path(f"/proc/{parent}/comm").read_text().strip()
    return Scene(
        [zombie], [parent, made.program("sleep", "60")], his=[zombie], lines=[rf"^{zombie}\t{comm}\tchild of\t{parent}$"]
    )


@scene("What does its event loop wait for?")
def _event_loop(made: Made) -> Scene:
    script = """
import select
loop, (reads, writes) = select.epoll(), os.pipe()
loop.register(reads, select.EPOLLIN)
print(reads, flush=True)"""
    pid = made.python(script)
    return Scene(pid=pid, exactly=f"{made.said[pid].strip()}\tEPOLLIN\tEPOLLERR\tEPOLLHUP\n")


@scene("What does the tree of processes below it look like?")
def _tree(made: Made) -> Scene:
    pid = made.program("sh", "-c", "sh -c 'sleep 60; :'; :")
    below = made.child(pid, "sh")
    lowest = made.child(below, "sleep")
    made.program("sleep", "60")
    return Scene(pid=pid, exactly=f"{pid} sh\n  {below} sh\n    {lowest} sleep\n", his=[pid, below, lowest])


@scene("Whose environment has the old API key?")
def _environment(made: Made) -> Scene:
    keys = [(None, "old-key"), (made.wes, "old-key"), (None, "new-key"), (made.wes, "new-key")]
    pids = [made.program("sleep", "60", user=user, env=environment(API_KEY=key)) for user, key in keys]
    return Scene(pids[:2], pids[2:], his=pids[1:2])


@scene("Who but root has CAP_SYS_ADMIN?")
def _capability(made: Made) -> Scene:
    def with_capability(name: str) -> int:
        given = (f"--inh-caps=+{name}", f"--ambient-caps=+{name}")
        return made.program("setpriv", f"--reuid={made.wes}", "--clear-groups", *given, "sleep", "60", name="sleep")

    mighty = with_capability("sys_admin")
    others = [with_capability("net_raw"), made.program("sleep", "60"), made.program("sleep", "60", user=made.wes)]
    return Scene([mighty], others, his=[mighty], lines=[rf"^{mighty}\tsleep\twes$"])


# A filter of one instruction: allow.
FILTER = """
import ctypes
libc = ctypes.CDLL(None)
code = ctypes.create_string_buffer(bytes.fromhex("060000000000ff7f"), 8)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(1, ctypes.addressof(code)))) == 0
print(flush=True)"""


@scene("Which processes have a seccomp filter?")
def _filtered(made: Made) -> Scene:
    filtered, plain = made.python(FILTER), made.program("sleep", "60")
    # Where the tests themselves run under a filter, there is nobody without one.
    free = "Seccomp:\t0" in Path(f"/proc/{plain}/status").read_text()
    return Scene([filtered], [plain] if free else [], his=[filtered])


@scene("Which of wes's processes could still gain rights by a setuid program?")
def _privileges(made: Made) -> Scene:
    free, roots = made.program("sleep", "60", user=made.wes), made.program("sleep", "60")
    bound = made.program("setpriv", "--no-new-privs", "sleep", "60", user=made.wes, name="sleep")
    return Scene([free], [bound, roots], his=[free])


@scene("Who has memory that is writable and executable?")
def _writable_code(made: Made) -> Scene:
    script = "import mmap; kept = mmap.mmap(-1, 4096, prot=int(sys.argv[1])); print(flush=True)"
    return Scene([made.python(script, 7)], [made.python(script, 3), made.python(script, 5)], his=[])


def _contained(made: Made) -> tuple[int, int]:
    outer = made.program("unshare", "--pid", "--fork", "sleep", "60")
    return made.child(outer, "sleep"), outer


@scene("Which processes are in a container?")
def _container(made: Made) -> Scene:
    inner, outer = _contained(made)
    return Scene([inner], [outer, made.program("unshare", "--net", "sleep", "60", name="sleep")], his=[])


@scene("Which process is number 1 in its container?")
def _first_of_container(made: Made) -> Scene:
    inner, outer = _contained(made)
    return Scene([inner], [outer, 1], his=[inner])


LISTENER = """
import socket
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
accepted = listener.accept()"""
CLIENT = """
import socket
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"x" * int(sys.argv[2]))
print(flush=True)"""


@scene("Who listens on port 8080?")
def _listener(made: Made) -> Scene:
    port = free_port()
    listener, client = made.python(LISTENER, port), made.python(CLIENT, port, 0)
    other = made.python(LISTENER, free_port())
    return Scene([listener], [client, other], his=[], words=[("8080", port)], process=_IN_SOCKETS)


# A server that never accepts and has room for one, which is the first; the second gets no answer.
BUSY = """
import socket
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1]))), listener.listen(0)
print(flush=True)"""
EAGER = """
import socket
client = socket.socket()
client.setblocking(False)
client.connect_ex(("127.0.0.1", int(sys.argv[1])))
print(flush=True)"""


def _full(made: Made) -> tuple[int, int, int, int]:
    """The server, its port, the client that waits for it and the one that is not heard."""
    port = free_port()
    server = made.python(BUSY, port)
    return server, port, made.python(EAGER, port), made.python(EAGER, port)


@scene("Which server leaves its connections waiting?")
def _queue(made: Made) -> Scene:
    server, port, heard, unheard = _full(made)
    idle = made.python(BUSY, free_port())
    return Scene([server], [idle, heard, unheard], lines=[rf"^{server}\t.*\t127\.0\.0\.1:{port}\t1$"])


@scene("Whose attempts to connect get no answer?")
def _no_answer(made: Made) -> Scene:
    server, _, heard, unheard = _full(made)
    return Scene([unheard], [server, heard], his=[], process=_IN_SOCKETS)


@scene("Which connections have data that their program does not read?")
def _unread(made: Made) -> Scene:
    ports = [free_port(), free_port()]
    hanging, idle = (made.python(LISTENER, port) for port in ports)
    clients = [made.python(CLIENT, port, size) for port, size in zip(ports, (5000, 0), strict=True)]
    line = rf"^{hanging}\t.*\t127\.0\.0\.1:{ports[0]}\t127\.0\.0\.1:\d+\t5000$"
    return Scene([hanging], [idle, *clients], lines=[line])


@scene("Who serves the Unix socket /run/app.sock?")
def _unix_socket(made: Made) -> Scene:
    script = """
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1]), listener.listen()
print(flush=True)"""
    path = made.folder / "app.sock"
    server, other = (made.python(script, name) for name in (path, f"{path}.old"))
    client = made.python("import socket\nkept = socket.socket(1)\nkept.connect(sys.argv[1])\nprint(flush=True)", path)
    return Scene([server], [other, client], his=[], words=[("/run/app.sock", path)], process=_IN_SOCKETS)


@scene("Which of its threads burns the CPU?")
def _threads(made: Made) -> Scene:
    script = """
import threading, time
def burn():
    while time.thread_time() < 0.3:
        pass
    print(threading.get_native_id(), lazy.native_id, flush=True)
    time.sleep(60)
lazy = threading.Thread(target=time.sleep, args=(60,))
for one in (lazy, threading.Thread(target=burn)):
    one.start()"""
    pid = made.python(script)
    burning, lazy = map(int, made.said[pid].split())
    return Scene([burning, lazy, pid], first=burning, pid=pid)


@scene("Which of wes's processes takes the most memory?")
def _memory(made: Made) -> Scene:
    def taking(size: int, user: int | None) -> int:
        pid = made.program("perl", "-e", f"my $kept = 'x' x ({size} << 20); sleep 60", user=user)
        until(lambda: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) >= size << 8, "it does not take its memory")
        return pid

    big, small, roots = taking(64, made.wes), taking(1, made.wes), taking(96, None)
    return Scene([big, small], [roots], first=big, his=[big, small])


@scene("Whom does the kernel kill first when memory runs out?")
def _victim(made: Made) -> Scene:
    first = made.program("choom", "-n", "1000", "--", "sleep", "60", name="sleep")
    return Scene([first], [made.program("sleep", "60")], his=[first])


@scene("What was started in the last minute?")
def _started(made: Made) -> Scene:
    def age(pid: int) -> float:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")

    return Scene([made.program("sleep", "60")], [pid for pid in (1, os.getpid()) if age(pid) > 61])


@scene("Was the kernel started with this option?")
def _option(made: Made) -> Scene:
    del made
    given = [one.partition("=") for one in shlex.split(Path("/proc/cmdline").read_text().partition(" -- ")[0])]
    name = next(name for name, equals, _ in given if equals)
    values = [value if equals else "null" for one, equals, value in given if one == name]
    return Scene(exactly="".join(f"{value}\n" for value in values), words=[("console", name)])


@scene("What are the sysctls with somaxconn in their names?")
def _sysctl(made: Made) -> Scene:
    del made
    return Scene(exactly=f"net/core/somaxconn {Path('/proc/sys/net/core/somaxconn').read_text()}")


@pytest.fixture
def made(tmp_path: Path, wes: int) -> Iterator[Made]:
    with ExitStack() as stack:
        yield Made(stack, tmp_path, wes)


def _asked(line: str, expected: Scene, mirror: Mount, user: int | None) -> str:
    """What the line answers on the mirror, told as if it were mounted where the page says."""
    for word, here in expected.words:
        line = line.replace(word, str(here))
    env = environment(pid=str(expected.pid))
    answer = ran("sh", "-c", line.replace("/mnt/proc", str(mirror.path)), user=user, env=env)
    return answer.out.replace(str(mirror.path), "/mnt/proc")


def _named(answer: str, process: re.Pattern[str]) -> list[int]:
    """The process of each line."""
    return [int(found[1]) for line in answer.splitlines() if (found := process.search(line))]


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_line_answers_the_question(question: str, mirror: Mount, made: Made) -> None:
    assert question in SCENES, f"nothing is made to ask it of: {question}"
    expected = SCENES[question](made)
    answer = _asked(QUESTIONS[question], expected, mirror, None)
    named = _named(answer, expected.process)
    assert set(expected.named) <= set(named), answer
    assert not set(expected.others) & set(named), answer
    assert expected.exactly in {None, answer}
    assert expected.first in {0, named[0] if named else 0}, answer
    for line in expected.lines:
        assert re.search(line, answer, re.MULTILINE), f"{line} is not in {answer}"
    if expected.his is not None:
        told = _named(_asked(QUESTIONS[question], expected, mirror, made.wes), expected.process)
        assert set(told) & {*expected.named, *expected.others, *expected.his} == set(expected.his)


def test_the_page_has_twenty_questions_of_one_shape_and_no_scene_is_without_one() -> None:
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == list(QUESTIONS) and len(QUESTIONS) >= 20
    assert set(SCENES) <= set(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_line_needs_plain_tools_only(question: str) -> None:
    line = re.sub(r"'[^']*'", "''", QUESTIONS[question])
    used = {part.split()[0] for part in re.split(r"\||\$\(", line)}
    assert used <= PLAIN, used - PLAIN
