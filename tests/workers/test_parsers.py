"""What parses others' files has no rights, and its end is a reason and never a wrong frame."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from msgspec import structs

from procmirror.decoding.view import Machine
from procmirror.procfs.open_file import OpenFile
from procmirror.stack import source_lines
from procmirror.stack.process import Process
from procmirror.stack.snapshot import Where
from procmirror.stack.target import MappedFile
from procmirror.stack.thread_stack import Stacks
from procmirror.stack.threads import stacks
from procmirror.stack.user_side import HereParser, Job, UserSide
from procmirror.workers import parser_client, parser_process, remote_target
from procmirror.workers.parser_answers import Answers
from procmirror.workers.parser_client import Parsers, RemoteParser
from procmirror.workers.parser_connection import ENDED, NONE, TIMED_OUT
from procmirror.workers.parsing import DebugFile, DebugLinks, Mapped, Memory, PerfMap, Question
from tests.harness import comes_true, ended, until
from tests.live_target import LiveTarget
from tests.programs import children
from tests.stack.targets import PROGRAMS, available, compiled, running

Act = Callable[[HereParser, Job], object]


@contextmanager
def parsers(act: Act | None = None) -> Iterator[tuple[Parsers, int]]:
    """Parsers of a server of their own (its number); each does `act` before a job."""
    spawn_requests, spawner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = os.fork()
    if server == 0:
        try:
            spawn_requests.close()
            if act:
                _obey(act)
            parser_process.serve(spawner)
        finally:
            os._exit(1)
    spawner.close()
    made = Parsers(spawn_requests)
    try:
        yield made, server
    finally:
        spawn_requests.close()
        made.close()
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def _obey(act: Act) -> None:
    usual = HereParser.user_side

    def user_side(self: HereParser, job: Job) -> UserSide:
        act(self, job)
        return usual(self, job)

    HereParser.user_side = user_side  # type: ignore[method-assign]


def parsed(pid: int, using: Parsers, requester: str = "me") -> Stacks:
    target = LiveTarget(f"/proc/{pid}")
    target.parser = using.of(requester)
    try:
        return still(stacks(target, Machine()))
    finally:
        target.close()


def here(pid: int) -> Stacks:
    return still(stacks(LiveTarget(f"/proc/{pid}"), Machine()))


def still(found: Stacks) -> Stacks:
    """The stacks without the time that is left, which goes on."""
    threads = [
        structs.replace(one, waits_for=one.waits_for and re.sub(r"[\d.]+ s$", "", one.waits_for))
        for one in found.threads
    ]
    return structs.replace(found, threads=threads)


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    with running(available("sleep"), "1000") as pid:
        yield pid


def test_the_frames_are_those_that_are_found_here(
    sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the usual time may be over before all lines are found.
    monkeypatch.setattr(source_lines, "SECONDS", 10.0)
    with parsers() as (using, _):
        for _ in range(3):
            assert parsed(sleeper, using) == here(sleeper)
        told = tmp_path / "told"
        with running(sys.executable, str(PROGRAMS / "frames.python"), str(told), threads=7) as pid:
            assert comes_true(told.exists)
            until(lambda: here(pid) == here(pid), "its threads do not come to rest")
            for _ in range(3):
                # A process that is asked for by both may run for a moment between.
                assert comes_true(lambda: parsed(pid, using) == here(pid))
            assert any(thread.python for thread in parsed(pid, using).threads)
        with running(compiled("threads.cpp", tmp_path, "-O2"), "17", threads=103) as pid:
            until(lambda: here(pid) == here(pid), "its threads do not come to rest")
            assert comes_true(lambda: parsed(pid, using) == here(pid))


def test_a_parser_has_no_rights_and_no_files(sleeper: int) -> None:
    with parsers() as (using, server):
        assert parsed(sleeper, using).threads[0].complete
        (parser,) = children(server)
        for pid in (server, parser):
            said = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            )
            assert {said[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
            assert said["NoNewPrivs"] == "1"
            if os.getuid() == 0:
                assert "0" not in said["Uid"].split() + said["Gid"].split()
                assert not said["Groups"].strip()
        assert said["Seccomp"] == "2"
        files = [os.readlink(one) for one in Path(f"/proc/{parser}/fd").iterdir()]
        assert len(files) == 1
        assert files[0].startswith("socket:")


def _executable_memory() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)


FORBIDDEN: dict[str, Callable[[], object]] = {
    "open": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "socket": lambda: socket.socket(socket.AF_UNIX),
    "connect": lambda: ctypes.CDLL(None).connect(0, None, 0),
    "fork": os.fork,
    "kill": lambda: os.kill(os.getppid(), signal.SIGCONT),
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "ptrace": lambda: ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0),
    "write": lambda: os.write(0, b""),
    "stat": lambda: os.stat("/"),
    "prctl": lambda: ctypes.CDLL(None).prctl(38, 1, 0, 0, 0),
    "code": _executable_memory,
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_parser_that_calls_something_else_ends(sleeper: int, name: str) -> None:
    # A call that were carried out or refused, and not the end, would have the job done after it.
    def act(_: HereParser, __: Job) -> None:
        with suppress(Exception):
            FORBIDDEN[name]()

    with parsers(act) as (using, server):
        (thread,) = parsed(sleeper, using).threads
        assert (thread.complete, thread.reason) == (False, ENDED)
        assert [frame.pc for frame in thread.user or ()] == [
            (here(sleeper).threads[0].user or [])[0].pc
        ]
        assert thread.syscall
        assert thread.syscall == here(sleeper).threads[0].syscall
        assert comes_true(lambda: children(server) == [])


def test_the_forbidden_calls_are_known_to_work_elsewhere(sleeper: int) -> None:
    def act(_: HereParser, __: Job) -> None:
        os.getpid()

    with parsers(act) as (using, _):
        # getpid(2) is not among the calls that are needed.
        assert parsed(sleeper, using).threads[0].reason == ENDED
    with parsers(lambda *_: time.monotonic()) as (using, _):
        assert parsed(sleeper, using) == here(sleeper)


def test_a_killed_parser_is_replaced(sleeper: int) -> None:
    with parsers() as (using, server):
        assert parsed(sleeper, using).threads[0].complete
        for pid in children(server):
            os.kill(pid, signal.SIGKILL)
        assert parsed(sleeper, using).threads[0].reason == ENDED
        assert parsed(sleeper, using) == here(sleeper)


def test_a_slow_parser_is_given_up_and_ended(sleeper: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(_: HereParser, __: Job) -> None:
        while True:
            pass

    monkeypatch.setattr("procmirror.stack.threads.SECONDS", 0.3)
    with parsers(act) as (using, server):
        start = time.monotonic()
        assert parsed(sleeper, using).threads[0].reason == TIMED_OUT
        assert time.monotonic() - start < 60
        assert comes_true(lambda: children(server) == [])


def test_a_parser_that_asks_for_ever_is_given_up(
    sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(parser: HereParser, _: Job) -> None:
        while True:
            parser.process.memory(0, 8)

    monkeypatch.setattr("procmirror.stack.threads.SECONDS", 0.3)
    monkeypatch.setattr(remote_target.RemoteTarget, "memory", _ask_for_memory)
    with parsers(act) as (using, _):
        assert parsed(sleeper, using).threads[0].reason == TIMED_OUT


def _ask_for_memory(self: remote_target.RemoteTarget, _: int, __: int) -> bytes:
    self._first(PerfMap())
    return b""


def test_without_a_server_there_is_a_reason(sleeper: int) -> None:
    spawn_requests, spawner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    spawner.close()
    with spawn_requests, spawner:
        assert parsed(sleeper, Parsers(spawn_requests)).threads[0].reason == NONE


def test_what_is_no_message_is_the_end(sleeper: int) -> None:
    def act(parser: HereParser, _: Job) -> None:
        target = parser.process.target
        assert isinstance(target, remote_target.RemoteTarget)
        target._channel._socket.sendmsg([b"\0\xc1 nonsense"])

    with parsers(act) as (using, _):
        assert parsed(sleeper, using).threads[0].reason == ENDED


def asked_for(questions: list[Question]) -> list[Question]:
    """Which of these are answered beforehand the next time."""
    spawn_requests, spawner = socket.socketpair()
    with spawn_requests, spawner:
        known = Parsers(spawn_requests)
        known.usual(1, 2)
        for question in questions:
            known.note(1, 2, question)
        return list(known.usual(1, 2))


def test_a_message_tells_as_many_files_as_it_carries_and_memory_besides() -> None:
    """A question costs two changes between processes, each time anew."""
    files: list[Question] = [Mapped(start) for start in range(40)]
    memory: list[Question] = [Memory(start, 4096) for start in range(80)]
    told = asked_for([*files, *memory, *memory])
    assert told == [*files[:21], *memory[:64]]
    assert asked_for([Memory(at, 1 << 16) for at in range(9)]) == [
        Memory(at, 1 << 16) for at in range(4)
    ]


def test_questions_about_no_memory_are_not_without_number() -> None:
    """A parser that a file has taken over asks what it likes; each is answered the next time."""
    for size in (0, -(1 << 16)):
        asked: list[Question] = [Memory(at, size) for at in range(2000)]
        assert asked_for([*asked, *(Memory(at, 1 << 16) for at in range(9))]) == asked[:256]


def test_no_two_requesters_and_no_two_owners_share_a_parser(sleeper: int) -> None:
    with parsers() as (using, server):
        parsed(sleeper, using, "me")
        parsed(sleeper, using, "me")
        assert len(children(server)) == 1
        parsed(sleeper, using, "another")
        assert len(children(server)) == 2
        job = Job(1, b"7 7 7 7", Where(0, (), 4096, 4096), [], 0, 1.0, python=False, last=True)
        RemoteParser(using, "me", Process(LiveTarget(f"/proc/{sleeper}"))).user_side(job)
        assert len(children(server)) == 3
        # Each worker has a few.
        for number in range(5):
            parsed(sleeper, using, str(number))
        assert comes_true(lambda: len(children(server)) == parser_client.MOST_PARSERS)


def test_no_file_stays_open_in_a_parser(sleeper: int) -> None:
    with parsers() as (using, server):
        for _ in range(3):
            parsed(sleeper, using)
            (parser,) = children(server)
            assert len(os.listdir(f"/proc/{parser}/fd")) == 1


def test_questions_are_answered_about_this_process_alone(sleeper: int, tmp_path: Path) -> None:
    process = Process(LiveTarget(f"/proc/{sleeper}"))
    answers = Answers(process)
    mapping = process.maps.holding(next(iter(process.maps._starts)))
    assert mapping
    (tmp_path / "secret").write_bytes(b"secret")
    path = bytes(tmp_path / "lib.so")
    for question in (
        Mapped(0),
        Mapped(1 << 63),
        DebugFile("../../../etc/shadow"),
        DebugFile(""),
        DebugFile("aa/b"),
        DebugLinks(path, b"secret"),
        DebugLinks(mapping.path, b"../../../../etc/shadow"),
        DebugLinks(mapping.path, b".."),
        DebugLinks(mapping.path, b"a\0b"),
        PerfMap(),
    ):
        answer, files = answers.to(question)
        assert (answer.content, answer.files, files) == (b"", [], []), question
    assert answers.to(Memory(1 << 65, 8))[0].errno
    assert answers.to(Memory(0, 8))[0].errno
    assert len(answers.to(Memory(mapping.start, 1 << 40))[0].content) <= 1 << 16


class Spoiled(LiveTarget):
    """A process whose files are others, with some bytes changed."""

    chance = random.Random(0)
    folder = Path()

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        found = super().mapped(start, end, path, device, inode)
        assert found
        content = bytearray(found.pread(1 << 22, 0))
        for _ in range(self.chance.choice([1, 5, 50, 500])):
            place = self.chance.choice([64, 1024, len(content)])
            content[self.chance.randrange(place)] = self.chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        if self.chance.random() < 0.3:
            del content[self.chance.randrange(len(content)) :]
        made = self.folder / str(self.chance.random())
        made.write_bytes(content)
        descriptor = os.open(made, os.O_PATH)
        made.unlink()
        try:
            self._files.append(OpenFile(self._own, descriptor))
        finally:
            os.close(descriptor)
        return self._files[-1]


def test_whatever_the_files_contain_there_is_an_answer(sleeper: int, tmp_path: Path) -> None:
    Spoiled.folder = tmp_path
    innermost = (here(sleeper).threads[0].user or [])[0].pc
    with parsers() as (using, server):
        for _ in range(60):
            target = Spoiled(f"/proc/{sleeper}")
            target.parser = using.of("me")
            (thread,) = stacks(target, Machine()).threads
            target.close()
            assert (thread.user or [])[0].pc == innermost
            assert thread.complete == (thread.reason is None)
            assert thread.reason != TIMED_OUT
        assert len(children(server)) <= 1


def test_a_parser_ends_with_its_worker(sleeper: int) -> None:
    with parsers() as (using, server):
        parsed(sleeper, using)
        assert children(server)
        using.close()
        assert comes_true(lambda: children(server) == [])


def test_a_parser_ends_with_its_server(sleeper: int) -> None:
    with parsers() as (using, server):
        parsed(sleeper, using)
        (parser,) = children(server)
        os.kill(server, signal.SIGKILL)
        # The first process of a container may never wait for it.
        assert comes_true(lambda: ended(parser))


def test_the_filter_is_told_by_the_kernel_to_be_one() -> None:
    # Whether it is installed at all is seen from outside: a process that is asked for nothing.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from procmirror.identity import seccomp\nimport os\nseccomp.only_compute()\nos.getpid()",
        ],
        check=False,
    )
    assert done.returncode == -signal.SIGSYS
