"""With `-o write` the kernel decides who may change what, as it does on /proc.

Asked about two targets that are alike.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.mounting import Mount, mounted
from tests.permissions.changes import VALUES
from tests.permissions.compare import Difference, apart, judged
from tests.permissions.operations import Answer, Item
from tests.permissions.sessions import World, session
from tests.permissions.targets import UNMAPPED, Target, targets
from tests.programs import Ran, ran

ASKED = ("ordinary", "root's", "not dumpable", "in a child user namespace", UNMAPPED, "zombie")
SOME = {"ordinary", "root's", UNMAPPED}
OF_PROCESSES = (
    *(name for name in VALUES if name not in {"ip_default_ttl", "memory"}),
    "limits",
    "environ",
    "status",
    "io",
)
# The first value of each is what it is already; where there is no other, nothing else is a harmless
# one.
NUMBERS = (
    *(
        "sys/vm/swappiness",
        "sys/vm/mmap_min_addr",
        "sys/kernel/pid_max",
        "sys/kernel/randomize_va_space",
    ),
    *(
        "sys/net/core/somaxconn",
        "sys/net/core/bpf_jit_harden",
        "sys/user/max_user_namespaces",
        "sys/fs/pipe-max-size",
    ),
)
TEXTS = ("sys/kernel/core_pattern", "sys/kernel/hostname")
OF_THE_MACHINE = (
    "version",
    "mtrr",
    "net/dev",
    "irq/default_smp_affinity",
    "pressure/memory",
    "uptime",
)
ONLY_OPENED = ("kmsg", "sys/vm/drop_caches", "sys/kernel/osrelease", "sys/kernel/random/boot_id")
OPENING = ("open W", "opened_both_ways", "opened_to_empty")
AROUND = (
    *(("emptied", 0), ("emptied", 7), ("dated", 7), ("owner_changed", 0)),
    *(("synced", 0), ("removed", 0), ("renamed", 0), ("made", 0)),
)
WHOLE = ("root", "root without capabilities", "owner", "another", "another with CAP_DAC_OVERRIDE")
REQUESTERS = (
    *WHOLE,
    *(
        "root with fsuid of another",
        "another with root's fsuid",
        "owner with another's gid",
        "another with gid 0",
    ),
    *(
        "another in group 0",
        "another with CAP_SYS_NICE",
        "another with CAP_SYS_RESOURCE",
        "another with CAP_SYS_ADMIN",
    ),
    *(
        "another with CAP_NET_ADMIN",
        "setuid: another's ruid, root's euid",
        "setuid: root's ruid, another's euid",
    ),
    *(
        "a thread of root's that is another",
        "root in another network namespace",
        "owner in another uts namespace",
    ),
)
APART = (
    *("root in another mount namespace", "root in a child pid namespace", "root in a container"),
    *(
        "root of the owner's new user namespace",
        "root of the target's user namespace",
        "host root in a child user namespace",
    ),
)


Twins = list[tuple[Target, Target]]


@pytest.fixture(scope="module")
def writable() -> Iterator[Mount]:
    with mounted("-o", "write,rw,suid,dev,exec") as mount:
        yield mount


@pytest.fixture(scope="module")
def twins() -> Iterator[Twins]:
    with targets(ASKED) as first, targets(ASKED) as second:
        yield list(zip(first[1:], second[1:], strict=True))


def about(pair: tuple[Target, Target], mirror: Path, *, whole: bool) -> Iterator[Item]:
    """One target on /proc, its twin in the mirror."""
    for entry in OF_PROCESSES:
        native, mirrored = f"/proc/{pair[0].pid}/{entry}", f"{mirror}/{pair[1].pid}/{entry}"
        if entry == "autogroup" and not (whole and pair[0].name == "ordinary"):
            continue  # the kernel takes one a tenth of a second, and all targets are in one group
        for number in range(3 if entry in VALUES else 1):
            yield Item(native, mirrored, "put", number)
        if whole and entry != "autogroup":
            operations = (*OPENING, "access W", "appended", "put_twice", "replaced")
            yield from (Item(native, mirrored, operation) for operation in operations)
    comm = (f"/proc/{pair[0].pid}/comm", f"{mirror}/{pair[1].pid}/comm")
    for operation, argument in (*AROUND, ("mode_changed", 0o600), ("put_large", 1 << 20)):
        yield Item(*comm, operation, argument)
    yield Item(
        f"/proc/{pair[0].pid}/coredump_filter",
        f"{mirror}/{pair[1].pid}/coredump_filter",
        "put_large",
        300_000,
    )


def everywhere(mirror: Path, *, whole: bool) -> Iterator[Item]:
    """The machine's own, where both sides are the same."""
    for name in (*NUMBERS, *TEXTS, *OF_THE_MACHINE, *ONLY_OPENED):
        native, mirrored = f"/proc/{name}", f"{mirror}/{name}"
        yield from (
            Item(native, mirrored, operation)
            for operation in ((*OPENING, "access W") if whole else OPENING)
        )
        if name not in ONLY_OPENED:
            for number in range(1 if name in TEXTS else 3):
                yield Item(native, mirrored, "put", number)
    for name in ("version", "sys/kernel/hostname"):
        for operation, argument in AROUND:
            yield Item(f"/proc/{name}", f"{mirror}/{name}", operation, argument)
    yield Item("/proc/sys/kernel/hostname", f"{mirror}/sys/kernel/hostname", "mode_changed", 0o600)


