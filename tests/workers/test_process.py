"""A worker answers a request in its own process, and never one that is about itself."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from procmirror.decoding.view import Machine, View
from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import Identity
from procmirror.procfs import contents, read_note
from procmirror.procfs.read_note import ReadNote
from procmirror.procfs.roots import ProcRoots
from procmirror.workers import late_modules, sender
from procmirror.workers.directory_operations import ListEntries, OpenDir, ReadNames
from procmirror.workers.entry_operations import GetAttributes
from procmirror.workers.file_operations import Open, Read
from procmirror.workers.operation import Viewer
from procmirror.workers.process import Worker
from procmirror.workers.protocol import (
    DONE,
    LONG,
    PARTIAL,
    TARGET_IS_SELF,
    Reply,
    Request,
    decode_reply,
)
from procmirror.workers.result import Result
from procmirror.workers.spool import Spool
from procmirror.workers.view_operations import CheckLink, DecodeFile, MakeTable, MakeView
from tests.harness import until


class Near(NamedTuple):
    """A worker that answers in this thread, and the daemon's end of its socket."""

    worker: Worker
    channel: socket.socket
    root: int

    def answer(self, request: Request) -> tuple[Reply, list[int]]:
        """Have a request answered."""
        self.worker._answer(request, [self.root])
        message, descriptors, _, _ = socket.recv_fds(self.channel, 1 << 19, 4)
        return decode_reply(message), list(descriptors)


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> Iterator[Near]:
    monkeypatch.setattr("procmirror.identity.own_process.die_with_parent", lambda: None)
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    daemon, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    daemon.settimeout(10)
    with daemon, own:
        yield Near(
            Worker(own, ProcRoots(root, root), Credentials(), None, ReadNote(read_note.new())),
            daemon,
            root,
        )
    os.close(root)


def request(
    operation: GetAttributes | OpenDir | Open | Read | MakeView | DecodeFile, target: bytes = b""
) -> Request:
    return Request(operation, Credentials().rest, target=target)


