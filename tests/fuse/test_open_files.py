"""Open files without a mount: snapshots, rewinding, readahead, and what they charge."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from procmirror.fuse.execution import Execution
from procmirror.fuse.open_files import REWIND_SECONDS, Opener, RawFile, Readahead, ViewFile
from procmirror.fuse.quota import Charge, Quota
from procmirror.fuse.snapshots import Snapshot, SnapshotInMemory, SnapshotSpooled, snapshot_of
from procmirror.identity.identity import Identity
from procmirror.mirror.traits import directory
from procmirror.workers.file_operations import Read
from procmirror.workers.opened import Opened
from procmirror.workers.operation import Descriptors, Viewer
from procmirror.workers.placement import IN_DAEMON
from procmirror.workers.spool import Spool
from procmirror.workers.stream import Stream

T = TypeVar("T")
NOBODY = Identity(65534, 65534, (), 0)
WHOLE_SNAPSHOT = 64 << 20


def done(made: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        made.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def quota() -> Quota:
    return Quota()


@pytest.fixture
def charge(quota: Quota) -> Charge:
    quota.charge(7, 1, 0)
    return Charge(quota, 7, 1)


def opener() -> Opener:
    node: Any = SimpleNamespace(
        process=None,
        place=directory(""),
        sibling=object(),
        is_view_of_all=False,
        is_joined_view=False,
    )
    return Opener(node, Execution(NOBODY, None, IN_DAEMON), Viewer())


def waiting() -> AbstractContextManager[None]:
    return nullcontext()


def spooled(content: bytes) -> Spool:
    spool = Spool(len(content))
    spool.add([content])
    return spool


class Makes:
    """Makes another content each time, and counts."""

    def __init__(self, *contents: bytes | Callable[[], Snapshot]) -> None:
        self.contents = iter(contents)
        self.made = 0

    async def __call__(self) -> Snapshot:
        self.made += 1
        content = next(self.contents)
        return SnapshotInMemory(content) if isinstance(content, bytes) else content()


def view(charge: Charge, make: Makes) -> ViewFile:
    file = ViewFile(opener(), charge, make)
    file.show(done(make()))
    return file


def test_a_snapshot_is_read_in_slices_and_charged(charge: Charge, quota: Quota) -> None:
    file = view(charge, Makes(b"0123456789"))
    assert (done(file.read(0, 4)), done(file.read(4, 100)), done(file.read(10, 5))) == (
        b"0123",
        b"456789",
        b"",
    )
    assert quota.space(7) == WHOLE_SNAPSHOT - 10
    file.close()
    charge.refund()
    assert quota.space(7) == WHOLE_SNAPSHOT


@pytest.mark.parametrize(
    ("source", "flag", "renews"),
    [
        (b"status", "", True),
        (b"environ", "", False),
        (b"maps", "", False),
        (b"io", "", False),
        (b"", "is_joined_view", False),
        (b"", "is_view_of_all", False),
    ],
)
def test_whoever_gets_an_open_view_does_not_follow_the_process(
    charge: Charge, clock: SimpleNamespace, source: bytes, flag: str, *, renews: bool
) -> None:
    """With the rights of the opener it would be told of a program that the process runs by now."""
    given = opener()
    node: Any = given.node
    node.process, node.source = object(), source
    if flag:
        setattr(node, flag, True)
    make = Makes(b"one", b"two")
    file = ViewFile(given, charge, make)
    file.show(done(make()))
    assert done(file.read(0, 9)) == b"one"
    clock.seconds += 10
    assert done(file.read(0, 9)) == (b"two" if renews else b"one")


def test_reading_from_the_start_makes_a_small_content_anew_once_a_second(
    charge: Charge, clock: SimpleNamespace
) -> None:
    make = Makes(b"one", b"two, longer", b"3")
    file = view(charge, make)
    clock.seconds += 2 * REWIND_SECONDS
    assert done(file.read(0, 10)) == b"one"  # the first READ, however late
    assert done(file.read(0, 10)) == b"two, longer"[:10]
    clock.seconds += REWIND_SECONDS / 2
    assert done(file.read(0, 10)) == b"two, longer"[:10]
    clock.seconds += REWIND_SECONDS
    assert done(file.read(5, 3)) == b"lon"  # not from the start
    assert done(file.read(0, 10)) == b"3"
    assert (make.made, charge.size) == (3, 1)


def test_a_content_that_cannot_be_made_anew_leaves_the_one_before(
    charge: Charge, clock: SimpleNamespace
) -> None:
    def too_large() -> Snapshot:
        return SnapshotInMemory(bytes(WHOLE_SNAPSHOT + 1))

    file = view(charge, Makes(b"one", too_large))
    done(file.read(0, 3))
    clock.seconds += 2 * REWIND_SECONDS
    with pytest.raises(OSError, match=os.strerror(errno.ENFILE)):
        done(file.read(0, 3))
    assert (done(file.read(1, 2)), charge.size) == (b"ne", 3)


def test_only_one_reader_makes_the_content_anew(charge: Charge, clock: SimpleNamespace) -> None:
    """The second reader from the start gets what there is, while the first still waits."""
    file = view(charge, Makes(b"one"))
    done(file.read(0, 3))
    clock.seconds += 2 * REWIND_SECONDS

    class Later:
        def __await__(self) -> Iterator[None]:
            yield

    async def slow() -> Snapshot:
        await Later()  # type: ignore[misc]
        return SnapshotInMemory(b"two")

    file._make = slow
    first = file.read(0, 3)
    first.send(None)
    assert done(file.read(0, 3)) == b"one"
    assert done(first) == b"two"


def test_a_large_content_is_not_made_anew(charge: Charge, clock: SimpleNamespace) -> None:
    spool = spooled(b"large")
    file = view(charge, Makes(lambda: snapshot_of(spool, waiting)))
    done(file.read(0, 5))
    clock.seconds += 5 * REWIND_SECONDS
    assert done(file.read(0, 5)) == b"large"
    file.close()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(spool.number)


def test_a_stream_is_charged_while_it_grows_and_ended_with_its_file(
    charge: Charge, quota: Quota
) -> None:
    spool = spooled(b"first second")
    stream = Stream(spool.number, 5)
    file = view(charge, Makes(lambda: snapshot_of(stream, waiting)))
    assert (charge.size, done(file.read(0, 5))) == (5, b"first")
    stream.grow(12)
    assert quota.space(7) == WHOLE_SNAPSHOT - 12
    assert done(file.read(6, 6)) == b"second"
    with pytest.raises(OSError, match=os.strerror(errno.ENFILE)):
        stream.grow(WHOLE_SNAPSHOT + 1)
    assert charge.size == 12
    file.close()
    assert stream.scope.cancel_called
    stream.grow(WHOLE_SNAPSHOT + 1)  # nobody pays any more


def test_the_end_of_a_stream_that_failed_is_an_error(charge: Charge) -> None:
    spool = spooled(b"first")
    stream = Stream(spool.number, 5)
    snapshot = SnapshotSpooled(spool.number, 5, stream, waiting)
    stream.end(failed=True)
    assert done(snapshot.read(0, 5)) == b"first"
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        done(snapshot.read(5, 5))
    snapshot.close()
    del charge


def test_a_small_content_stays_in_memory() -> None:
    snapshot = snapshot_of(b"small", waiting)
    assert isinstance(snapshot, SnapshotInMemory)
    assert done(snapshot.read(0, 100)) == b"small"


def test_readahead_serves_a_reader_that_begins_at_once_with_all_of_it(
    clock: SimpleNamespace,
) -> None:
    ahead = Readahead(b"abcdef", complete=False)
    assert (ahead.slice(0, 4), ahead.slice(4, 4)) == (b"abcd", b"ef")
    assert ahead.slice(6, 4) is None  # the rest comes from the kernel
    clock.seconds += 1
    assert ahead.slice(2, 2) == b"cd"
    assert ahead.slice(0, 4) is None  # too late for another beginning


def test_readahead_of_a_whole_file_knows_its_end(clock: SimpleNamespace) -> None:
    ahead = Readahead(b"abc", complete=True)
    assert (ahead.slice(0, 9), ahead.slice(3, 9), ahead.slice(4, 9)) == (b"abc", b"", None)
    late = Readahead(b"abc", complete=True)
    clock.seconds += 1
    assert late.slice(0, 9) is None


def test_readahead_is_not_for_a_reader_in_the_middle() -> None:
    assert Readahead(b"abcdef", complete=False).slice(2, 2) is None


def test_a_refusal_to_read_is_for_a_reader_that_begins_at_once(clock: SimpleNamespace) -> None:
    ahead = Readahead(b"", complete=False, refused=errno.EINVAL)
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        ahead.slice(0, 10)
    assert ahead.slice(5, 10) is None
    clock.seconds += 1
    assert ahead.slice(0, 10) is None


def test_a_setting_is_for_a_reader_of_all_of_it(clock: SimpleNamespace) -> None:
    """Of the rest of a number the kernel gives nothing."""
    ahead = Readahead(b"60\n", complete=True, at_once=True)
    assert (ahead.slice(0, 3), ahead.slice(1, 9), ahead.slice(3, 9)) == (b"60\n", None, b"")
    assert (ahead.slice(0, 2), ahead.slice(3, 9)) == (None, None)
    del clock


class Dispatch:
    """Answers each READ with its offset."""

    def __init__(self) -> None:
        self.asked: list[tuple[Read, Sequence[int], Execution]] = []

    async def run(self, operation: Read, at: Descriptors, execution: Execution) -> bytes:
        self.asked.append((operation, at(), execution))
        return b"%d" % operation.offset


def test_what_is_read_ahead_is_charged_as_long_as_it_is_kept(
    charge: Charge, clock: SimpleNamespace
) -> None:
    dispatch: Any = Dispatch()
    null = os.open("/dev/null", os.O_RDONLY)
    ahead = Opened(null, (b"x" * 1000, False, 0))
    file = RawFile(opener(), charge, ahead, dispatch)
    assert charge.size == 1000
    assert len(done(file.read(0, 2000))) == charge.size == 1000
    assert done(file.read(1000, 9)) == b"1000"
    assert charge.size == 0
    file.close()
    del clock


def test_an_account_that_holds_much_gets_nothing_read_ahead(
    charge: Charge, clock: SimpleNamespace
) -> None:
    dispatch: Any = Dispatch()
    charge.resize(32 << 20)
    null = os.open("/dev/null", os.O_RDONLY)
    file = RawFile(opener(), charge, Opened(null, (b"x", False, 0)), dispatch)
    assert charge.size == 32 << 20
    assert done(file.read(0, 9)) == b"0"
    file.close()
    del clock


def test_what_was_not_read_ahead_is_read_as_the_opener(
    charge: Charge, clock: SimpleNamespace
) -> None:
    dispatch: Any = Dispatch()
    descriptor, who = os.open("/dev/null", os.O_RDONLY), opener()
    file = RawFile(who, charge, Opened(descriptor, (b"abc", False, 0)), dispatch)
    assert (done(file.read(0, 9)), dispatch.asked) == (b"abc", [])
    assert done(file.read(3, 9)) == b"3"
    assert done(file.read(0, 9)) == b"0"  # never again from what was read ahead
    assert dispatch.asked[0] == (Read(3, 9), (descriptor,), who.execution)
    file.close()
    del clock
