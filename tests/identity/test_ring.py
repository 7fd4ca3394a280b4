"""Files that the kernel's threads read for a ring: as whom, what waits, and what the ring refuses."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from procmirror.identity import ring as module
from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import Identity
from procmirror.identity.ring import PLACES, Cause, NotSoon, Ring
from tests.harness import ROOT, until
from tests.programs import running

T = TypeVar("T")
FREE = Cause(None, 0)
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
UID = 40103


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring()
    yield made
    made.close()


@pytest.fixture
def own(ring: Ring) -> int:
    """The personality of this process."""
    return ring.personality()


@pytest.fixture
def root() -> Iterator[int]:
    descriptor = os.open("/proc", os.O_PATH)
    yield descriptor
    os.close(descriptor)


class Fifos:
    """Named pipes that nobody writes to: to open one for reading waits until somebody does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.directory = os.open(folder, os.O_PATH)
        self.count = 0

    def one(self) -> bytes:
        self.count += 1
        os.mkfifo(self._folder / f"{self.count}")
        return b"%d" % self.count

    def end(self) -> bool:
        """Let all go on that are opening one by now; True.

        On a busy machine some begin later: this is to be repeated.
        """
        for name in range(1, self.count + 1):
            os.close(os.open(self._folder / f"{name}", os.O_RDWR | os.O_NONBLOCK))
        return True


@pytest.fixture
def fifos(tmp_path: Path) -> Iterator[Fifos]:
    made = Fifos(tmp_path)
    yield made
    made.end()
    os.close(made.directory)


def soon(ask: Callable[[], T]) -> T:
    """An answer that is asked for again where the machine was too busy to give it soon."""
    for _ in range(100):
        try:
            return ask()
        except NotSoon:
            time.sleep(0.01)
    raise AssertionError("no answer")


def closed_all(ring: Ring) -> bool:
    """Whether nothing waits, and nothing is to be closed when the ring is asked again."""
    return not (ring._waiting or ring._unclosed)


def opened(ring: Ring, directory: int, path: bytes, personality: int, *, waits: bool = True) -> int:
    return soon(lambda: ring.open(directory, path, READ, personality, FREE, waits=waits))


def soon_read(ring: Ring, descriptor: int, size: int, offset: int, personality: int) -> bytes:
    def read() -> bytes:
        ring.settle()
        # A late answer may still have the last place.
        if not ring._free:
            raise NotSoon
        return ring.read(descriptor, size, offset, personality, FREE)

    return soon(read)


@pytest.mark.parametrize("waits", [False, True])
def test_it_reads_what_the_file_says(ring: Ring, own: int, tmp_path: Path, *, waits: bool) -> None:
    content = os.urandom(3 << 14)
    (tmp_path / "file").write_bytes(content)
    directory = os.open(tmp_path, os.O_PATH)
    descriptor = opened(ring, directory, b"file", own, waits=waits)
    assert os.get_inheritable(descriptor) is False
    assert soon_read(ring, descriptor, 1 << 16, 0, own) == content
    assert soon_read(ring, descriptor, 1000, 77, own) == content[77:1077]
    assert soon_read(ring, descriptor, 1000, len(content), own) == b""
    os.close(descriptor)
    os.close(directory)


def test_it_goes_on_beyond_the_numbers_of_its_entries(ring: Ring, own: int) -> None:
    """Ten times as many as there are places."""
    with open("/proc/self/comm", "rb") as file:
        content = file.read()
        for _ in range(10 * PLACES):
            assert soon_read(ring, file.fileno(), 100, 0, own) == content


def refusal(ask: Callable[[], object]) -> int:
    """The errno of a refusal; 0 for none."""
    try:
        soon(ask)
    except OSError as refused:
        return refused.errno or 0
    return 0


def test_it_tells_the_errno_of_the_kernel(ring: Ring, own: int, root: int) -> None:
    assert refusal(lambda: ring.open(root, b"nothing", READ, own, FREE)) == errno.ENOENT
    descriptor = os.open("/proc/self/task", os.O_RDONLY)
    assert refusal(lambda: ring.read(descriptor, 10, 0, own, FREE)) == errno.EISDIR
    os.close(descriptor)


