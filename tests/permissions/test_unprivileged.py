"""The mirror of an ordinary user.

That user sees what the kernel shows, everybody else the same or nothing.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.everyday import OPEN, Everyday, everyday
from tests.mounting import Mount
from tests.permissions.compare import Difference
from tests.permissions.entries import Entries
from tests.permissions.operations import Answer, Item
from tests.permissions.requesters import OTHER, OWNER
from tests.permissions.sessions import World, session
from tests.permissions.suite import Comparison, agree, compare, told
from tests.permissions.targets import Target, described
from tests.programs import ran

HIMSELF = ("owner", "owner, no new privileges", "a thread of the owner's")
# In user namespaces of the user's, which a helper of the user's daemon may enter.
BELOW = (
    "root of the owner's new user namespace",
    "owner unmapped in a new user namespace",
    "owner without capabilities in a new user namespace",
    "root of the owner's container",
    "root of the owner's rootless container",
    "a user of the owner's rootless container",
)
# With the user's ids, and still not allowed.
HIS_IDS = (
    "owner, not dumpable",
    "root of the target's user namespace",
    "member of the target's user namespace",
    "owner in a container",
    "owner in another network namespace",
    "owner with another clock",
)
OTHERS = (
    "root",
    "root without capabilities",
    "root with fsuid of another",
    "host root in a child user namespace",
    "root in a container",
    "owner with another's gid",
    "another",
    "another in the owner's group",
    "another with CAP_SYS_PTRACE",
    "root of another's new user namespace",
    "setuid: owner's ruid, another's euid",
    "setuid: another's ruid, owner's euid",
    "a thread of root's that is another",
    "ring warmed as root, then another",
)
ASKED = {"ordinary", "root's", "another's", "not dumpable", "in a child user namespace"}
MOMENTARY = {
    "stat",
    "status",
    "wchan",
    "syscall",
    "sched",
    "schedstat",
    "io",
    "fd",
    "fdinfo",
    "task",
}
JOINED = (
    "process.json",
    "process.txt",
    "stack.json",
    "stack.txt",
    "fd.json",
    "task.json",
    "ns.json",
)
# A lookup that nobody could put to the kernel says ENOMEM.
REFUSED = {errno.EACCES, errno.EPERM, errno.ENOMEM}
OF_ALL = ("processes.ndjson", "processes.txt", "sockets.json", "sockets.txt")


class Mounts(NamedTuple):
    """The user's machine, a mirror of the user's for the user alone, and one for all."""

    machine: Everyday
    alone: Mount
    shared: Mount


@pytest.fixture(scope="module")
def mounts(mirror: Mount) -> Iterator[Mounts]:
    assert os.path.ismount(mirror.path)  # there too, for the comparison of views
    with everyday(OWNER) as machine, ExitStack() as stack:
        machine.configure(OPEN)
        alone = stack.enter_context(machine.mounted("alone"))
        shared = stack.enter_context(machine.mounted("shared", "-o", "allow_other"))
        assert "allow_other" in machine.mounted_at(shared.path)[0][-1]
        assert "allow_other" not in machine.mounted_at(alone.path)[0][-1]
        yield Mounts(machine, alone, shared)


def asked(everybody: list[Target], mount: Mount) -> list[Target]:
    """Some of the targets, the daemon and its workers."""
    own = [
        described(f"process {place} of the daemon", pid)
        for place, pid in enumerate(mount.processes())
    ]
    return [target for target in everybody if target.name in ASKED] + own[:2]


def different(comparison: Comparison, machine: Everyday) -> list[Difference]:
    """The differences, but for three that are known.

    What the daemon's processes do at the moment is another thing at each question. One's own timer
    slack is told by the kernel to the very thread, and else for CAP_SYS_NICE, which a user's daemon
    does not have (timerslack_ns_show, fs/proc/base.c). A link deceives whose text leads to another
    file on the user's machine, where /etc is a copy.
    """
    return [
        one
        for one in comparison.differences
        if one.leak
        or not (one.entry[-1] in MOMENTARY or _own_slack(one) or _deceives(one, machine))
    ]


def _own_slack(difference: Difference) -> bool:
    mirror = difference.outcome.mirror
    return (
        difference.item.mirror.rpartition("/")[2].startswith("timerslack_ns.")
        and mirror is not None
        and mirror.errno == errno.EPERM
    )


def _deceives(difference: Difference, machine: Everyday) -> bool:
    """Whether a link is told to lead nowhere, and its text does lead to something else there."""
    kernel, mirror = difference.outcome.before, difference.outcome.mirror
    if mirror is None or mirror.data != b"(unreachable)" + kernel.data:
        return False
    there = f"/proc/{machine.pid}/root{os.fsdecode(kernel.data)}"
    return os.path.exists(there) and not os.path.samefile(there, difference.item.native)


def more(comparison: Comparison, machine: Everyday) -> list[Difference]:
    """What the mirror showed and the kernel did not: anything but the kernel's answer or a refusal."""
    return [
        one
        for one in different(comparison, machine)
        if one.leak or (one.outcome.mirror or one.outcome.before).errno == 0
    ]


