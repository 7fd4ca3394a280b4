"""A mirror of a procfs that hides processes hides them from the same requesters."""

from __future__ import annotations

import errno
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounting import mounted
from tests.permissions.compare import judged
from tests.permissions.entries import Entries
from tests.permissions.operations import Item
from tests.permissions.requesters import OWNER
from tests.permissions.sessions import Session, session
from tests.permissions.targets import Target

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


@pytest.fixture(scope="module", params=OPTIONS)
def hiding(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str]]:
    """The option, a procfs mounted with it, and a mirror of that."""
    folder = Path(tempfile.mkdtemp(prefix="hiding-"))
    folder.chmod(0o755)
    point = folder / "proc"
    point.mkdir()
    subprocess.run(
        ["mount", "-t", "proc", "-o", f"hidepid={request.param}", "proc", point], check=True
    )
    try:
        with mounted(source=str(point)) as mount:
            DAEMONS[str(mount.path)] = str(mount.daemon)
            yield request.param, str(point), str(mount.path)
    finally:
        subprocess.run(["umount", point], check=True)
        shutil.rmtree(folder)


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


@pytest.mark.parametrize("requester", ["root", "owner", "another"])
def test_the_daemon_is_listed_to_whom_the_kernel_lists_it(
    hiding: tuple[str, str, str], requester: str
) -> None:
    """It reads the names itself, and would see itself whatever is hidden."""
    _, native, mirror = hiding
    with session(requester) as running:
        real, mirrored = (
            DAEMONS[mirror] in running.one("processes", place).data.decode().split("\n")
            for place in (native, mirror)
        )
    assert mirrored == real


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
