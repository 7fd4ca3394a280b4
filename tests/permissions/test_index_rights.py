"""The indexes tell each requester of a process only what the kernel does, and nothing that was told to another."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.harness import until
from tests.mounting import Mount, mounted
from tests.permissions.requesters import OTHER, OWNER
from tests.permissions.sessions import Session, World, session
from tests.permissions.targets import Target, described
from tests.programs import free_port, listens, running

REQUESTERS = (
    "root",
    "root without capabilities",
    "uid 0 with CAP_SYS_PTRACE only",
    "owner",
    "another",
    "another with CAP_SYS_PTRACE",
    "another with CAP_DAC_READ_SEARCH",
    "setuid: owner's ruid, another's euid",
    "setuid: another's ruid, root's euid",
    "root of the owner's new user namespace",
    "host root in a child user namespace",
    "root in a child pid namespace",
    "a thread of another's that is root",
)
# The targets that the kernel judges differently when it comes to what they run and hold.
TARGETS = {
    "ordinary",
    "another's",
    "root's",
    "not dumpable",
    "with one capability more",
    "with an unreadable program",
    "in a child user namespace",
}
ELSEWHERE = (
    "root in another network namespace",
    "owner in another network namespace",
    "root in a container",
)
LISTENERS = (0, OWNER, OTHER)


def among(everybody: Sequence[Target]) -> list[Target]:
    """The targets that are asked about here."""
    found = [target for target in everybody if target.name in TARGETS]
    assert len(found) == len(TARGETS) and all(len(places(target.pid)) == 3 for target in found)
    return found


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[int, tuple[int, str]]]:
    """By pid of a listener, which root and both users have.

    Its port, and the path of its socket's descriptor.
    """
    with ExitStack() as stack:
        found = {}
        for user in LISTENERS:
            port = free_port()
            pid = stack.enter_context(running("nc", "-l", "127.0.0.1", port, user=user))
            until(lambda port=port: listens(port), "nc does not listen")  # type: ignore[misc]
            held = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
            found[pid] = (
                port,
                next(path for path in held if os.readlink(path).startswith("socket:")),
            )
        yield found


def stands(requester: Session, mount: Mount, place: str, pid: int) -> set[bool]:
    """Whether a link is there: by each way to find out, which should agree."""
    path = f"{mount.path}/{place}/{pid}"
    answers = [
        requester.one(operation, path) for operation in ("lstat", "readlink", "statx DONT_SYNC")
    ]
    assert {answer.errno for answer in answers} <= {0, errno.ENOENT}, (path, answers)
    listed = requester.one("listdir", f"{mount.path}/{place}")
    assert listed.errno == 0, (place, listed)
    return {not answer.errno for answer in answers} | {str(pid) in listed.data.decode().split("\n")}


def may(requester: Session, *questions: tuple[str, str]) -> bool:
    """Whether the kernel answers all of them."""
    return not any(requester.one(operation, path).errno for operation, path in questions)


def places(pid: int) -> dict[str, Sequence[tuple[str, str]]]:
    """Where a process stands, as root sees it, each with what the kernel must answer to who may find it there."""
    try:
        exe = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return {}
    with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
        name = comm.read().rstrip("\n")
    return {
        f"by-exe{exe}/pids": [("readlink", f"/proc/{pid}/exe")],
        f"by-file{exe.removesuffix(' (deleted)')}/pids": [
            ("listdir", f"/proc/{pid}/fd"),
            ("readlink", f"/proc/{pid}/exe"),
        ],
        f"by-name/{name}": [("read", f"/proc/{pid}/comm")],
    }


def wrong(
    mount: Mount, requester: Session, targets: Sequence[Target], ports: dict[int, tuple[int, str]]
) -> list[str]:
    """What is there and should not be, or the other way round."""
    found = []
    for target in targets:
        for place, questions in places(target.pid).items():
            same = stands(requester, mount, place, target.pid) == {may(requester, *questions)}
            # A worker may have gone home meanwhile.
            if not same and os.path.exists(f"/proc/{target.pid}"):
                found.append(f"{requester.requester}: {place}/{target.pid} ({target.name})")
    for pid, (port, descriptor) in ports.items():
        here = requester.requester not in ELSEWHERE
        allowed = here and may(
            requester, ("listdir", os.path.dirname(descriptor)), ("readlink", descriptor)
        )
        if stands(requester, mount, f"by-port/tcp/{port}", pid) != {allowed}:
            found.append(f"{requester.requester}: by-port/tcp/{port}/{pid}")
    return found


@pytest.mark.parametrize("name", [*REQUESTERS, *ELSEWHERE])
def test_a_link_is_there_for_whom_the_kernel_answers(
    mirror: Mount, everybody: list[Target], ports: dict[int, tuple[int, str]], name: str
) -> None:
    targets = [*among(everybody), *(described("of the mirror", pid) for pid in mirror.processes())]
    with session(name, World({target.name: target.pid for target in everybody})) as requester:
        assert not wrong(mirror, requester, targets, ports)


def shared(mount: Mount, ports: dict[int, tuple[int, str]], names: Sequence[str]) -> list[str]:
    """What requesters are shown of each other's listings when they ask in turns, at once one after the other."""
    pid = next(iter(ports))
    place = f"by-port/tcp/{ports[pid][0]}"
    found = []
    with ExitStack() as stack:
        sessions = [stack.enter_context(session(name)) for name in names]
        for _ in range(3):
            for requester in (*sessions, *reversed(sessions)):
                listed = str(pid).encode() in requester.one(
                    "listdir", f"{mount.path}/{place}"
                ).data.split(b"\n")
                if listed != (requester.requester == "root"):
                    found.append(requester.requester)
    return found


IN_TURNS = (
    "root",
    "another",
    "root without capabilities",
    "root in another network namespace",
    "owner",
)


def test_a_listing_serves_nobody_else(mirror: Mount, ports: dict[int, tuple[int, str]]) -> None:
    assert not shared(mirror, ports, IN_TURNS)


def test_a_mirror_that_shares_listings_is_found_out(ports: dict[int, tuple[int, str]]) -> None:
    with mounted(program=("-m", "tests.permissions.mutants", "tables_for_everybody")) as mutant:
        assert set(shared(mutant, ports, IN_TURNS)) >= {"another", "root without capabilities"}


def test_a_mirror_that_looks_as_itself_is_found_out(
    everybody: list[Target], ports: dict[int, tuple[int, str]]
) -> None:
    with mounted(
        program=("-m", "tests.permissions.mutants", "opened_by_the_daemon"), quiet=False
    ) as mutant:
        with session("another") as requester:
            found = "\n".join(wrong(mutant, requester, among(everybody), ports))
        assert "by-exe" in found and "by-port" in found