@pytest.mark.root
def test_the_weight_is_that_of_a_request_for_as_long_as_it_is_carried_out(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle worker is woken for whoever comes next, and with its own weight."""

    def own_nice(*_: object) -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    monkeypatch.setattr(GetAttributes, "run", own_nice)
    usual = own_nice()
    reply, _ = near.answer(msgspec.structs.replace(request(GetAttributes(b"1")), nice=5))
    assert (reply.result, own_nice()) == (min(usual + 5, 19), usual)


def test_the_operation_runs_and_its_result_is_the_answer(near: Near) -> None:
    operation = GetAttributes(b"1")
    reply, _ = near.answer(request(operation, b"1"))
    assert reply.code == DONE
    assert operation.received(Result(reply.result)).inode == os.stat("/proc/1").st_ino


@pytest.mark.parametrize(("there", "listed"), [(0, True), (errno.ENOENT, False)])
def test_a_worker_lists_itself_if_another_finds_it(near: Near, there: int, *, listed: bool) -> None:
    """Where `hidepid=` hides processes, each sees itself all the same."""
    own = b"%d" % os.getpid()
    asked: list[Any] = []

    def ask(questions: Any) -> list[int]:
        asked.extend(questions)
        return [there]

    near.worker._peer = near.worker._peer._replace(ask=ask)
    near.worker._current.request = Request(GetAttributes(), Identity(1000, 1000, (), 0))
    names = [name for name, _ in ListEntries(b"", "", hides=True).run([near.root], near.worker)]
    assert (own in names, asked) == (listed, [("there", own)])
    names = [name for name, _ in ListEntries(b"", "").run([near.root], near.worker)]
    assert own in names and len(asked) == 1


@pytest.mark.parametrize(("name", "reads"), [("environ", 1), ("limits", 1), ("uid_map", 2)])
def test_what_the_kernel_makes_in_one_piece_is_read_once(
    near: Near, monkeypatch: pytest.MonkeyPatch, name: str, reads: int
) -> None:
    asked: list[int] = []

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        asked.append(size)
        return as_usual(descriptor, size, offset)

    as_usual = os.pread
    monkeypatch.setattr(os, "pread", counted)
    path = f"{os.getpid()}/{name}"
    opened = Open(path.encode(), os.O_RDONLY, 1 << 16).run([near.root], near.worker)
    os.close(opened.number)
    assert opened.readahead == (Path("/proc", path).read_bytes(), True, 0)
    assert len(asked) == reads


def test_a_file_that_says_the_same_again_is_read_again_but_not_decoded(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    as_usual = View.decoded

    def counted(view: View, raw: bytes, machine: Machine) -> Any:
        decoded.append(raw)
        return as_usual(view, raw, machine)

    monkeypatch.setattr(View, "decoded", counted)
    operation = DecodeFile(b"1/comm", "PID/comm", "json", Viewer(), 1 << 20)
    first, _ = near.answer(request(operation, b"1"))
    second, _ = near.answer(request(operation, b"1"))
    assert first == second and first.code == DONE
    assert decoded == [Path("/proc/1/comm").read_bytes()]
    monkeypatch.setattr(contents, "content", lambda *_: b"another\n")
    third, _ = near.answer(request(operation, b"1"))
    assert b"another" in third.result


def test_what_the_kernel_refuses_is_an_errno(near: Near) -> None:
    reply, _ = near.answer(request(GetAttributes(b"no such"), b"1"))
    assert reply.code == errno.ENOENT


def test_an_open_file_comes_with_what_was_read_ahead(near: Near) -> None:
    reply, (descriptor,) = near.answer(request(Open(b"version", readahead=1 << 16)))
    with open(descriptor, "rb", buffering=0) as file:
        assert reply.result == [file.read(1 << 16), True, 0]


def test_an_open_file_comes_with_the_refusal_to_read_it(near: Near) -> None:
    """At 0 no process has memory."""
    reply, (descriptor,) = near.answer(request(Open(b"self/mem", readahead=100)))
    assert reply.result == [b"", False, errno.EIO]
    os.close(descriptor)


def test_an_open_directory_comes_with_its_names(near: Near) -> None:
    operation = OpenDir(b"sys", "sys", 2000)
    reply, descriptors = near.answer(request(operation))
    opened = operation.received(Result(reply.result, descriptors[0]))
    with os.scandir(opened.number) as entries:
        names = {name for name, _ in opened.readahead or ()}
        assert {os.fsencode(entry.name) for entry in entries} <= names
    os.close(opened.number)


@pytest.mark.parametrize(("most", "expected"), [(3, [b"a", b"b", b"c"]), (2, None)])
def test_of_many_names_none_are_read(
    tmp_path: Path, most: int, expected: list[bytes] | None
) -> None:
    for name in "abc":
        (tmp_path / name).touch()
    context: Any = None
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    found = ReadNames("bus", most).run((directory,), context)
    os.close(directory)
    assert (None if found is None else sorted(name for name, _ in found)) == expected


def test_about_itself_another_has_to_answer(near: Near) -> None:
    own = b"%d" % os.getpid()
    assert near.answer(request(GetAttributes(own), own))[0].code == TARGET_IS_SELF


def test_about_one_of_its_threads_another_has_to_answer(near: Near) -> None:
    free, tids = threading.Event(), []
    begun = threading.Event()

    def wait() -> None:
        tids.append(threading.get_native_id())
        begun.set()
        free.wait(20)

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait(10)
    number = b"%d" % tids[0]
    try:
        assert near.answer(request(GetAttributes(number), number))[0].code == TARGET_IS_SELF
        assert near.answer(request(GetAttributes(b"1"), b"1"))[0].code == DONE
    finally:
        free.set()
        thread.join()


def test_a_result_too_long_for_a_message_is_spooled(near: Near) -> None:
    near.worker._deliver([b"x" * (1 << 19)])
    message, descriptors, _, _ = socket.recv_fds(near.channel, 1 << 19, 4)
    reply = decode_reply(message)
    assert reply.code == LONG
    with open(descriptors[0], "rb") as spool:
        spool.seek(0)
        content = spool.read()
    assert len(content) == reply.result
    assert decode_reply(content).result == [b"x" * (1 << 19)]


def test_a_result_beyond_all_measure_is_refused_and_the_worker_retires(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_ANSWER_BYTES", 1 << 20)
    near.worker._deliver([b"x" * (1 << 20)])
    assert decode_reply(near.channel.recv(1000)) == Reply(errno.ENFILE, None, retire=True)


@pytest.mark.parametrize("self_capabilities", [0, 1 << 19])
def test_what_is_made_with_self_capabilities_is_passed_on_only_whole(
    near: Near, self_capabilities: int
) -> None:
    near.worker._current.begin(
        Request(MakeView(b"", "x", "txt", Viewer(), 100), Credentials().rest, self_capabilities),
        whole=False,
    )
    spool = Spool(100)
    spool.add([b"some"])
    near.worker.grown(spool)
    near.channel.setblocking(not near.channel.gettimeout())
    try:
        message, descriptors, _, _ = socket.recv_fds(near.channel, 1000, 1)
    except BlockingIOError:
        assert self_capabilities
    else:
        assert not self_capabilities
        assert decode_reply(message) == Reply(PARTIAL, 4)
        os.close(descriptors[0])
    os.close(spool.number)


def test_a_worker_in_which_a_thread_still_hangs_retires(near: Near) -> None:
    assert not near.answer(request(GetAttributes(b"1"), b"1"))[0].retire
    near.worker._abandon(1)
    assert near.answer(request(GetAttributes(b"1"), b"1"))[0].retire
    assert near.answer(request(GetAttributes(b"no such"), b"1"))[0].retire


def test_a_view_for_which_memory_is_short_is_refused_and_the_worker_retires(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(GetAttributes, "run", run)
    assert near.answer(request(GetAttributes(b"1"))) == (Reply(errno.ENOMEM, None, retire=True), [])


@pytest.mark.parametrize(
    ("operation", "uid", "expected"),
    [
        (Open(b"1/uid_map", os.O_WRONLY), 1000, True),
        (Open(b"1/uid_map"), 1000, False),
        (Open(b"1/uid_map", os.O_WRONLY), 0, False),
        (MakeTable("by-name", Viewer()), 1000, True),
        (CheckLink(b"by-name/nc/1", "by-name", Viewer()), 1000, True),
        (MakeView(b"", "processes", "ndjson", Viewer(), 1), 1000, True),
        (MakeView(b"", "meminfo", "json", Viewer(), 1), 1000, False),
        (ListEntries(b"", "", hides=True), 1000, True),
        (ListEntries(b"", ""), 1000, False),
    ],
)
def test_what_depends_on_the_effective_id_is_done_with_it_and_the_worker_retires(
    near: Near, operation: Open, uid: int, monkeypatch: pytest.MonkeyPatch, *, expected: bool
) -> None:
    near.worker._credentials.privileged = True
    monkeypatch.setattr(near.worker._roots, "any_may_be_owned", lambda: True)
    asked = Request(operation, Identity(uid, uid, (), 0))
    assert near.worker._depends_on_euid(asked) is expected
    near.worker._credentials.privileged = False
    assert not near.worker._depends_on_euid(asked)


@pytest.mark.root
def test_the_owner_of_a_user_namespace_has_rights_in_it_by_the_effective_id(near: Near) -> None:
    child = subprocess.Popen(
        ["unshare", "--user", "sleep", "100"], user=1000, group=1000, extra_groups=[]
    )
    target = b"%d" % child.pid
    own = os.readlink("/proc/self/ns/user")
    try:
        until(lambda: os.readlink(f"/proc/{child.pid}/ns/user") != own)
        owned = near.worker._roots.is_owned
        assert owned(target, 1000) and not owned(target, 1001)
        assert not owned(b"1", 0) and not owned(b"99999999", 1000)
        assert near.worker._roots.any_may_be_owned()
        every = MakeTable("by-name", Viewer())
        user = Identity(1000, 1000, (), 0)
        assert near.worker._depends_on_euid(Request(every, user))
        asked = Request(GetAttributes(b"stat"), user, target=target)
        assert near.worker._depends_on_euid(asked)
        assert near.answer(asked)[0].retire
    finally:
        child.kill()
        child.wait()


@pytest.mark.root
def test_the_question_about_the_effective_id_has_the_weight_of_the_request(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at every process."""
    usual, seen = os.getpriority(os.PRIO_PROCESS, 0), list[int]()

    def may_be_owned() -> bool:
        seen.append(os.getpriority(os.PRIO_PROCESS, 0))
        return False

    monkeypatch.setattr(near.worker._roots, "any_may_be_owned", may_be_owned)
    link = CheckLink(b"by-name/nc/1", "by-name", Viewer())
    near.answer(Request(link, Identity(1000, 1000, (), 0), nice=10))
    assert seen == [min(usual + 10, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == usual


def test_of_a_program_that_has_been_replaced_no_view_is_made(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    late_modules.load.cache_clear()
    monkeypatch.setattr(late_modules, "_STARTED", (0, 0))
    reply, _ = near.answer(request(MakeView(b"", "sockets", "json", Viewer(), 1 << 20)))
    assert reply.code == errno.EIO
    assert reply.result.startswith("sockets: mount again")