def differences(mount: Mount, names: Iterable[str], pairs: Twins) -> list[Difference]:
    """What the mirror answered otherwise to these requesters, one after the other."""
    world = World({pair[0].name: pair[0].pid for pair in pairs})
    found = []
    for name in names:
        with session(name, world) as requester:
            whole = name in WHOLE
            asked_about = [pair for pair in pairs if whole or pair[0].name in SOME]
            items = [item for pair in asked_about for item in about(pair, mount.path, whole=whole)]
            items += everywhere(mount.path, whole=whole)
            asked = requester.ask(items)
            found += [
                judged(name, requester.pid, item, outcome, read_only=False)
                for item, outcome in asked
            ]
    return [difference for difference in found if difference]


def told(found: list[Difference]) -> str:
    return "\n".join([f"{len(found)} differences", *map(str, found[:40])])


def test_whoever_may_write_writes_and_nobody_else(writable: Mount, twins: Twins) -> None:
    found = differences(writable, REQUESTERS, twins)
    assert not found, told(found)


@pytest.mark.parametrize("name", APART)
def test_who_is_apart_writes_nothing_and_does_not_read_the_log(
    writable: Mount, twins: Twins, name: str
) -> None:
    """A sysctl asks for root's uid alone, and what keeps a container's root from it is mounted in the container."""
    assert apart(name)
    world = World({pair[0].name: pair[0].pid for pair in twins})
    with session(name, world) as requester:
        for entry in (*OF_PROCESSES, "attr/current"):
            for pair in twins[:3]:
                for operation in (*OPENING, "access W", "put", "emptied", "dated"):
                    path = f"{writable.path}/{pair[1].pid}/{entry}"
                    assert requester.one(operation, path).errno == errno.EROFS, (operation, path)
        for entry in (*NUMBERS, *TEXTS, *OF_THE_MACHINE[:2]):
            if requester.one("lstat", f"{writable.path}/{entry}").errno:
                continue  # it is not in the requester's namespaces, or depends on one that nobody enters
            for operation in (*OPENING, "access W", "put"):
                assert requester.one(operation, f"{writable.path}/{entry}").errno == errno.EROFS, (
                    operation,
                    entry,
                )
        assert requester.one("open", f"{writable.path}/kmsg").errno in {errno.EACCES, errno.EPERM}