def answers(
    names: tuple[str, ...], mounts: Mounts, mount: Mount, everybody: list[Target], report: list[str]
) -> Comparison:
    start = time.monotonic()
    entries = Entries("/proc", str(mount.path))
    result = compare(
        names, entries, asked(everybody, mount), neighbours=everybody, within=mounts.machine.within
    )
    report.append(
        f"unprivileged: {result.answers:,} answers of a user's mount to {len(names)} requesters compared with the kernel's in "
        f"{time.monotonic() - start:.0f} s, {len(more(result, mounts.machine))} let in wrongly"
    )
    return result


@pytest.mark.parametrize("kind", ["alone", "shared"])
def test_who_mounts_sees_what_the_kernel_shows_him(
    mounts: Mounts, kind: str, everybody: list[Target], report: list[str]
) -> None:
    result = answers(HIMSELF, mounts, getattr(mounts, kind), everybody, report)
    found = different(result, mounts.machine)
    agree(found, everybody)
    assert result.answers > 1000


def test_who_is_in_a_user_namespace_of_his_sees_what_the_kernel_shows_there(
    mounts: Mounts, everybody: list[Target], report: list[str]
) -> None:
    result = answers(BELOW, mounts, mounts.shared, everybody, report)
    found = different(result, mounts.machine)
    agree(found, everybody)
    assert result.answers > 300 * len(BELOW)


@pytest.mark.parametrize(
    ("kind", "names"), [("alone", (*BELOW[:2], *OTHERS[:2])), ("shared", HIS_IDS + OTHERS)]
)
def test_nobody_is_shown_more_than_by_the_kernel(
    mounts: Mounts, kind: str, names: tuple[str, ...], everybody: list[Target], report: list[str]
) -> None:
    result = answers(names, mounts, getattr(mounts, kind), everybody, report)
    found = more(result, mounts.machine)
    agree(found, everybody)
    assert result.answers > 200 * len(names)


# What is no file of the kernel's


def known(value: Any) -> Any:
    """A view without its values: which of them are there and which are not."""
    if isinstance(value, dict):
        return {name: known(one) for name, one in value.items()}
    return value is not None


def objects(text: str) -> Iterator[Any]:
    """JSON values that follow each other."""
    decode = json.JSONDecoder().raw_decode
    while text := text.lstrip():
        value, end = decode(text)
        yield value
        text = text[end:]


def test_a_joined_view_has_the_parts_that_its_reader_may_read(
    mounts: Mounts, everybody: list[Target]
) -> None:
    """As the user's own process reads them, without a mount."""
    views = [
        f"{target.pid}/{view}" for target in asked(everybody, mounts.shared) for view in JOINED
    ]
    printed = mounts.machine.ran(sys.executable, "-m", "procmirror", "--print", *views)
    mirrored = mounts.machine.ran("cat", *(mounts.shared.path / view for view in views))
    refused = [re.findall(r"(\d+/\w+\.\w+): (.*)", one.err) for one in (printed, mirrored)]
    assert refused[0] == refused[1]
    views = [view for view in views if view.endswith("process.json")]
    alone = mounts.machine.ran(sys.executable, "-m", "procmirror", "--print", *views).out
    shared = mounts.machine.ran("cat", *(mounts.shared.path / view for view in views)).out
    assert list(map(known, objects(shared))) == list(map(known, objects(alone)))


def test_a_view_of_all_processes_has_the_parts_that_its_reader_may_read(
    mounts: Mounts, everybody: list[Target]
) -> None:
    pids = {target.pid for target in everybody}
    printed = mounts.machine.ran(
        sys.executable, "-m", "procmirror", "--print", "processes.ndjson"
    ).out
    mirrored = mounts.machine.ran("cat", mounts.shared.path / "processes.ndjson").out
    alone, shared = (
        {one["pid"]: known(one) for one in map(json.loads, text.splitlines()) if one["pid"] in pids}
        for text in (printed, mirrored)
    )
    assert alone == shared and len(shared) == len(pids)


def test_in_his_user_namespace_a_joined_view_has_the_parts_that_are_to_be_had_there(
    mounts: Mounts, mirror: Mount, everybody: list[Target]
) -> None:
    """As root's mirror shows them there, of which the other tests are."""
    for target in everybody[1:4]:
        of_root, his = (
            ran(
                *mounts.machine.as_user(),
                "unshare",
                "--user",
                "--map-root-user",
                "cat",
                path / f"{target.pid}/process.json",
            )
            for path in (mirror.path, mounts.alone.path)
        )
        outside = mounts.machine.ran("cat", mounts.alone.path / f"{target.pid}/process.json").out
        assert known(json.loads(his.out)) == known(json.loads(of_root.out))
        if target.name == "ordinary":
            assert json.loads(outside)["exe"] and json.loads(his.out)["exe"] is None


