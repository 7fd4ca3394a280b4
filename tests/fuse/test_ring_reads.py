"""What a ring reads for the daemon, as whom, and who reads it otherwise."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procmirror.fuse import ring_reads
from procmirror.fuse.execution import Execution
from procmirror.fuse.ring_reads import RingReads, is_soon_read
from procmirror.identity import file_calls
from procmirror.identity.errors import error
from procmirror.identity.identity import Identity
from procmirror.identity.ring import PLACE_BYTES, Cause, Late, NotSoon
from procmirror.procfs import proc
from procmirror.procfs.contents import ONE_PIECE
from procmirror.procfs.file_reading import ByRing
from procmirror.procfs.processes import Process
from procmirror.workers.entry_operations import ReadObjectLink
from procmirror.workers.file_operations import Open, Read
from procmirror.workers.placement import Placement
from tests.fuse.test_placement import ROOT as EQUAL
from tests.fuse.test_placement import Scene, node, placement, process

ROOT = Identity(0, 0, (), 7)
USERS = [Identity(uid, uid, (), 0) for uid in range(1000, 1200)]


class FakeRing:
    """A ring that answers from `contents` by path, and knows who acts when something is registered."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes | BaseException] = {}
        self.acting: Identity | None = None
        self.personalities: dict[int, Identity | None] = {}
        self.forgotten: list[int] = []
        self.opened: dict[int, bytes] = {}
        self.calls: list[tuple[bytes, int, Cause]] = []
        self.full = False
        self.closed = False
        self.refuses: BaseException | None = None
        self.closed_objects: list[tuple[int, int]] = []
        self.unclosed: set[int] = set()

    def has_unclosed(self, account: int) -> bool:
        return account in self.unclosed

    def close_object(self, descriptor: int, account: int) -> None:
        self.closed_objects.append((descriptor, account))

    def personality(self) -> int:
        number = len(self.personalities) + 1
        # Outside of such a scope it is the daemon itself.
        self.personalities[number] = self.acting or ROOT
        return number

    def forget(self, personality: int) -> None:
        self.forgotten.append(personality)

    def may_wait(self, _: Cause) -> bool:
        return not self.full

    def nothing(self, _: int) -> None:
        if self.refuses:
            raise self.refuses

    def close(self) -> None:
        self.closed = True

    def open(
        self,
        _: int,
        path: bytes,
        flags: int,
        personality: int,
        cause: Cause,
        *,
        waits: bool = True,
    ) -> int:
        if path.endswith(b"/ns/user"):
            assert waits and self.personalities[personality] == ROOT
            self.calls.append((path, personality, cause))
            content = self.contents[path]
            if isinstance(content, BaseException):
                raise content
            return os.open(content, flags)
        assert flags & proc.READ == proc.READ
        assert waits is (path.rpartition(b"/")[2] in {b"environ", b"current"})
        self.calls.append((path, personality, cause))
        descriptor = os.open("/dev/null", os.O_RDONLY)
        self.opened[descriptor] = path
        return descriptor

    def read(
        self, descriptor: int, size: int, offset: int, personality: int, cause: Cause
    ) -> bytes:
        path = self.opened[descriptor]
        self.calls.append((path, personality, cause))
        content = self.contents[path]
        if isinstance(content, BaseException):
            raise content
        return content[offset : offset + size]


@pytest.fixture
def ring() -> FakeRing:
    return FakeRing()


@pytest.fixture
def reads(ring: FakeRing) -> RingReads:
    @contextmanager
    def acting_as(identity: Identity, _: int) -> Iterator[None]:
        ring.acting = identity
        yield
        ring.acting = None

    credentials: Any = SimpleNamespace(rest=ROOT, permitted=7, acting_as=acting_as)
    made = RingReads.of(ring, credentials, context := SimpleNamespace())  # type: ignore[arg-type]
    assert made and not hasattr(context, "files")
    return made


