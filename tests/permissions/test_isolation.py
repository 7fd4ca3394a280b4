"""What one requester does changes nothing for another, and none can touch the processes that act in its name."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.attack import grips
from tests.harness import comes_true, load, parent_of, until
from tests.mounting import Mount, mounted
from tests.permissions.compare import judged
from tests.permissions.entries import Entries
from tests.permissions.operations import Answer, Item, some_of
from tests.permissions.requesters import OWNER, REQUESTERS
from tests.permissions.sessions import EndedError, Session, session
from tests.permissions.targets import Target
from tests.programs import ran
from tests.reliability.mirrors import parser_server_of

IDENTITY = ("Uid:", "Gid:", "Groups:", "CapEff:")
# What any process of ours, and no other, can do to another.
REFUSED = {
    errno.EPERM,
    errno.ESRCH,
    errno.EINVAL,
    errno.ENOENT,
}  # the last two: not the number of a process
GRIPS = ("signalled", "limited", "traced", "looked_into", "stolen")


@pytest.fixture(scope="module")
def target(everybody: list[Target]) -> Target:
    return next(target for target in everybody if target.name == "ordinary")


# Whom a parser is: no user of the machine's, with all four ids.
PARSER = "Uid:" + 4 * " 4294967294"


def identities(mount: Mount) -> dict[tuple[int, int], tuple[str, ...]]:
    """Ids and capabilities of each thread of the daemon's that is in its user namespace."""
    found = {}
    own = os.readlink(f"/proc/{mount.daemon}/ns/user")
    for pid in mount.processes():
        try:
            if os.readlink(f"/proc/{pid}/ns/user") != own:
                continue
            if parser_server_of(mount) in {pid, parent_of(pid)}:
                continue  # these have no rights at all: tests/attack/test_parsers.py
            for thread in os.listdir(f"/proc/{pid}/task"):
                lines = Path(f"/proc/{pid}/task/{thread}/status").read_text().splitlines()
                identity = tuple(
                    " ".join(line.split()) for line in lines if line.startswith(IDENTITY)
                )
                # A parser may outlive its server for a moment.
                if identity[0] != PARSER:
                    found[pid, int(thread)] = identity
        except OSError:
            continue
    return found


def helpers(mount: Mount) -> list[int]:
    """The daemon's processes in other user namespaces."""
    own = os.readlink(f"/proc/{mount.daemon}/ns/user")
    found = []
    for pid in mount.processes():
        try:
            if os.readlink(f"/proc/{pid}/ns/user") != own:
                found.append(pid)
        except OSError:
            continue
    return found


def test_each_is_answered_for_himself_whoever_asked_just_before(
    mirror: Mount, target: Target
) -> None:
    """Nothing that one was told is kept for the next: in turns, entry by entry, and in both orders."""
    entries = Entries("/proc", str(mirror.path), every=True)
    reading = {"read", "peek", "readlink", "listdir", "content", "statx DONT_SYNC", "lstat"}
    items = [item for item in entries.about(target, 0) if item.operation in reading]
    with (
        session("owner") as first,
        session("another") as second,
        session("root") as third,
    ):
        for item in items:
            for requester in (first, second, third, second, first):
                ((_, outcome),) = requester.ask([item])
                difference = judged(requester.requester, requester.pid, item, outcome)
                assert difference is None, str(difference)