def test_who_may_read_the_log_is_who_could_on_this_machine(mirror: Mount, writable: Mount) -> None:
    """Of a mirror that is read-only too."""
    for mount in (mirror, writable):
        for name, told in (
            ("root", 0),
            ("root in another mount namespace", errno.EACCES),
            ("root in a container", errno.EACCES),
        ):
            with session(name) as requester:
                native = requester.one("open", "/proc/kmsg").errno
                assert requester.one("open", f"{mount.path}/kmsg").errno == (told or native)


def test_what_is_not_of_procfs_and_memory_are_not_written(writable: Mount, twins: Twins) -> None:
    """Neither by root nor by the process's own owner."""
    for name in ("root", "owner"):
        with session(name) as requester:
            for entry in (
                "mem",
                f"task/{twins[0][1].pid}/mem",
                "status.txt",
                "comm.json",
                "uid_map.json",
                "environ.txt",
            ):
                path = f"{writable.path}/{twins[0][1].pid}/{entry}"
                assert os.path.exists(path)
                for operation in (*OPENING, "access W", "put", "emptied", "dated"):
                    assert requester.one(operation, path) == Answer(errno.EROFS), (operation, entry)


def test_without_the_option_nothing_is_written(mirror: Mount, twins: Twins) -> None:
    with session("root") as requester:
        for entry in OF_PROCESSES:
            for operation in (*OPENING, "access W", "put", "emptied", "dated"):
                assert (
                    requester.one(operation, f"{mirror.path}/{twins[0][1].pid}/{entry}").errno
                    == errno.EROFS
                )
        for operation in (*OPENING, "put"):
            assert requester.one(operation, f"{mirror.path}/sys/vm/swappiness").errno == errno.EROFS


def test_a_sysctl_is_that_of_the_writers_namespace(writable: Mount) -> None:
    here = (
        Path("/proc/sys/kernel/domainname").read_bytes(),
        Path("/proc/sys/net/ipv4/ip_default_ttl").read_bytes(),
    )
    with session("root in another uts namespace") as requester:
        assert requester.one("put", f"{writable.path}/sys/kernel/domainname", 1) == Answer(
            0, b"[5] words\n"
        )
    with session("root in another network namespace") as requester:
        assert requester.one("put", f"{writable.path}/sys/net/ipv4/ip_default_ttl", 1) == Answer(
            0, b"[2] 77\n"
        )
    now = (
        Path("/proc/sys/kernel/domainname").read_bytes(),
        Path("/proc/sys/net/ipv4/ip_default_ttl").read_bytes(),
    )
    assert now == here


@pytest.mark.parametrize("name", ["root", "owner", "another with CAP_SYS_NICE"])
def test_oneself(writable: Mount, name: str) -> None:
    """As on /proc, but for what the kernel wants of the very process."""
    with session(name) as requester:
        for entry, values in VALUES.items():
            if entry in {"autogroup", "loginuid", "ip_default_ttl", "memory"}:
                continue
            for number in range(len(values)):
                item = Item(
                    f"/proc/{requester.pid}/{entry}",
                    f"{writable.path}/{requester.pid}/{entry}",
                    "put",
                    number,
                )
                ((_, outcome),) = requester.ask([item])
                difference = judged(name, requester.pid, item, outcome, read_only=False)
                assert (difference is None) or entry in {"comm", "timerslack_ns"}, difference
                assert difference is None or not difference.leak


def test_only_oneself_gives_oneself_a_name_and_a_slack(writable: Mount) -> None:
    """The kernel compares the writer with the process itself, and the writer is the mirror."""
    with session("owner") as requester:
        assert requester.one("put", f"/proc/{requester.pid}/comm").errno == 0
        assert requester.one("put", f"{writable.path}/{requester.pid}/comm").errno == errno.EINVAL
        assert requester.one("put", f"/proc/{requester.pid}/timerslack_ns").errno == 0
        assert (
            requester.one("put", f"{writable.path}/{requester.pid}/timerslack_ns").errno
            == errno.EPERM
        )