def execution(identity: Identity = USERS[0], lock: str = "memory") -> Execution:
    return Execution(identity, None, Placement(1, identity, identity.uid, {}), lock)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("place", "name", "soon"),
    [
        ("PID", b"stat", True),
        ("PID", b"stat.json", True),
        ("PID", b"cmdline.txt", True),
        ("PID", b"environ", True),
        ("PID", b"io", True),
        ("PID", b"io.txt", False),
        ("PID", b"wchan", True),
        ("PID", b"status", True),
        ("PID", b"status.json", True),
        ("PID", b"statm", True),
        ("PID", b"coredump_filter.txt", True),
        ("PID", b"limits", False),
        ("PID", b"mem", False),
        ("PID", b"smaps", False),
        ("PID", b"stack.txt", False),
        ("PID/task/TID", b"stat", True),
        ("PID/attr", b"current", True),
        ("PID/attr", b"exec", False),
        ("PID/ns", b"net", False),
        ("PID/fdinfo", b"0", False),
    ],
)
def test_what_is_soon_read(place: str, name: bytes, *, soon: bool) -> None:
    assert is_soon_read(node(place, name, process())) is soon
    assert not is_soon_read(node(place, name))


def test_of_what_the_ring_reads_the_daemon_reads_no_further_piece() -> None:
    assert ring_reads._FILES <= ONE_PIECE


@pytest.mark.parametrize(
    ("about", "where", "written", "by_ring"),
    [
        (process(), placement(), False, True),
        (process(), placement(ROOT), False, True),
        (process(own=True), placement(), False, False),
        (process(own=True), placement(ROOT), False, False),
        (process(own=True), placement(EQUAL), False, False),
        (process(), placement(), True, False),
        (process(), placement(label=b"docker"), False, False),
        (process(), placement(time="time:[5]"), False, False),
        (process(b"42"), placement(), False, False),
    ],
    ids=[
        "user",
        "root",
        "itself",
        "itself-root",
        "itself-equal",
        "written",
        "label",
        "namespace",
        "owner",
    ],
)
def test_the_ring_reads_what_the_daemon_may_read_but_for_the_wait(
    about: Process, where: Placement, *, written: bool, by_ring: bool
) -> None:
    """The threads of a ring share the memory of the daemon, about which the kernel asks nothing."""
    scene = Scene()
    scene.owned = {b"42"}
    requester: Any = SimpleNamespace(identity=where.identity, tid=7, foreign=False)
    for name in (b"stat", b"environ", b"status", b"status.json"):
        found = scene.dispatch.execution_of_content(
            node("PID", name, about), requester, where, written=written
        )
        assert (found.here, found.by_ring) == (False, by_ring)


def test_it_reads_as_the_requester_for_its_account_and_lock(
    ring: FakeRing, reads: RingReads
) -> None:
    ring.contents[b"1/environ"] = b"A=b\0"
    for user in (USERS[3], USERS[4], USERS[3], ROOT):
        opened = reads.run(Open(b"1/environ", readahead=100), (9,), execution(user))
        assert opened.readahead == (b"A=b\0", True, 0)
        os.close(opened.number)
    assert [ring.personalities[number] for _, number, _ in ring.calls[::2]] == [
        USERS[3],
        USERS[4],
        USERS[3],
        ROOT,
    ]
    assert ring.calls[0] == ring.calls[1]
    assert ring.calls[0][2] == Cause("memory", USERS[3].uid)
    # Two of users, the daemon's own from the start.
    assert len(ring.personalities) == 3


def test_a_few_identities_are_kept(ring: FakeRing, reads: RingReads) -> None:
    ring.contents[b"1/stat"] = b"1"
    for user in USERS:
        os.close(reads.run(Open(b"1/stat", readahead=1), (9,), execution(user)).number)
    kept = set(ring.personalities) - set(ring.forgotten) - {reads._own}
    assert len(kept) == ring_reads._MOST_PERSONALITIES
    # The ones that were used last.
    assert min(kept) == max(ring.personalities) - len(kept) + 1