@pytest.mark.root
@pytest.mark.parametrize("waits", [False, True])
def test_opening_is_judged_by_the_registered_identity(
    ring: Ring, own: int, root: int, *, waits: bool
) -> None:
    credentials = Credentials()
    with credentials.acting_as(Identity(UID, UID, (), 0)):
        theirs = ring.personality()
    path = b"%d/environ" % os.getpid()
    with running("sleep", "60") as sleeper, running("sleep", "60", user=UID) as of_user:
        for pid, personality, allowed in (
            (sleeper, own, True),
            (sleeper, theirs, False),
            (of_user, own, True),
            (of_user, theirs, True),
        ):
            path = b"%d/environ" % pid
            try:
                os.close(opened(ring, root, path, personality, waits=waits))
            except PermissionError:
                assert not allowed
            else:
                assert allowed


@pytest.mark.root
def test_reading_is_judged_by_the_registered_identity(ring: Ring, own: int) -> None:
    """The kernel tells the address of the program's code to who may trace it."""
    with Credentials().acting_as(Identity(UID, UID, (), 0)):
        theirs = ring.personality()
    with running("sleep", "60") as sleeper, open(f"/proc/{sleeper}/stat", "rb") as file:
        codes = [
            soon_read(ring, file.fileno(), 4096, 0, personality).split()[25]
            for personality in (own, theirs)
        ]
    assert codes[0] != b"1" and codes[1] == b"1"


@pytest.mark.root
def test_what_is_given_back_is_refused(ring: Ring) -> None:
    number = ring.personality()
    ring.forget(number)
    with open("/proc/self/comm", "rb") as file:
        assert refusal(lambda: ring.read(file.fileno(), 10, 0, number, FREE)) == errno.EINVAL


def test_what_waits_does_not_keep_the_rest(ring: Ring, own: int, fifos: Fifos) -> None:
    held = Cause("held", 1)
    with pytest.raises(NotSoon):
        ring.open(fifos.directory, fifos.one(), os.O_RDONLY, own, held)
    assert not ring.may_wait(held)
    assert not ring.may_wait(Cause("held", 2))
    assert ring.may_wait(Cause("other", 1))
    with open("/proc/self/comm", "rb") as file:
        content = file.read()
        for _ in range(3 * PLACES):
            assert soon_read(ring, file.fileno(), 100, 0, own) == content
    before = len(os.listdir("/proc/self/fd"))
    until(lambda: fifos.end() and ring.may_wait(held), "it still waits")
    # A thread of the kernel closes what was opened at last, and the ring the directory of it.
    until(lambda: len(os.listdir("/proc/self/fd")) == before - 1, "not all is closed")