def test_two_at_once_get_their_own_answers(mirror: Mount, target: Target) -> None:
    entries = Entries("/proc", str(mirror.path), every=True)
    items = [
        item
        for item in entries.about(target, 0)
        if item.operation in {"read", "readlink", "listdir"}
    ] * 3
    wrong: list[str] = []

    def ask(name: str) -> None:
        with session(name) as requester:
            judgements = (
                judged(name, requester.pid, item, outcome) for item, outcome in requester.ask(items)
            )
            wrong.extend(str(difference) for difference in judgements if difference)

    threads = [
        threading.Thread(target=ask, args=(name,))
        for name in ("owner", "another", "root without capabilities")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("name", ["", "/fd", "/fdinfo", "/map_files", "/net", "/ns", "/task"])
def test_a_working_directory_survives_the_refusal_of_another(
    mirror: Mount, target: Target, name: str
) -> None:
    path = f"{mirror.path}/{target.pid}{name}"
    with session("owner") as first, session("another") as second:
        assert first.one("stay", path) == Answer(0)
        for operation in ("lstat", "listdir", "open PATH", "chdir", "access R", "statx DONT_SYNC"):
            for below in ("", "/3", "/absent", "/environ"):
                second.one(operation, path + below)
        assert first.one("where", path) == Answer(0, path.encode())
        assert os.readlink(f"/proc/{first.pid}/cwd") == path


@pytest.mark.parametrize("name", ["fd", "fdinfo", "map_files", "net", "ns"])
def test_a_mount_survives_the_refusal_of_another(mirror: Mount, target: Target, name: str) -> None:
    point = mirror.path / str(target.pid) / name
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    try:
        with (
            session("another") as stranger,
            session("root of another's new user namespace") as root,
        ):
            for requester in (stranger, root):
                for path in (
                    point,
                    point / "3",
                    point.parent,
                    point.parent / "environ",
                    point.parent / "exe",
                ):
                    for operation in ("lstat", "listdir", "open PATH", "chdir", "read", "readlink"):
                        requester.one(operation, str(path))
        assert os.path.ismount(point)
    finally:
        subprocess.run(["umount", point], check=True)


def test_requesters_killed_at_any_moment_leave_nothing_behind(target: Target) -> None:
    """Not a descriptor, not a worker, not an identity, and an answer for the next."""
    chance = random.Random(1)
    with mounted() as mount:
        items = [
            item
            for item in Entries("/proc", str(mount.path), every=True).about(target, 0)
            if item.operation != "open W"
        ]
        with session("root") as root:
            list(root.ask(items))
            descriptors = len(os.listdir(f"/proc/{mount.daemon}/fd"))
            for _ in range(25):
                victim = Session("another")
                killer = threading.Timer(chance.uniform(0, 0.1), victim.process.kill)
                killer.start()
                with contextlib.suppress(EndedError, BrokenPipeError):
                    while True:
                        list(victim.ask(items))
                killer.join()
                victim.close()
            assert root.one("read", f"{mount.path}/{target.pid}/status").errno == 0
        until(
            lambda: len(os.listdir(f"/proc/{mount.daemon}/fd")) <= descriptors + 8,
            "descriptors are left",
        )
        assert set(identities(mount).values()) == {baseline(mount)}


def baseline(mount: Mount) -> tuple[str, ...]:
    """The identity that the daemon was started with: root's, with all that this test may do."""
    del mount
    lines = Path("/proc/self/status").read_text().splitlines()
    return tuple(" ".join(line.split()) for line in lines if line.startswith(IDENTITY))


@pytest.mark.parametrize(
    "name",
    [
        "owner",
        "another with CAP_SYS_ADMIN",
        "another with 65,536 groups",
        "root without capabilities",
        "root with fsuid of another",
        "setuid: root's ruid, another's euid",
        "root of the owner's new user namespace",
        "root in another network namespace",
        "a thread of root's that is another",
    ],
)
def test_every_process_of_the_daemon_is_itself_again(
    mirror: Mount, target: Target, name: str
) -> None:
    items = [
        item
        for item in Entries("/proc", str(mirror.path)).about(target, 3)
        if "access" not in item.operation
    ]
    items = some_of(items, REQUESTERS[name].one_in)
    with session(name) as requester:
        for start in range(0, len(items), 10):
            list(requester.ask(items[start : start + 10]))
            assert set(identities(mirror).values()) == {baseline(mirror)}


@pytest.mark.parametrize("name", ["owner", "root of the owner's new user namespace"])
def test_nobody_can_touch_who_acts_in_his_name(mirror: Mount, target: Target, name: str) -> None:
    """While workers act as a user, that user tries to change each thread of the daemon's.

    He tries to signal, limit, trace, read and rob it, and to change its nice value, scheduling
    class, processors, I/O priority and memory policy; also from a user namespace of its own, whose
    root has all capabilities there.
    """
    paths = [
        f"{mirror.path}/{pid}/{name}"
        for pid in (target.pid, "self")
        for name in ("smaps", "environ")
    ]
    items = [Item(path, path, "read") for path in paths]
    done = threading.Event()

    def keep_busy() -> None:
        with session("owner") as busy:
            while not done.is_set():
                list(busy.ask(items))

    threads = [threading.Thread(target=keep_busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        with session(name) as requester:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for number in {number for pair in identities(mirror) for number in pair}:
                    for grip in GRIPS:
                        assert requester.one(grip, str(number)).errno in REFUSED, (grip, number)
                    for at, grip in enumerate(grips.GRIPS):
                        answer = requester.one("gripped", str(number), at)
                        assert answer.errno in {*REFUSED, errno.EACCES}, (grip, number)
    finally:
        done.set()
        for thread in threads:
            thread.join()


FOREIGN = (
    "root of the owner's new user namespace",
    "host root in a child user namespace",
    "root of the owner's container",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_helper_is_out_of_the_reach_of_whom_it_serves(
    mirror: Mount, target: Target, name: str
) -> None:
    """The root of its namespace may end it.

    Its memory, its root, its descriptors and its trace are not the user's.
    """
    with session(name) as requester:
        requester.one("read", f"{mirror.path}/{target.pid}/maps")
        found = helpers(mirror)
        assert found
        for pid in found:
            for entry in ("mem", "environ", "maps", "auxv", "pagemap"):
                assert requester.one("read", f"/proc/{pid}/{entry}").errno in {
                    errno.EACCES,
                    errno.EPERM,
                }
            for entry in ("root", "cwd", "exe", "fd/0", "ns/net", "ns/user"):
                assert requester.one("readlink", f"/proc/{pid}/{entry}").errno in {
                    errno.EACCES,
                    errno.EPERM,
                }
            for grip in ("traced", "looked_into", "stolen"):
                assert requester.one(grip, str(pid)).errno in {errno.EPERM, errno.ESRCH}


def test_helpers_are_not_shared_between_namespaces(mirror: Mount, target: Target) -> None:
    name = "root of the owner's new user namespace"
    with session(name) as first, session(name) as second:
        for requester in (first, second):
            requester.one("read", f"{mirror.path}/{target.pid}/maps")
        served = {os.readlink(f"/proc/{pid}/ns/user") for pid in helpers(mirror)}
        assert {
            os.readlink(f"/proc/{requester.pid}/ns/user") for requester in (first, second)
        } <= served
        own = os.readlink(f"/proc/{mirror.daemon}/ns/pid")
        assert {os.readlink(f"/proc/{pid}/ns/pid") for pid in helpers(mirror)} == {own}


@pytest.fixture
def impatient() -> Iterator[Mount]:
    with mounted("-o", "timeout=2", quiet=False) as mount:
        yield mount


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_who_ends_his_helper_loses_one_answer(
    impatient: Mount, target: Target, number: int
) -> None:
    path = f"{impatient.path}/{target.pid}/status"
    with (
        session("root of the owner's new user namespace") as requester,
        session("another") as other,
    ):
        maps = f"{impatient.path}/{requester.pid}/maps"
        # A loaded machine may not begin a helper within the time of an answer.
        assert comes_true(lambda: requester.one("read", maps).errno == 0)
        for pid in helpers(impatient):
            requester.one("signalled", str(pid), number)
        start = time.monotonic()
        assert requester.one("read", maps).errno in {0, errno.EIO, errno.ETIMEDOUT, errno.EBUSY}
        assert other.one("read", path).errno == 0
        assert time.monotonic() - start < 12 * load()
        assert comes_true(lambda: requester.one("read", maps).errno == 0)


def test_helpers_end_when_nobody_needs_them(impatient: Mount, target: Target) -> None:
    with session("root of the owner's new user namespace") as requester:
        requester.one("read", f"{impatient.path}/{target.pid}/maps")
        assert helpers(impatient)
    assert comes_true(lambda: not helpers(impatient))


@pytest.mark.parametrize("dumpable", [1, 0])
def test_a_descriptor_on_oneself_tells_nothing_of_a_setuid_program(
    mirror: Mount, dumpable: int
) -> None:
    """Opened while the file was one's own, read when another program with more rights runs there."""
    folder = Path(tempfile.mkdtemp(prefix="procmirror-"))
    folder.chmod(0o755)
    try:
        program = shutil.copy("/bin/sleep", folder / "setuid")
        os.chmod(program, 0o4755)
        with session("owner") as requester:
            told = [
                requester.one("before_exec", f"{proc}:{program}", dumpable)
                for proc in ("/proc", mirror.path)
            ]
        kernel, ours = (msgspec.json.decode(answer.data, type=dict[str, str]) for answer in told)
        # An open directory of the mirror lists what was there when it was opened, or nothing.
        same = {
            name: what
            for name, what in ours.items()
            if what not in {kernel[name], "names that were there", "no names"}
        }
        assert same == {}, kernel
    finally:
        shutil.rmtree(folder)


def test_a_view_on_oneself_tells_nothing_of_a_setuid_program(mirror: Mount) -> None:
    """The same for decoded views, which may take a second snapshot when they are read again."""
    folder = Path(tempfile.mkdtemp(prefix="procmirror-"))
    folder.chmod(0o755)
    try:
        program = shutil.copy("/bin/sleep", folder / "setuid")
        os.chmod(program, 0o4755)
        with session("owner") as requester:
            answer = requester.one("views_before_exec", f"{mirror.path}:{program}", 1)
        seen = msgspec.json.decode(answer.data, type=dict[str, str])
        assert not [name for name, what in seen.items() if "the program" in what], seen
        assert len(seen) > 5
    finally:
        shutil.rmtree(folder)


def test_the_owner_is_the_number_that_nobody_has() -> None:
    """The users of these tests must be nobody's, or what they may do would be somebody's."""
    assert not [
        line
        for line in Path("/etc/passwd").read_text().splitlines()
        if line.split(":")[2] == str(OWNER)
    ]


def test_a_directory_that_root_closes_is_closed_to_others(mirror: Mount) -> None:
    """Also to who looked at what is in it a moment ago."""
    folder, file = Path("/proc/tty"), mirror.path / "tty/drivers"
    stats = ["stat", "-c", "%U", file]
    mode = folder.stat().st_mode & 0o7777
    try:
        assert ran(*stats, user=OWNER).out == "root\n"
        folder.chmod(0o700)
        assert "Permission denied" in ran("stat", folder / "drivers", user=OWNER).err
        assert "Permission denied" in ran(*stats, user=OWNER).err
        assert ran(*stats).out == "root\n"
    finally:
        folder.chmod(mode)
    assert ran(*stats, user=OWNER).out == "root\n"