def test_the_personality_of_the_daemon_is_never_made_while_it_acts_as_another(
    ring: FakeRing, reads: RingReads
) -> None:
    """After many users, too: it would be that of whoever the daemon acts as."""
    ring.contents[b"1/stat"] = b"1"
    for user in USERS:
        os.close(reads.run(Open(b"1/stat", readahead=1), (9,), execution(user)).number)
    directory = os.open("/proc/self", os.O_PATH)
    ring.contents[b"stat"] = b"1 (a) S " + b"7 " * 30
    ring.acting = USERS[5]
    assert reads.start_of(directory) == b"7"
    os.close(directory)
    assert ring.personalities[ring.calls[-1][1]] == ROOT
    assert reads._own not in ring.forgotten


def test_one_process_that_hangs_leaves_the_others_their_start(
    ring: FakeRing, reads: RingReads
) -> None:
    ring.contents[b"stat"] = b"1 (a) S " + b"7 " * 30
    for path in ("/proc/self", "/proc/1"):
        directory = os.open(path, os.O_PATH)
        assert reads.start_of(directory) == b"7"
        os.close(directory)
    assert len({cause.lock for _, _, cause in ring.calls}) == 2


def test_credentials_that_the_kernel_has_no_room_for_say_nothing_of_the_file(
    ring: FakeRing, reads: RingReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise error(errno.ENOMEM)

    monkeypatch.setattr(ring, "personality", refused)
    with pytest.raises(NotSoon):
        reads.run(Open(b"1/stat"), (9,), execution())
    assert not ring.forgotten


def test_what_is_open_is_read_by_workers(ring: FakeRing, reads: RingReads) -> None:
    """A read that waits in the kernel holds the open file, and a worker would wait for that."""
    with pytest.raises(NotSoon):
        reads.run(Read(0, 10), (9,), execution())
    assert not ring.calls


def test_the_same_identity_with_a_right_to_itself_is_another(
    ring: FakeRing, reads: RingReads
) -> None:
    ring.contents[b"1/environ"] = b""
    plain = execution()
    for one in (plain, plain.with_self_capabilities(4)):
        os.close(reads.run(Open(b"1/environ", readahead=1), (9,), one).number)
    assert len({number for _, number, _ in ring.calls}) == 2


@pytest.mark.parametrize("late", [NotSoon(), b"x" * PLACE_BYTES])
def test_what_does_not_come_soon_or_is_long_leaves_nothing_open(
    ring: FakeRing, reads: RingReads, late: bytes | BaseException
) -> None:
    ring.contents[b"1/cmdline"] = late
    with pytest.raises(NotSoon):
        reads.run(Open(b"1/cmdline", readahead=PLACE_BYTES + 1), (9,), execution())
    assert not any(map(is_open, ring.opened))
    by = ByRing(ring, 1, Cause(None, 0))  # type: ignore[arg-type]
    with pytest.raises(NotSoon):
        by.content(9, b"1/cmdline", lambda: None)
    assert not any(map(is_open, ring.opened))


def test_a_refusal_of_the_first_read_is_told_with_the_open(
    ring: FakeRing, reads: RingReads
) -> None:
    ring.contents[b"1/attr/current"] = error(errno.EINVAL)
    opened = reads.run(Open(b"1/attr/current", readahead=100), (9,), execution())
    assert opened.readahead == (b"", False, errno.EINVAL)
    os.close(opened.number)


def test_nothing_is_asked_of_a_ring_in_which_too_much_waits(
    ring: FakeRing, reads: RingReads
) -> None:
    ring.full = True
    with pytest.raises(NotSoon):
        reads.run(Open(b"1/stat"), (9,), execution())
    assert not ring.calls


def test_a_refusal_is_that_of_the_kernel(
    ring: FakeRing, reads: RingReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> int:
        raise error(errno.EACCES)

    monkeypatch.setattr(ring, "open", refused)
    with pytest.raises(PermissionError):
        reads.run(Open(b"1/environ"), (9,), execution())


def test_an_object_is_opened_and_its_text_is_that_of_the_descriptor(
    ring: FakeRing, reads: RingReads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A ring reads no links; what it opens says where it leads."""

    def opened(_: int, path: bytes, flags: int, *__: object) -> int:
        assert flags == os.O_PATH | os.O_CLOEXEC
        ring.calls.append((path, 0, Cause(None, 0)))
        return os.open(tmp_path, flags)

    monkeypatch.setattr(ring, "open", opened)
    own = os.open("/proc", os.O_PATH)
    reads._context.own = own  # type: ignore[misc]
    for text_first in (False, True):
        found = reads.run(ReadObjectLink(b"1/cwd", text_first), (9,), execution())
        assert found.text == bytes(tmp_path) and found.is_directory
    os.close(own)


@pytest.mark.parametrize("held", [True, False])
def test_what_may_be_the_last_of_a_mount_the_ring_closes_for_the_account(
    ring: FakeRing,
    reads: RingReads,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    held: bool,
) -> None:
    asked: list[int] = []

    def is_held(mount: int) -> bool:
        asked.append(mount)
        return held

    reads.is_held = is_held
    reading, writing = os.pipe()
    objects = [os.open(tmp_path, os.O_PATH), os.dup(writing)]
    monkeypatch.setattr(ring, "open", lambda *_, **__: objects[0])
    own = os.open("/proc", os.O_PATH)
    reads._context.own = own  # type: ignore[misc]
    found = reads.run(ReadObjectLink(b"1/cwd"), (9,), execution(USERS[3]))
    assert found.object and asked == [found.object[0]]
    assert ring.closed_objects == ([] if held else [(objects[0], USERS[3].uid)])
    assert is_open(objects[0]) is not held
    # A pipe is on a mount of the kernel's own.
    monkeypatch.setattr(ring, "open", lambda *_, **__: objects[1])
    reads.run(ReadObjectLink(b"1/fd/7"), (9,), execution(USERS[3]))
    assert not is_open(objects[1]) and len(asked) == 1
    for descriptor in (own, reading, writing, *([] if held else objects[:1])):
        os.close(descriptor)


def test_whose_objects_cannot_be_closed_has_none_opened(ring: FakeRing, reads: RingReads) -> None:
    """They would fill the daemon's table of descriptors."""
    ring.unclosed = {USERS[3].uid}
    before = len(ring.calls)
    with pytest.raises(NotSoon):
        reads.run(ReadObjectLink(b"1/cwd"), (9,), execution(USERS[3]))
    assert reads.has_unclosed(USERS[3].uid) and not reads.has_unclosed(USERS[4].uid)
    assert len(ring.calls) == before
    # Of files that are no objects nothing is left open.
    ring.contents[b"1/environ"] = b"A=b\0"
    os.close(reads.run(Open(b"1/environ", readahead=100), (9,), execution(USERS[3])).number)


def test_an_object_of_which_nothing_is_known_the_ring_closes(
    ring: FakeRing, reads: RingReads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reads.is_held = lambda _: True
    opened = os.open(tmp_path, os.O_PATH)
    monkeypatch.setattr(ring, "open", lambda *_, **__: opened)
    # There is no process of this number below a folder.
    reads._context.own = opened  # type: ignore[misc]
    with pytest.raises(FileNotFoundError):
        reads.run(ReadObjectLink(b"1/cwd"), (9,), execution(USERS[3]))
    assert ring.closed_objects == [(opened, USERS[3].uid)]
    os.close(opened)


@pytest.mark.parametrize("refusal", [PermissionError(errno.EPERM, ""), NotSoon()])
def test_where_a_security_module_forbids_identities_there_is_none(
    ring: FakeRing, refusal: BaseException
) -> None:
    ring.refuses = refusal
    credentials: Any = SimpleNamespace(
        rest=ROOT, permitted=7, acting_as=lambda *_: contextmanager(lambda: iter([None]))()
    )
    assert RingReads.of(ring, credentials, SimpleNamespace()) is None  # type: ignore[arg-type]
    assert ring.closed
    assert RingReads.of(None, credentials, SimpleNamespace()) is None  # type: ignore[arg-type]


def test_the_start_of_a_process_is_read_by_the_ring_or_not_told(
    ring: FakeRing, reads: RingReads
) -> None:
    """The kernel may wait for the exec lock of the process, and the daemon asks as itself."""
    line = b"7 (a) b) S " + b" ".join(b"%d" % number for number in range(4, 50))
    for content, start in ((line, b"22"), (NotSoon(), None)):
        ring.contents[b"stat"] = content
        assert reads.start_of(9) == start
    assert {ring.personalities[number] for _, number, _ in ring.calls} == {ROOT}
    ring.full = True
    ring.contents[b"stat"] = line
    assert reads.start_of(9) is None


def test_the_stat_that_tells_kernel_threads_is_not_asked_for_on_a_busy_machine(
    ring: FakeRing, reads: RingReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    line = b"7 (a) b) S " + b" ".join(b"%d" % number for number in range(4, 50))
    ring.contents[b"stat"] = line
    assert reads.stat_of(9) == line
    ring.contents[b"stat"] = Late()
    assert reads.stat_of(9) is None
    ring.contents[b"stat"] = line
    before = len(ring.calls)
    assert reads.stat_of(9) is None and len(ring.calls) == before
    # When a process started tells whether it still is the same, busy or not.
    assert reads.start_of(9) == b"22"
    now[0] += 1
    assert reads.stat_of(9) == line
    ring.full = True
    assert reads.stat_of(9) is None
    ring.full = False
    ring.contents[b"stat"] = error(errno.ESRCH)
    with pytest.raises(ProcessLookupError):
        reads.stat_of(9)
    assert {ring.personalities[number] for _, number, _ in ring.calls} == {ROOT}


def test_a_ring_that_is_late_is_left_alone_for_longer_and_longer(
    ring: FakeRing, reads: RingReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def asked() -> bool:
        before = len(ring.calls)
        with contextlib.suppress(NotSoon):
            os.close(reads.run(Open(b"1/stat", readahead=1), (9,), execution()).number)
        return len(ring.calls) > before

    ring.contents[b"1/stat"] = Late()
    assert asked() and not asked()
    now[0] += 0.06
    assert asked()
    now[0] += 0.06
    assert not asked()
    for _ in range(10):
        now[0] += 2.1
        assert asked()
    now[0] += 2.1
    ring.contents[b"1/stat"] = b"1"
    assert asked() and asked()
    ring.contents[b"1/stat"] = Late()
    assert asked() and not asked()
    now[0] += 0.06
    assert asked()


def test_the_owner_of_a_user_namespace_is_told_or_that_it_is_not_soon(
    reads: RingReads, ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    roots: Any = SimpleNamespace(root=-1, user_namespace=1)
    before = len(os.listdir("/proc/self/fd"))
    own = Path("/proc/self/ns/user")
    ring.contents |= {b"40/ns/user": os.fsencode(own), b"41/ns/user": Late()}
    ring.contents[b"42/ns/user"] = error(errno.ENOENT)
    with own.open("rb") as namespace:
        owner = file_calls.owner_of_namespace(namespace.fileno())
    assert reads.outermost_of(roots, b"40", 1000) == (own.stat().st_ino, owner)
    assert ring.calls[-1][2].account == 1000
    with pytest.raises(FileNotFoundError):
        reads.outermost_of(roots, b"42", 1000)
    assert reads.outermost_of(roots, b"41", 1000) is None
    # After a late answer the ring is not asked for a moment.
    assert reads.outermost_of(roots, b"40", 1000) is None
    now[0] += 1
    ring.full = True
    assert reads.outermost_of(roots, b"40", 1000) is None
    assert len(os.listdir("/proc/self/fd")) == before
