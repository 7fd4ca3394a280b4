"""The operations of FUSE called as pyfuse3 calls them, on this machine's /proc, without a mount.

The requester is this process; a worker is an object that does what the test wants.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyfuse3
import pytest
import trio

from procmirror.decoding.view import DecodeError
from procmirror.fuse import boundary, walking
from procmirror.fuse.nodes import ROOT, Node
from procmirror.fuse.operations import ProcMirror
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import StillRunning, Unanswered
from procmirror.identity.requester import Requester, Requesters, RequestKind
from procmirror.procfs.own_proc import NOTHING, Hiding
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from tests.harness import until


class Workers:
    """Raises what it is told to, for whatever is to be done."""

    raised: Exception = Unanswered(errno.ETIMEDOUT, "the worker does not answer")

    async def call(self, *_: Any) -> Any:
        """Do nothing."""
        raise self.raised


class Mirror:
    """A mirror that is not mounted.

    Its requesters wait for an answer when they were looked at `looks` times; `kinds` are those of
    the requests. `bare` are the names without nodes that were listed.
    """

    def __init__(self, own: int) -> None:
        credentials, self.workers = Credentials(), Workers()
        requesters = Requesters(own, credentials)
        me = Requester(
            os.getpid(), os.getpid(), credentials.rest, requesters.namespaces.user, foreign=False
        )
        self.looks = 0
        self.kinds: list[object] = []
        self.bare: list[bytes] = []

        def identify(*of: Any, **_: Any) -> Requester:
            self.kinds.append(of[3] if len(of) > 3 else RequestKind.OTHER)
            if self.looks:
                self.looks -= 1
                raise StillRunning
            return me

        requesters.identify = identify  # type: ignore[method-assign]
        workers: Any = self.workers
        self.operations = ProcMirror(
            Proc(own, own), credentials, requesters, workers, ProcRoots(own, own)
        )
        self.nodes = self.operations._nodes

    def ask(self, operation: str, *arguments: Any, thread: int = 7) -> Any:
        """The answer of an operation to a thread, or the errno as a negative number."""
        context = SimpleNamespace(pid=thread, uid=os.getuid(), gid=os.getgid())

        async def asked() -> Any:
            return await getattr(self.operations, operation)(*arguments, context)

        try:
            return trio.run(asked)
        except pyfuse3.FUSEError as refused:
            return -refused.errno

    def walked(self, path: str) -> Node:
        """The node of a path, each name looked up once."""
        number = ROOT
        for name in path.encode().split(b"/"):
            answer = self.ask("lookup", number, name)
            assert isinstance(answer, pyfuse3.EntryAttributes), (name, answer)
            number = answer.st_ino
        return self.nodes[number]

    def forget(self, node: Node, count: int = 1) -> None:
        """What the kernel sends when it drops a name."""
        trio.run(self.operations.forget, [(node.number, count)])

    def listed(self, path: str, room: int, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """The names with nodes that fit where there is room for so many, without the dots."""
        names: list[bytes] = []

        def reply(_: object, name: bytes, attributes: pyfuse3.EntryAttributes, __: int) -> bool:
            if not attributes.st_ino:
                self.bare.append(name)
                return True
            if len(names) == room:
                return False
            names.append(name)
            return True

        monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
        token: Any = None
        handle = self.ask("opendir", self.walked(path).number)

        async def read() -> None:
            await self.operations.readdir(handle, 2, token)
            await self.operations.releasedir(handle)

        trio.run(read)
        return names


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    own = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield Mirror(own)
    os.close(own)


@pytest.fixture
def target() -> Iterator[int]:
    """A process, still there or ended by the test, that is no zombie afterwards."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        # A parent goes on a moment before the child has its new name (exec_mmap, fs/exec.c).
        until(lambda: Path(f"/proc/{process.pid}/comm").read_bytes() == b"sleep\n")
        yield process.pid
        with suppress(ProcessLookupError):
            os.kill(process.pid, 9)


def ended(pid: int) -> None:
    """End a child and take it back, so that its number is nobody's."""
    os.kill(pid, 9)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def waiting(mirror: Mirror, target: int) -> Node:
    """A directory in which a lookup is done by a worker: it may wait for the memory of a process."""
    return mirror.walked(f"{target}/map_files")


def test_a_lookup_that_nobody_answers_takes_no_name_away(mirror: Mirror, target: int) -> None:
    """For any errno but ENOMEM the kernel drops the name, and what is mounted below (fs/namei.c)."""
    node = waiting(mirror, target)
    assert mirror.ask("lookup", node.number, b"1000-2000") == -errno.ENOMEM
    mirror.workers.raised = Unanswered(errno.EBUSY, "too many wait")
    assert mirror.ask("lookup", node.number, b"1000-2000") == -errno.ENOMEM


def test_what_the_kernel_refuses_is_told_by_its_errno(mirror: Mirror, target: int) -> None:
    node = waiting(mirror, target)
    for code in (errno.ENOENT, errno.EACCES, errno.EPERM):
        mirror.workers.raised = OSError(code, os.strerror(code))
        assert mirror.ask("lookup", node.number, b"1000-2000") == -code