def test_what_came_late_takes_no_answer_of_another(
    ring: Ring, own: int, fifos: Fifos, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When it is closed, its place is not that of what is waited for just then."""
    late, wanted = fifos.one(), fifos.one()
    with pytest.raises(NotSoon):
        ring.open(fifos.directory, late, os.O_RDONLY, own, Cause("late", 1))
    close_rest, submit = ring._close_rest, ring._submit

    def end(name: bytes) -> bool:
        os.close(os.open(tmp_path / name.decode(), os.O_RDWR | os.O_NONBLOCK))
        return True

    def come() -> int:
        return int(ring._words[ring._come])

    def submitted(*args: Any) -> int:
        # What is late comes after the ring was asked, and before its next answer.
        place, before = submit(*args), come()
        until(lambda: end(late) and come() != before, "the late one does not come")
        return place

    def closing() -> None:
        # The answer comes while what is late is closed.
        before = come()
        until(lambda: end(wanted) and (come() != before or not ring._waiting), "it does not come")
        close_rest()

    assert ring.may_wait(Cause("wanted", 2))
    monkeypatch.setattr(ring, "_submit", submitted)
    monkeypatch.setattr(ring, "_close_rest", closing)
    waits = threading.Timer(0.3, end, (wanted,))
    waits.start()
    monkeypatch.setattr(module, "_SOON_MS", 2000)
    found = ring.open(fifos.directory, wanted, os.O_RDONLY, own, Cause("wanted", 2))
    waits.join()
    assert os.readlink(f"/proc/self/fd/{found}") == str(tmp_path / wanted.decode())
    os.close(found)


def test_an_account_has_two_that_wait_and_all_have_eight_at_most(
    ring: Ring, own: int, fifos: Fifos
) -> None:
    def waits(account: int) -> None:
        cause = Cause(f"{fifos.count}", account)
        assert ring.may_wait(cause)
        with pytest.raises(NotSoon):
            ring.open(fifos.directory, fifos.one(), os.O_RDONLY, own, cause)

    places = len(ring._free)
    assert 3 <= places <= PLACES
    for number in range(places):
        waits(number // 2)
        has_room = number % 2 == 0 and number + 1 < places
        assert ring.may_wait(Cause("new", number // 2)) is has_room
    assert not ring.may_wait(Cause("new", 99))
    until(lambda: fifos.end() and ring.may_wait(Cause("new", 99)), "they still wait")


def test_an_answer_that_comes_late_is_not_taken_for_another(ring: Ring, own: int) -> None:
    read, write = os.pipe()
    cause = Cause("pipe", 1)
    with pytest.raises(NotSoon):
        ring.read(read, 100, -1 & 0xFFFFFFFFFFFFFFFF, own, cause)
    os.write(write, b"late")
    with open("/proc/self/comm", "rb") as file:
        content = file.read()
        assert all(soon_read(ring, file.fileno(), 100, 0, own) == content for _ in range(50))
    assert ring.may_wait(cause)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("operation", [1, 2, 4, 16, 23, 27, 46])
def test_it_refuses_all_other_operations(ring: Ring, own: int, operation: int) -> None:
    """Vectors, writing, sending: EACCES of the restrictions, whatever the arguments."""
    with pytest.raises(PermissionError):
        ring._result(FREE, operation, 0, 0, -1, 0, 0, 0, 0, own)


@pytest.mark.parametrize("register", [0, 2, 4, 13, 15, 17, 19])
def test_it_refuses_all_other_registrations(ring: Ring, register: int) -> None:
    with pytest.raises(PermissionError):
        module._register(ring.descriptor, register, None, 0)


def test_children_have_nothing_of_its_memory(ring: Ring) -> None:
    def mapped() -> tuple[int, bool]:
        """How many parts of rings are in the memory of this process, and whether the bytes are."""
        maps = Path("/proc/self/maps").read_text()
        bounds = [line.split()[0].split("-") for line in maps.splitlines()]
        address = ring._address
        has_bytes = any(int(low, 16) <= address < int(high, 16) for low, high in bounds)
        return maps.count("io_uring"), has_bytes

    parts, has_bytes = mapped()
    assert parts >= 2 and has_bytes
    child = os.fork()
    if child == 0:
        os._exit(mapped() != (0, False))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_machine_on_which_others_run_is_left_to_them_no_second_time(
    ring: Ring, own: int, fifos: Fifos, monkeypatch: pytest.MonkeyPatch
) -> None:
    yields: list[float] = []
    clock = iter(range(10000))
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(1))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock) / 100)
    for number, expected in enumerate((1, 0)):
        with pytest.raises(NotSoon):
            ring.open(fifos.directory, fifos.one(), os.O_RDONLY, own, Cause(f"{number}", number))
        assert len(yields) == expected
        yields.clear()


def test_without_room_in_the_kernel_it_is_not_soon(
    ring: Ring, own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EAGAIN, "")

    with open("/proc/self/comm", "rb") as file:
        content = file.read()
        with monkeypatch.context() as changed:
            changed.setattr(module, "_enter", refused)
            for _ in range(3 * PLACES):
                with pytest.raises(NotSoon):
                    ring.read(file.fileno(), 100, 0, own, FREE)
        assert soon_read(ring, file.fileno(), 100, 0, own) == content


def test_where_it_is_forbidden_there_is_none() -> None:
    script = """
import os
from procmirror.fuse.ring_reads import ring_or_none
from procmirror.identity import seccomp
seccomp.forbid_what_nothing_needs(pipes=False)
before = os.listdir("/proc/self/fd")
assert ring_or_none(lambda _: False) is None
assert os.listdir("/proc/self/fd") == before
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_the_filter_lets_one_ring_through() -> None:
    script = """
import errno, os
from procmirror.identity import ring, seccomp
made = ring.Ring()
other = ring.Ring()
seccomp.forbid_what_nothing_needs(pipes=False, ring=made.descriptor)
own = made.personality()
with open("/proc/self/comm", "rb") as file:
    content = file.read()
    while True:
        try:
            assert made.read(file.fileno(), 100, 0, own, ring.Cause(None, 0)) == content
            break
        except ring.NotSoon:
            continue
    for call in (other.personality, ring.Ring):
        try:
            call()
        except PermissionError:
            continue
        raise AssertionError(call)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_what_begins_late_begins_at_the_directory_that_its_number_was(
    ring: Ring, own: int, fifos: Fifos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel looks for it then, and a number is another's as soon as it is closed.

    For a read that may be a worker's socket, from which it would take an answer. What is opened may
    be a user's object, which this thread does not close itself.
    """
    directories = []
    for name in ("asked for", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        directories.append(os.open(tmp_path / name, os.O_PATH))
    # The kernel has a thread more than the ring has places at most: these keep them all.
    more = range(PLACES, PLACES + 3)
    ring._free += more
    ring._ends += [module._nothing(place) for place in more]
    for _ in range(PLACES + 1):
        with pytest.raises(NotSoon):
            ring.open(fifos.directory, fifos.one(), os.O_RDONLY, own, FREE)
    with pytest.raises(NotSoon):
        ring.open(directories[0], b"file", READ, own, FREE)
    os.dup2(directories[1], directories[0])
    closed: list[str] = []
    has_closed = ring._has_closed

    def noted(descriptor: int, account: int) -> bool:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        done = has_closed(descriptor, account)
        closed.extend([name] if done else [])
        return done

    monkeypatch.setattr(ring, "_has_closed", noted)
    until(lambda: fifos.end() and ring.may_wait(FREE) and closed_all(ring), "it is never open")
    assert [one for one in closed if one.endswith("/file")] == [f"{tmp_path}/asked for/file"]
    for descriptor in directories:
        os.close(descriptor)


def test_what_waits_holds_a_descriptor_until_its_answer(ring: Ring, own: int, fifos: Fifos) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotSoon):
        ring.open(fifos.directory, fifos.one(), os.O_RDONLY, own, FREE)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    until(lambda: fifos.end() and ring.may_wait(FREE) and closed_all(ring), "it is never open")
    assert len(os.listdir("/proc/self/fd")) == before


def is_closed(reading: int) -> bool:
    """Whether the other end of a pipe is closed."""
    try:
        return os.read(reading, 1) == b""
    except BlockingIOError:
        return False


def pipe(things: ExitStack) -> tuple[int, int]:
    """An end that tells of the end of the other, and that."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    things.callback(os.close, reading)
    return reading, writing


def test_the_kernel_closes_an_object_soon(ring: Ring) -> None:
    """As the mount that it is on is busy until then."""
    with ExitStack() as things:
        for _ in range(50):
            reading, writing = pipe(things)
            ring.close_object(writing, 1)
            until(partial(is_closed, reading), "it stays open", 2.0)
    assert ring.may_wait(FREE) and not ring._waiting


def hanging(things: ExitStack, seconds: int) -> int:
    """A socket whose last close(2) takes so long, as nobody reads what is written to it."""
    server = things.enter_context(socket.create_server(("127.0.0.1", 0)))
    made = socket.create_connection(server.getsockname())
    things.enter_context(server.accept()[0])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    made.settimeout(0)
    with suppress(BlockingIOError):
        while made.send(bytes(1 << 16)):
            pass
    made.settimeout(None)
    return made.detach()


def test_what_hangs_at_its_end_keeps_up_its_account_alone(ring: Ring, own: int) -> None:
    with ExitStack() as things:
        started = time.monotonic()
        for _ in range(3):
            ring.close_object(hanging(things, 4), 1)
        reading, writing = pipe(things)
        ring.close_object(writing, 1)
        assert not ring.may_wait(Cause("any", 1)) and ring.may_wait(Cause("any", 2))
        with open("/proc/self/comm", "rb") as file:
            content = file.read()
            assert soon_read(ring, file.fileno(), 100, 0, own) == content
        assert time.monotonic() - started < 4 and not is_closed(reading)
        assert ring.has_unclosed(1) and not ring.has_unclosed(2)
        # The others follow when the first are closed, and the ring is asked.
        until(lambda: ring.may_wait(Cause("any", 1)) and is_closed(reading), "it stays open")
    until(lambda: ring.may_wait(FREE) and closed_all(ring), "the last is not closed")
    assert not ring.has_unclosed(1)


def test_closes_that_hang_keep_no_other_account_from_the_ring(
    ring: Ring, own: int, root: int
) -> None:
    """The kernel answers a close before it gives the file up, and would give its thread more to do."""
    with ExitStack() as things:
        for _ in range(4):
            ring.close_object(hanging(things, 4), 1)
            time.sleep(0.05)
        assert not ring.may_wait(Cause("any", 1)) and ring.has_unclosed(1)
        for account in range(2, 12):
            cause = Cause("open", account)
            assert ring.may_wait(cause)
            os.close(soon(partial(ring.open, root, b"self/comm", os.O_PATH, own, cause)))
        reading, writing = pipe(things)
        ring.close_object(writing, 2)
        until(partial(is_closed, reading), "it stays open", 2.0)
        assert not ring.has_unclosed(2)
    until(lambda: ring.may_wait(FREE) and closed_all(ring), "the last is not closed")


def test_a_read_counts_until_its_thread_goes_on(ring: Ring, own: int, fifos: Fifos) -> None:
    """It may have to drop the mapped files of a killed process, and be given more meanwhile."""
    names = [ctypes.create_string_buffer(fifos.one()) for _ in range(2)]
    ends = ring._ends
    with open("/proc/self/comm", "rb") as file:
        content = file.read()
        for name in names:
            waits = (module._OPENAT, module._ASYNC, 0, fifos.directory, 0)
            ring._ends = [
                module._SQE.pack(*waits, ctypes.addressof(name), 0, 0, place, 0, own, 0)
                for place in range(PLACES)
            ]
            cause = Cause(name.value, 1)
            answer = soon(partial(ring.read, file.fileno(), 100, 0, own, cause))
            assert answer == content
        ring._ends = ends
        until(lambda: not ring.may_wait(Cause("any", 1)), "the reads count no more", 2.0)
        assert ring.may_wait(Cause("any", 2))
        assert soon_read(ring, file.fileno(), 100, 0, own) == content
    until(lambda: fifos.end() and ring.may_wait(Cause("any", 1)), "they still wait")


def test_a_read_that_has_just_been_answered_keeps_nobody(
    ring: Ring, own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may not have had the processor since."""
    monkeypatch.setattr(module, "_DONE_SECONDS", 60.0)
    cause = Cause("lock", 1)
    with open("/proc/self/comm", "rb") as file:
        for _ in range(3):
            soon(partial(ring.read, file.fileno(), 100, 0, own, cause))
        place = ring._free.pop()
        ring._waiting[place] = module._Waiting(cause, opens=False, held=-1)
        ring._answered[place] = time.monotonic()
        assert ring.may_wait(cause)
        ring._answered[place] -= 61
        assert not ring.may_wait(cause)


def test_a_read_to_which_nothing_could_be_linked_ends_with_its_answer(
    ring: Ring, own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory the kernel takes the first of two entries alone."""
    enter = module._enter

    def one(descriptor: int, count: int, *given: Any) -> int:
        return int(enter(descriptor, min(1, count), *given))

    monkeypatch.setattr(module, "_enter", one)
    with open("/proc/self/comm", "rb") as file:
        content = file.read()
        places = len(ring._free)
        for _ in range(3 * PLACES):
            assert soon_read(ring, file.fileno(), 100, 0, own) == content
    assert ring.may_wait(FREE) and len(ring._free) == places and not ring._unlinked


def test_what_came_late_is_closed_though_nobody_asks(ring: Ring, own: int, fifos: Fifos) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotSoon):
        ring.open(fifos.directory, fifos.one(), os.O_RDONLY, own, FREE)

    def is_settled() -> bool:
        fifos.end()
        ring.settle()
        return len(os.listdir("/proc/self/fd")) == before

    until(is_settled, "it stays open")


@pytest.mark.parametrize(("processors", "places", "of_account"), [(1, 3, 1), (2, 7, 2), (9, 8, 2)])
def test_where_threads_are_few_an_account_has_one_place(
    monkeypatch: pytest.MonkeyPatch, processors: int, places: int, of_account: int
) -> None:
    """Before Linux 5.15 their number is that of the processors."""
    register = module._register

    def refused(descriptor: int, operation: int, *given: Any) -> int:
        if operation == module._REGISTER_IOWQ_MAX_WORKERS:
            raise OSError(errno.EINVAL, "")
        return int(register(descriptor, operation, *given))

    monkeypatch.setattr(module, "_register", refused)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    ring = Ring()
    assert (len(ring._free), ring._most_of_account) == (places, of_account)
    ring.close()


def test_the_last_place_is_not_for_what_is_closed(ring: Ring, own: int) -> None:
    """What has been opened is read next, without another look whether there is a place."""
    others = [ring._free.pop() for _ in range(len(ring._free) - 1)]
    with ExitStack() as things, open("/proc/self/comm", "rb") as file:
        reading, writing = pipe(things)
        ring.close_object(writing, 1)
        assert ring.has_unclosed(1) and not is_closed(reading)
        assert soon_read(ring, file.fileno(), 100, 0, own) == file.read()
        ring._free += others
        until(lambda: ring.may_wait(FREE) and is_closed(reading), "it stays open")
