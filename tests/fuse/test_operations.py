"""The operations of FUSE called as pyfuse3 calls them, on this machine's /proc, without a mount.

The requester is this process; a worker is an object that does what the test wants.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyfuse3
import pytest
import trio

from procmirror.decoding.view import DecodeError
from procmirror.fuse import boundary, walking
from procmirror.fuse.handles import Handles
from procmirror.fuse.nodes import ROOT, Node
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.operations import ProcMirror
from procmirror.fuse.own_files import README_NUMBER
from procmirror.fuse.private_proc import PrivateProc
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import StillRunning, Unanswered
from procmirror.identity.identity import Identity
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
    told = mirror.nodes.listed.numbers(folder.number)[b"current"]
    node = mirror.walked(f"{target}/attr/current")
    assert (node.number, node.lookups) == (told, 1)
    mirror.forget(node)
    assert mirror.nodes.listed.numbers(folder.number)[b"current"] != told, (
        "no number means two nodes"
    )


@pytest.mark.parametrize(("path", "acts"), [("fdinfo", False), ("task", True)])
def test_a_listing_acts_as_its_opener_where_names_are_looked_up(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch, path: str, acts: bool
) -> None:
    """The kernel keeps the names of directories, and learns their attributes."""
    acting: list[Identity] = []

    def acting_as(identity: Identity) -> AbstractContextManager[None]:
        acting.append(identity)
        return nullcontext()

    credentials: Any = SimpleNamespace(rest=None, permitted=0)
    monkeypatch.setattr(mirror.operations, "_credentials", credentials)
    monkeypatch.setattr(mirror.operations._dispatch, "acting_as", acting_as)
    told = mirror.listed(f"{target}/{path}", 9, monkeypatch)
    assert bool(acting) == bool(told) == acts


def test_at_the_end_of_a_listing_nothing_is_looked_at(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    def reply(*entry: object) -> bool:
        told.append(entry)
        return True

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    handle = mirror.ask("opendir", mirror.walked(f"{target}/ns").number)
    token: Any = None

    async def read(start: int) -> int:
        await mirror.operations.readdir(handle, start, token)
        return len(told)

    every = trio.run(read, 0)
    assert every == 2 + len(os.listdir(f"/proc/{target}/ns"))
    monkeypatch.setattr(mirror.operations, "_reader", None)
    assert trio.run(read, every) == every
    trio.run(mirror.operations.releasedir, handle)


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


def test_attributes_under_a_kept_name_are_looked_for_anew_once(gone: Ended) -> None:
    """As after a listing of the root, where no descriptor of the process is held."""
    gone.mirror.operations._proc.release(gone.process, keep=True)
    asked = [gone.mirror.ask("getattr", gone.node.number, thread=thread) for thread in (7, 7, 8)]
    assert asked == [-errno.ESTALE, -errno.ENOENT, -errno.ESTALE]


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
    node = mirror.walked(f"{target}/limits")
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
    monkeypatch.setattr(private, "_has_source", lambda _: False)
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
    private, told = mirror.operations._private, [NOTHING]
    asked = in_another_namespace(private, lambda: told[0], monkeypatch)
    monkeypatch.setattr("procmirror.fuse.private_proc._OPEN_SECONDS", 60)
    requester: Any = SimpleNamespace(tid=target)

    def hiding_of() -> Hiding:
        return trio.run(private.hiding_of, requester)

    told[0] = Hiding("invisible")
    assert [hiding_of().processes for _ in range(2)] == ["invisible"] * 2
    assert len(asked) == 2
    told[0] = NOTHING
    assert [hiding_of() for _ in range(3)] == [NOTHING] * 3
    assert len(asked) == 3 and not private.concerns(target)


def in_another_namespace(
    private: PrivateProc, hiding: Callable[[], Hiding], monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """Requesters have a mount namespace and a /proc of their own; returns whose are looked at."""
    asked = list[Any]()

    async def mounts_along(requester: Any, _: bytes) -> Any:
        asked.append(requester)
        return ()

    monkeypatch.setattr(private._requesters.namespaces, "shares", lambda _tid, _kind: False)
    monkeypatch.setattr(private, "_has_source", lambda _: False)
    monkeypatch.setattr(private._dispatch, "mounts_along", mounts_along)
    monkeypatch.setattr("procmirror.fuse.private_proc.hiding", lambda _: hiding())
    return asked


def test_a_root_that_cannot_be_shown_is_not_paid_for(
    mirror: Mirror, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who is refused it again and again would have no more files at last."""
    private, quota = mirror.operations._private, mirror.operations._directories._quota

    def hiding() -> Hiding:
        if len(asked) > 1:
            raise Unanswered(errno.EACCES, "the mounts are too many by now")
        return Hiding("noaccess")

    # Else a worker lists the root of a machine with thousands of processes.
    monkeypatch.setattr("procmirror.fuse.directories._MANY", 1 << 30)
    asked = in_another_namespace(private, hiding, monkeypatch)
    assert mirror.ask("opendir", ROOT, thread=target) == -errno.EACCES
    assert len(asked) == 2
    assert not quota._held


@pytest.mark.parametrize("held", [1, 3])
def test_an_account_has_a_number_of_open_files_also_of_the_mirrors_own(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """They need no descriptor, but memory, and a RELEASE each."""
    quota = mirror.operations._directories._quota
    monkeypatch.setattr(quota, "_descriptors", held)
    opened = [mirror.ask("open", README_NUMBER, os.O_RDONLY) for _ in range(held)]
    assert mirror.ask("open", README_NUMBER, os.O_RDONLY) == -errno.ENFILE
    for one in opened:
        trio.run(mirror.operations.release, one.fh)
    assert not quota._held
    assert mirror.ask("open", README_NUMBER, os.O_RDONLY).fh > 0


def test_a_directory_is_held_as_long_as_it_is_open_once() -> None:
    handles = Handles()
    node, other = (Node(number, None, b"", None, b"", None, None) for number in (20, 21))
    listings = [OpenDirectory(node, Identity(0, 0, (), 0), 0, lambda *_: None) for _ in range(2)]
    first, second = map(handles.add, listings)
    assert handles.holds_open(node) and not handles.holds_open(other)
    handles.take(first)
    assert handles.holds_open(node)
    handles.take(second)
    assert not handles.holds_open(node) and not handles
