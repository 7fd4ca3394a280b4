"""A mirror of a procfs that hides processes hides them from the same requesters."""

from __future__ import annotations

import errno
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import until
from tests.mounting import mounted
from tests.permissions.compare import judged
from tests.permissions.entries import Entries
from tests.permissions.operations import Item
from tests.permissions.requesters import OWNER
from tests.permissions.sessions import Session, session
from tests.permissions.targets import Target
from tests.programs import descendants, ran

REQUESTERS = (
    "root",
    "root without capabilities",
    "owner",
    "owner with another's gid",
    "another",
    "another in the owner's group",
    "another with CAP_SYS_PTRACE",
    "root of the owner's new user namespace",
)


OPTIONS = ("noaccess", "invisible", "ptraceable", f"invisible,gid={OWNER}")


# The process that serves a mirror, by the place of it.
DAEMONS: dict[str, str] = {}


@contextmanager
def procfs(option: str) -> Iterator[Path]:
    """A procfs of its own with hidepid=."""
    folder = Path(tempfile.mkdtemp(prefix="hiding-"))
    folder.chmod(0o755)
    point = folder / "proc"
    point.mkdir()
    subprocess.run(["mount", "-t", "proc", "-o", f"hidepid={option}", "proc", point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=OPTIONS)
def hiding(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str]]:
    """The option, a procfs mounted with it, and a mirror of that."""
    with procfs(request.param) as point, mounted(source=str(point)) as mount:
        DAEMONS[str(mount.path)] = str(mount.daemon)
        yield request.param, str(point), str(mount.path)


def _only_the_name(option: str, item: Item) -> bool:
    return option.startswith("invisible") and item.operation == "statx DONT_SYNC"


@pytest.mark.parametrize("hiding", ["invisible"], indirect=True)
def test_a_hidden_process_has_a_name_and_no_more(
    hiding: tuple[str, str, str], everybody: list[Target]
) -> None:
    """The kernel lets O_PATH find a hidden process.

    For this the mirror's LOOKUP must succeed, which statx may then repeat.
    """
    _, native, mirror = hiding
    pid = next(target.pid for target in everybody if target.name == "root's")
    with session("another") as stranger:
        assert stranger.one("open PATH", f"{native}/{pid}").errno == 0
        assert stranger.one("open PATH", f"{mirror}/{pid}").errno == 0
        assert stranger.one("statx DONT_SYNC", f"{native}/{pid}").errno == errno.ENOENT
        assert stranger.one("statx DONT_SYNC", f"{mirror}/{pid}").data.startswith(b"40555 0:0")
        assert stranger.one("lstat", f"{mirror}/{pid}").errno == errno.ENOENT


def assert_indexed_as_known(running: Session, native: str, mirror: str, target: Target) -> None:
    """A process stands by its name for those who may know its name."""
    name = Path(f"/proc/{target.pid}/comm").read_text(encoding="utf-8").rstrip("\n")
    known = running.one("read", f"{native}/{target.pid}/comm").errno == 0
    listed = running.one("listdir", f"{mirror}/by-name/{name}").data.decode().split("\n")
    assert (str(target.pid) in listed) == known, target.name
    assert running.one("lstat", f"{mirror}/by-name/{name}/{target.pid}").errno == (
        0 if known else errno.ENOENT
    )


@pytest.mark.parametrize(
    "requester",
    ["root", "owner", "another", "root of the owner's new user namespace", "owner, not dumpable"],
)
def test_who_acts_for_a_requester_is_listed_to_whom_the_kernel_lists_it(
    hiding: tuple[str, str, str], requester: str
) -> None:
    """The daemon and its workers read the names, and each would see itself whatever is hidden."""
    _, native, mirror = hiding
    with session(requester) as running:
        # The second listing is made by what served the first.
        for _ in range(2):
            before, shown, after = (_processes(running, one) for one in (native, mirror, native))
            serving = set(map(str, descendants(int(DAEMONS[mirror]))))
            assert shown & serving <= before | after
            assert before & after & serving <= shown


def _processes(running: Session, place: str) -> set[str]:
    return set(running.one("processes", place).data.decode().split("\n"))


@pytest.mark.parametrize(
    "requester",
    [
        "owner, not dumpable",
        "setuid: owner's ruid, another's euid",
        "setuid: root's ruid, another's euid",
        "another with root's fsuid",
        "a thread of root's that is another",
    ],
)
def test_a_process_that_may_not_be_traced_finds_itself(
    hiding: tuple[str, str, str], requester: str
) -> None:
    _, native, mirror = hiding
    with session(requester) as running:
        pid = str(running.pid)
        for place in (native, mirror):
            assert pid in _processes(running, place)
            for operation, name in (("lstat", ""), ("listdir", ""), ("read", "/status")):
                assert running.one(operation, f"{place}/{pid}{name}").errno == 0, operation