def test_another_operation_that_nobody_answers_says_why(mirror: Mirror, target: int) -> None:
    node = mirror.walked(f"{target}/environ")
    assert mirror.ask("open", node.number, os.O_RDONLY) == -errno.ETIMEDOUT


@pytest.mark.parametrize(
    "mistake", [ValueError("ours"), KeyError("ours"), DecodeError("PID/fd", "unknown")]
)
def test_a_mistake_is_an_input_output_error_and_ends_nothing(
    mirror: Mirror, target: int, mistake: Exception
) -> None:
    """Any exception but FUSEError would end the mount."""
    node = mirror.walked(f"{target}/environ")
    mirror.workers.raised = mistake
    assert mirror.ask("open", node.number, os.O_RDONLY) == -errno.EIO
    assert mirror.ask("getattr", ROOT).st_ino == ROOT


def test_the_same_name_has_the_same_number_until_it_is_forgotten(
    mirror: Mirror, target: int
) -> None:
    first, again = mirror.walked(f"{target}/status"), mirror.walked(f"{target}/status")
    assert first is again
    assert first.lookups == 2
    mirror.forget(first)
    assert mirror.walked(f"{target}/status") is first
    mirror.forget(first, 2)
    assert mirror.walked(f"{target}/status") is not first


def test_a_number_that_is_used_again_is_another_node(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mirror.walked(str(target))
    assert first.process
    # A later process of the same number has a directory with another inode.
    monkeypatch.setattr(first.process, "inode", first.process.inode + 1)
    assert mirror.walked(str(target)) is not first


def test_a_file_is_no_directory(mirror: Mirror, target: int) -> None:
    node = mirror.walked(f"{target}/status")
    assert mirror.ask("lookup", node.number, b"x") == -errno.ENOTDIR


def test_an_entry_that_does_not_fit_is_not_kept(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel never heard of it, and will not forget it."""
    mirror.walked(str(target))
    before = len(mirror.nodes)
    assert len(mirror.listed(str(target), 3, monkeypatch)) == 3
    assert len(mirror.nodes) == before + 3


def test_an_entry_that_does_not_fit_is_kept_where_the_kernel_knows_it(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fourth = mirror.listed(str(target), 4, monkeypatch)[3]
    known = mirror.walked(f"{target}/{os.fsdecode(fourth)}")
    mirror.listed(str(target), 3, monkeypatch)
    assert mirror.nodes[known.number] is known
    assert known.lookups == 2


def test_a_listed_entry_is_a_lookup(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READDIRPLUS: the kernel takes each back by FORGET."""
    names = mirror.listed(str(target), 3, monkeypatch)
    folder = mirror.walked(str(target))
    assert [folder.children[name].lookups for name in names] == [1, 1, 1]
    before = len(mirror.nodes)
    for name in names:
        mirror.forget(folder.children[name])
    assert len(mirror.nodes) == before - 3


def test_a_listed_file_is_no_lookup_and_keeps_the_number_that_was_told(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel would ask for it again before it tells its attributes to anybody."""
    folder = mirror.walked(f"{target}/attr")
    before = len(mirror.nodes)
    assert mirror.listed(f"{target}/attr", 1, monkeypatch) == []
    assert b"current" in mirror.bare
    assert len(mirror.nodes) == before
    told = mirror.nodes.number_listed(folder, b"current")
    node = mirror.walked(f"{target}/attr/current")
    assert (node.number, node.lookups) == (told, 1)
    assert mirror.nodes.number_listed(folder, b"current") == told
    mirror.forget(node)
    assert mirror.nodes.number_listed(folder, b"current") != told, "no number means two nodes"


class Ended:
    """The directory of a process that has just ended, whose name the kernel may have kept."""

    def __init__(self, mirror: Mirror, pid: int) -> None:
        self.mirror = mirror
        self.node = mirror.walked(str(pid))
        assert self.node.process
        self.process = self.node.process
        self.process.named = time.monotonic() + 60
        ended(pid)

    def lookup(self, name: bytes, thread: int) -> int:
        """The errno of a lookup in it."""
        answer = self.mirror.ask("lookup", self.node.number, name, thread=thread)
        assert isinstance(answer, int)
        return -answer


@pytest.fixture
def gone(mirror: Mirror, target: int) -> Ended:
    return Ended(mirror, target)


def test_a_kept_name_of_an_ended_process_is_walked_again_once(gone: Ended) -> None:
    """ESTALE makes the kernel ask for the number again, who may be another's by now."""
    first, second = gone.lookup(b"status", 7), gone.lookup(b"status", 7)
    assert first == errno.ESTALE
    assert second in {errno.ENOENT, errno.ESRCH}
    assert gone.lookup(b"status", 8) == errno.ESTALE


def test_a_thread_that_fuse_does_not_name_is_not_sent_around(gone: Ended) -> None:
    """Of another pid namespace: nobody could tell whether it was told before."""
    assert gone.lookup(b"status", 0) in {errno.ENOENT, errno.ESRCH}


def test_a_name_that_was_not_kept_is_simply_not_there(gone: Ended) -> None:
    gone.process.named = time.monotonic() - 60
    assert gone.lookup(b"status", 7) in {errno.ENOENT, errno.ESRCH}


def test_a_known_name_is_told_plainly_and_dropped(mirror: Mirror, target: int) -> None:
    """Of a name that it knows the kernel asks whether it is still good, and then walks anew."""
    mirror.walked(f"{target}/status")
    gone = Ended(mirror, target)
    assert gone.lookup(b"status", 7) in {errno.ENOENT, errno.ESRCH}
    assert b"status" not in gone.node.children
    assert gone.lookup(b"status", 7) == errno.ESTALE


def test_a_name_that_a_living_process_lacks_is_not_there(mirror: Mirror, target: int) -> None:
    node = mirror.walked(str(target))
    assert node.process
    node.process.named = time.monotonic() + 60
    assert mirror.ask("lookup", node.number, b"absent") == -errno.ENOENT


def test_complaints_are_rate_limited(mirror: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can cause them."""
    walking.log.propagate = True
    for _ in range(50):
        mirror.operations.complain("not answered: %s", "x")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("operation", ["unlink", "rmdir"])
def test_nothing_is_removed_from_a_mirror_that_is_read_only(
    mirror: Mirror, target: int, operation: str
) -> None:
    node = mirror.walked(str(target))
    assert mirror.ask(operation, node.number, b"status") == -errno.EROFS


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC])
def test_nothing_is_opened_for_writing_there(mirror: Mirror, target: int, flags: int) -> None:
    node = mirror.walked(f"{target}/comm")
    assert mirror.ask("open", node.number, flags) == -errno.EROFS


def test_a_prompt_file_is_read_without_a_worker(mirror: Mirror, target: int) -> None:
    """No lock that a process can hold delays it."""
    opened = mirror.ask("open", mirror.walked(f"{target}/comm").number, os.O_RDONLY)
    read: Callable[..., Any] = mirror.operations.read

    async def content() -> bytes:
        found: bytes = await read(opened.fh, 0, 100)
        await mirror.operations.release(opened.fh)
        return found

    assert trio.run(content) == b"sleep\n"


def test_a_requester_that_does_not_wait_yet_is_looked_at_again(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others run before it, or it runs on another processor."""
    node = mirror.walked(f"{target}/fd")
    mirror.looks = 5
    handle = mirror.ask("opendir", node.number)
    assert handle > 0
    trio.run(mirror.operations.releasedir, handle)
    mirror.looks = 1_000_000
    monkeypatch.setattr(boundary, "_PAUSES", (0.001,) * 5)
    assert mirror.ask("opendir", node.number) == -errno.EACCES


def test_what_a_ring_may_have_opened_is_told(mirror: Mirror, target: int) -> None:
    """A ring opens at once only with O_NONBLOCK (io_openat2), and not by access(2)."""
    node = mirror.walked(f"{target}/status")
    at_once, once = RequestKind.OPEN_AT_ONCE, RequestKind.OPEN
    for flags, kind in ((0, once), (os.O_NONBLOCK, at_once), (os.O_NOFOLLOW, once)):
        mirror.kinds.clear()
        opened = mirror.ask("open", node.number, os.O_RDONLY | flags)
        assert mirror.kinds == [kind]
        trio.run(mirror.operations.release, opened.fh)
    mirror.kinds.clear()
    mirror.ask("opendir", mirror.walked(f"{target}").number)
    assert mirror.kinds == [at_once]


def test_whether_a_requester_has_a_private_proc_is_asked_once_in_a_moment(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, asked = mirror.operations._private, list[int]()
    shared = [True]

    def shares(tid: int, _: object) -> bool:
        asked.append(tid)
        return shared[0]

    monkeypatch.setattr(private._requesters.namespaces, "shares", shares)
    monkeypatch.setattr("procmirror.fuse.private_proc._OPEN_SECONDS", 0.05)
    assert [private.concerns(target) for _ in range(3)] == [False] * 3
    assert asked == [target]
    shared[0] = False
    time.sleep(0.06)
    assert [private.concerns(target) for _ in range(3)] == [True] * 3
    assert asked == [target] * 4


def test_a_thread_whose_proc_hides_nothing_is_asked_once_in_a_moment(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, told, asked = mirror.operations._private, [NOTHING], list[bytes]()
    namespaces = private._requesters.namespaces
    monkeypatch.setattr(namespaces, "shares", lambda _tid, _kind: False)
    monkeypatch.setattr("procmirror.fuse.private_proc._OPEN_SECONDS", 60)

    def hiding(mountinfo: bytes) -> Hiding:
        asked.append(mountinfo)
        return told[0]

    monkeypatch.setattr("procmirror.fuse.private_proc.hiding", hiding)
    told[0] = Hiding("invisible")
    assert [private.of(target).processes for _ in range(2)] == ["invisible"] * 2
    assert len(asked) == 2
    told[0] = NOTHING
    assert [private.of(target) for _ in range(3)] == [NOTHING] * 3
    assert len(asked) == 3 and not private.concerns(target)