def test_views_and_self_are_refused_to_everybody_else(
    mounts: Mounts, everybody: list[Target]
) -> None:
    world = World({target.name: target.pid for target in everybody}, mounts.machine.within)
    path, target = mounts.shared.path, everybody[1].pid
    links = [
        Item(f"/proc/{name}", f"{path}/{name}", "readlink") for name in ("self", "thread-self")
    ]
    names = (
        *OF_ALL,
        *(f"{target}/{view}" for view in JOINED),
        *(f"self/{view}" for view in JOINED),
    )
    views = [Item("/proc/self/comm", f"{path}/{name}", "open") for name in names]
    for name in (
        "root",
        "another",
        "owner with another's gid",
        "host root in a child user namespace",
        *HIS_IDS[:1],
    ):
        with session(name, world) as requester:
            allowed = [
                str(item)
                for item, outcome in requester.ask(views + links)
                if (outcome.mirror or outcome.before).errno == 0
            ]
        assert not allowed, (name, allowed)
    with session("owner", world) as requester:
        assert all(
            (outcome.mirror or outcome.before).errno == 0
            for _, outcome in requester.ask(views + links)
        )


# The daemon is a process of the user's


@pytest.mark.parametrize("name", ["owner", "root of the owner's new user namespace", "another"])
def test_nobody_looks_into_the_daemon(mounts: Mounts, name: str, everybody: list[Target]) -> None:
    """Its user may end it, as any process of that user's.

    Nobody without root's rights reads or steers it or its workers.
    """
    world = World({target.name: target.pid for target in everybody}, mounts.machine.within)
    with session(name, world) as requester:
        requester.one(
            "read", f"{mounts.shared.path}/self/comm"
        )  # now there is a helper, if one is needed

        def is_refused(pid: int, answer: Answer) -> bool:
            # A worker that nobody needs any more ends meanwhile.
            gone = answer.errno == errno.ENOENT and not Path(f"/proc/{pid}").exists()
            return answer.errno in REFUSED or gone

        for pid in mounts.shared.processes():
            for entry in ("mem", "environ", "maps", "auxv", "pagemap", "stack"):
                for proc in ("/proc", mounts.shared.path):
                    assert is_refused(pid, requester.one("read", f"{proc}/{pid}/{entry}"))
            for entry in ("root", "cwd", "exe", "fd/0", "ns/net"):
                link = f"{mounts.shared.path}/{pid}/{entry}"
                assert is_refused(pid, requester.one("readlink", link))
            for grip in ("traced", "looked_into", "stolen"):
                assert requester.one(grip, str(pid)).errno in {errno.EPERM, errno.ESRCH}


# What would be found out


@pytest.mark.parametrize(
    ("mutant", "names"),
    [
        ("namespaces_ignored", BELOW[:3]),
        ("helper_is_the_user", ("a user of the owner's rootless container",)),
        (
            "everybody_is_the_user",
            ("root of the owner's new user namespace", "owner with another's gid", "another"),
        ),
    ],
)
def test_a_broken_mirror_of_a_user_is_found_out(
    mounts: Mounts, mutant: str, names: tuple[str, ...], everybody: list[Target]
) -> None:
    program = ("-m", "tests.permissions.mutants", mutant)
    with mounts.machine.mounted(mutant, "-o", "allow_other", program=program) as mount:
        entries = Entries("/proc", str(mount.path))
        found = compare(
            names,
            entries,
            everybody[1:3],
            neighbours=everybody,
            within=mounts.machine.within,
            enough=lambda difference: difference.leak,
        )
    assert {one.requester for one in found.leaks} == set(names), told(found.differences, everybody)


@pytest.mark.parametrize("program", ["procmirror", "tests.permissions.mutants"])
def test_the_users_groups_are_for_who_has_them_too(
    mounts: Mounts, program: str, everybody: list[Target]
) -> None:
    """A procfs that only a group sees whole, mirrored by a user of that group, asked by a process of that user outside it."""
    target = next(target.pid for target in everybody if target.name == "root's")
    world = World({}, mounts.machine.within)
    hidden = mounts.machine.folder(f"hidden-{program}")
    assert mounts.machine.root(
        f"mount -t proc -o hidepid=invisible,gid={OTHER} none $1", hidden
    ) == (0, "", "")
    mutant = program.endswith("mutants")
    words = ("-m", program, *(["groups_not_compared"] if mutant else []), str(hidden))
    with mounts.machine.mounted(f"grouped-{program}", program=words, groups=[OTHER]) as mount:
        shown = f"{mount.path}/{target}/status"
        assert ran(*mounts.machine.as_user(OTHER), "cat", shown).code == 0
        with session("owner", world) as requester:
            assert requester.one("read", f"{hidden}/{target}/status").errno == errno.ENOENT
            assert (requester.one("read", shown).errno == 0) == mutant