def test_the_daemon_and_its_workers_are_written_to_as_any_process(writable: Mount) -> None:
    """Which of them writes would be oneself to itself, and could do more."""
    for name in ("root", "root without capabilities", "another"):
        with session(name) as requester:
            for pid in writable.processes():
                for entry in ("comm", "timerslack_ns", "loginuid"):
                    native, mirrored = f"/proc/{pid}/{entry}", f"{writable.path}/{pid}/{entry}"
                    assert (
                        requester.one("put", mirrored, 2).errno
                        == requester.one("put", native, 2).errno
                    ), (name, entry)


def test_programs_that_write_to_proc_write_to_a_mirror_over_it() -> None:
    script = """
        "$0" -m procmirror -o write /proc && grep -c '^/proc /proc fuse.procmirror rw,' /proc/self/mounts
        sysctl -w kernel.domainname=mirrored && choom -n 321 -- cat /proc/self/oom_score_adj
        umount /proc && cat /proc/sys/kernel/domainname
    """
    answer = ran("unshare", "-mu", "--propagation", "private", "sh", "-c", script, sys.executable)
    assert answer == Ran(0, "1\nkernel.domainname = mirrored\n321\nmirrored\n", "")


def test_nothing_is_written_where_there_are_no_bytes(writable: Mount, twins: Twins) -> None:
    """FUSE does not ask then, and the kernel's file may have something to say."""
    with session("root") as requester:
        assert requester.one("put_large", f"/proc/{twins[0][1].pid}/comm", 0).errno == errno.EINVAL
        assert requester.one("put_large", f"{writable.path}/{twins[0][1].pid}/comm", 0).errno == 0


def test_to_have_opened_it_of_oneself_does_not_help_who_writes(writable: Mount) -> None:
    with session("owner") as requester:
        for proc in ("/proc", writable.path):
            assert (
                requester.one("handed_on", f"{proc}/{requester.pid}/timerslack_ns").data
                == b"%d" % errno.EPERM
            )


def test_who_writes_to_what_he_was_given_is_taken_for_who_opened_it(writable: Mount) -> None:
    """The kernel judges a sysctl at each write; WRITE does not say who it is, as READ does not."""
    with session("root") as requester:
        for proc, told in (("/proc", errno.EPERM), (writable.path, 0)):
            assert requester.one("given_away", f"{proc}/sys/vm/swappiness").data == b"%d" % told


@pytest.fixture
def mutant(request: pytest.FixtureRequest) -> Iterator[Mount]:
    with mounted(
        "-o", "write", program=("-m", "tests.permissions.mutants", request.param), quiet=False
    ) as mount:
        yield mount


@pytest.mark.parametrize("mutant", ["opened_by_the_daemon"], indirect=True)
def test_a_mirror_that_writes_as_itself_is_found_out(mutant: Mount, twins: Twins) -> None:
    leaks = {
        difference.entry[-1]
        for difference in differences(mutant, ["another"], twins)
        if difference.leak
    }
    assert leaks >= {"oom_score_adj", "clear_refs", "timerslack_ns", "swappiness", "core_pattern"}


@pytest.mark.parametrize("mutant", ["served_everywhere"], indirect=True)
def test_a_mirror_that_writes_for_containers_is_found_out(mutant: Mount) -> None:
    with session("root in another mount namespace") as requester:
        assert requester.one("put", f"{mutant.path}/sys/vm/swappiness").errno == 0
        assert requester.one("open", f"{mutant.path}/kmsg").errno == 0


@pytest.mark.parametrize("mutant", ["oneself_when_writing"], indirect=True)
def test_a_right_on_oneself_that_outlives_the_opening_is_found_out(mutant: Mount) -> None:
    with session("owner") as requester:
        assert (
            requester.one("handed_on", f"{mutant.path}/{requester.pid}/timerslack_ns").data == b"0"
        )