@pytest.mark.parametrize(
    "inside",
    ["a user of the owner's rootless container", "root of the owner's new user namespace"],
)
def test_what_is_in_a_user_namespace_is_shown_to_its_owner(
    hiding: tuple[str, str, str], inside: str
) -> None:
    """The kernel gives the owner all rights there, judged by the effective user id."""
    option, native, mirror = hiding
    with session(inside) as hidden, session("owner") as owner, session("another") as other:
        pid = str(hidden.pid)
        for place in (native, mirror):
            assert pid in _processes(owner, place)
            assert owner.one("lstat", f"{place}/{pid}").errno == 0
            assert owner.one("read", f"{place}/{pid}/status").errno == 0
            assert (pid in _processes(other, place)) == (option == "noaccess")


def test_the_root_is_listed_anew_by_who_begins_again(hiding: tuple[str, str, str]) -> None:
    _, _, mirror = hiding
    program = (
        "import ctypes, os, subprocess, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.opendir.restype = libc.readdir64.restype = ctypes.c_void_p\n"
        "stream = ctypes.c_void_p(libc.opendir(sys.argv[1].encode()))\n"
        "def names():\n"
        "    libc.rewinddir(stream)\n"
        "    while at := libc.readdir64(stream):\n"
        "        yield ctypes.string_at(at + 19).decode()\n"
        "assert str(os.getpid()) in names()\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "assert str(child.pid) in names()\n"
        "child.kill(); child.wait()\n"
        "assert str(child.pid) not in names()\n"
    )
    found = ran("/usr/bin/python3", "-c", program, mirror, user=OWNER)
    assert (found.code, found.err) == (0, "")


@pytest.mark.parametrize("requester", REQUESTERS)
def test_a_hiding_mount_is_mirrored(
    hiding: tuple[str, str, str], requester: str, everybody: list[Target]
) -> None:
    option, native, mirror = hiding
    turn = REQUESTERS.index(requester) + OPTIONS.index(option)
    with session(requester) as running:
        whole = Entries(native, mirror, every=True, decoded=False)
        some = Entries(native, mirror, decoded=False)
        asked = [
            target
            for target in everybody
            if target.name in {"ordinary", "another's", "root's", "not dumpable"}
        ]
        # Everything about one target, which is another one for the next requester and option, and
        # of the others what the requester is due.
        items = [
            item
            for place, target in enumerate(asked, turn)
            for item in (some if place % len(asked) else whole).about(target, place)
            if not item.operation.endswith(" W")
        ]
        items.append(Item(native, mirror, "processes"))
        wrong = []
        for item, outcome in running.ask(items):
            difference = judged(requester, running.pid, item, outcome)
            # With hidepid=ptraceable the kernel answers by who has looked before: only what is let
            # in can be compared.
            if (
                difference
                and (difference.leak or option != "ptraceable")
                and not _only_the_name(option, item)
            ):
                wrong.append(str(difference))
        for target in asked:
            assert_indexed_as_known(running, native, mirror, target)
    assert not wrong, "\n".join([str(len(wrong)), *wrong[:20]])


@pytest.mark.parametrize("hiding", ["invisible"], indirect=True)
@pytest.mark.parametrize("view", ["stack.txt", "stack.json"])
def test_a_view_of_oneself_does_not_name_a_hidden_child(
    hiding: tuple[str, str, str], view: str
) -> None:
    """The right to look at oneself, which is added, would show a child that runs a setuid program."""
    _, _, mirror = hiding
    folder = Path(tempfile.mkdtemp(prefix="hiding-"))
    try:
        folder.chmod(0o755)
        for name, mode in (("secret-name", 0o4755), ("plain-name", 0o755)):
            program = Path(shutil.copy("/bin/sleep", folder / name))
            program.chmod(mode)
            with session("owner") as running:
                told = running.one("waited_for", f"{mirror}/self/{view}:{program}").data
            # The view tells of the child at all, but names it only where the kernel does.
            assert told == (b"? ?" if name == "secret-name" else b"plain-name plain-name")
    finally:
        shutil.rmtree(folder)


def _finds_root(running: Session, place: str) -> bool:
    return running.one("lstat", f"{place}/1").errno == 0 or "1" in _processes(running, place)


def test_a_source_that_hides_processes_from_now_on_hides_them_in_the_mirror() -> None:
    """It is remounted in another mount namespace: nothing tells that to the daemon's."""
    with procfs("0") as point, mounted(source=str(point)) as mount, session("another") as other:
        mirror = str(mount.path)
        assert _finds_root(other, mirror)
        remount = ["mount", "-o", "remount,hidepid=invisible", str(point)]
        subprocess.run(["unshare", "--mount", "--", *remount], check=True)
        assert not _finds_root(other, str(point))
        until(lambda: not _finds_root(other, mirror))


def test_a_source_whose_mount_is_not_shown_here_hides_what_the_kernel_hides() -> None:
    """It is reached by the root of a process in another mount namespace."""
    place = "/run"
    program = f"mount -t proc -o hidepid=invisible proc {place}; echo; exec sleep 1000"
    command = ["unshare", "--mount", "sh", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout and holder.stdout.readline()
            with mounted(source=f"/proc/{holder.pid}/root{place}") as mount:
                with session("another") as other:
                    assert str(other.pid) in _processes(other, str(mount.path))
                    assert not _finds_root(other, str(mount.path))
                with session("root") as root:
                    assert _finds_root(root, str(mount.path))
        finally:
            holder.kill()
