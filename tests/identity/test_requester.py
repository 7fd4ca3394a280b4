"""Who makes a request, by what a folder says that stands for /proc: the kernel's exceptional cases."""

from __future__ import annotations

import os
from typing import Any

import pytest

from procmirror.identity import file_calls, thread_calls
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import StillRunning, Unanswered
from procmirror.identity.identity import UNCHANGED, Identity
from procmirror.identity.requester import Requesters, RequestKind
from tests.identity.folders import FakeProc, status

ALL = (1 << 41) - 1
PTRACE = 1 << 19
IO_WORKER, USER_WORKER = 0x10, 0x4000
USERS, GROUPS = "24 27 1000 ", (24, 27, 1000)
CHILD = "user:[4026532999]"
X86 = os.uname().machine == "x86_64"
ACCESS = ["21", "269", "439"] if X86 else ["48", "439"]
# The same of programs of 32 bits.
ACCESS_32 = ["33", "307"] if X86 else ["33", "334"]
OPEN = "257" if X86 else "56"
# Calls that open files, each with the program counter of a program that has it.
WIDE, NARROW = "0x7f0a12345678", "0x5661b579"
OPENS = [("2", WIDE), ("257", WIDE), ("304", WIDE), ("437", WIDE), ("2", "0x401234")]
OPENS += [("5", NARROW), ("295", NARROW), ("437", NARROW), (str(1 << 30 | 257), NARROW)]
OPENS = OPENS if X86 else [("56", WIDE), ("265", WIDE), ("437", WIDE), ("322", NARROW)]
# Others, in which a thread may carry out what its ring was asked for: among them those that have
# the numbers of 32-bit programs that open files, and none.
RINGS = ["426 0x4 0x1 0x1 0x1 0x0 0x0 0x7ffc", "230 0x0 0x0 0x7ffc 0x0 0x0 0x0 0x7ffc"]
RINGS += ["-1 0x7ffc", f"{5 if X86 else 322} 0x3 0x7ffc 0x0 0x0 0x0 0x0 0x7ffc"]


ROOT = Identity(0, 0, (), ALL)


class Root(Credentials):
    """A daemon that may act as others, whoever runs the test."""

    def __init__(self, rest: Identity = ROOT, *, privileged: bool = True) -> None:
        super().__init__()
        self.rest, self.permitted, self.privileged = rest, rest.capabilities, privileged


def identified(
    fake: FakeProc, uid: int, gid: int, tid: int = 40, kind: RequestKind = RequestKind.OTHER
) -> Identity:
    return Requesters(fake.descriptor, Root()).identify(tid, uid, gid, kind).identity


def test_header_and_status_agree(fake: FakeProc) -> None:
    fake.task(effective=PTRACE, permitted=ALL)
    requester = Requesters(fake.descriptor, Root()).identify(40, 1000, 1000)
    assert requester.identity == Identity(1000, 1000, GROUPS, PTRACE)
    assert (requester.tid, requester.tgid, requester.foreign) == (40, 40, False)


def test_ids_for_files_may_differ_from_the_effective_ones(fake: FakeProc) -> None:
    fake.task(uids="0\t0\t0\t1000", gids="0\t7\t0\t1000", effective=ALL, permitted=ALL)
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, GROUPS, ALL, 0, 7)
    assert identified(fake, 1000, 1000).effective == (0, 7)


@pytest.mark.parametrize("flag", [IO_WORKER, USER_WORKER])
def test_of_a_kernel_worker_only_the_header_is_believed(fake: FakeProc, flag: int) -> None:
    """io_uring: its status shows the credentials with which the thread began."""
    rights: dict[str, Any] = {"tgid": 39, "effective": ALL, "permitted": ALL, "uids": 0, "gids": 0}
    fake.task(flags=0x400000 | flag, **rights)
    assert identified(fake, 0, 0) == Identity(0, 0, (), 0)
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, (), 0)
    # It began as root that worked for a user, who has given up the rest by now.
    fake.task(flags=0x400000 | flag, **rights | {"uids": "0\t0\t0\t1000", "gids": 1000})
    assert identified(fake, 1000, 1000).effective == (1000, 1000)
    # The same flags on the first thread of a process mean something else, or nothing.
    fake.task(flags=0x400000 | flag, **rights | {"tgid": 40})
    assert identified(fake, 0, 0).capabilities == ALL
    fake.task(flags=0x400000, **rights)
    assert identified(fake, 0, 0).capabilities == ALL


def test_flags_are_found_behind_any_name(fake: FakeProc) -> None:
    name = "a) S 1 1 1 1 1 0 ("
    fake.task(name=name, flags=0x400010, tgid=39, effective=ALL, permitted=ALL, uids=0, gids=0)
    assert identified(fake, 0, 0) == Identity(0, 0, (), 0)


def in_access(fake: FakeProc) -> None:
    """Have the thread be in access(2)."""
    fake.write(40, "syscall", f"{ACCESS[0]} 0x0 0x7ffc 0x4 0x0 0x0 0x0 0x7ffc 0x7f0a\n")


def test_where_the_header_disagrees_in_access_the_ids_for_files_are_the_real_ones(
    fake: FakeProc,
) -> None:
    """The effective ones, by which sysctls judge, stay."""
    fake.task(uids="1000\t0\t0\t0", gids="1000\t0\t0\t0", effective=ALL, permitted=ALL)
    in_access(fake)
    # A setuid program: the real ids, the groups, no capabilities.
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, GROUPS, 0, 0, 0)
    fake.task(uids="0\t1000\t0\t1000", gids=0, effective=0, permitted=ALL)
    in_access(fake)
    # Root that works for another.
    assert identified(fake, 0, 0) == Identity(0, 0, GROUPS, ALL, 1000)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (RequestKind.OTHER, OPEN),
        (RequestKind.OPEN, ACCESS[0]),
        (RequestKind.OPEN_AT_ONCE, ACCESS[0]),
    ],
)
def test_where_the_header_disagrees_outside_of_access_only_the_header_is_believed(
    fake: FakeProc, kind: RequestKind, call: str
) -> None:
    """As of a personality of io_uring, which may be root's without capabilities."""
    fake.task(uids=0, gids=0, effective=ALL, permitted=ALL)
    fake.write(40, "syscall", f"{call} 0x0 0x7ffc 0x4 0x0 0x0 0x0 0x7ffc 0x7f0a\n")
    for uid, gid in ((2000, 0), (0, 7), (1000, 2000)):
        assert identified(fake, uid, gid, kind=kind) == Identity(uid, gid, (), 0)


def test_where_the_header_disagrees_and_no_call_is_told_it_may_be_access(fake: FakeProc) -> None:
    """Then it has what it has in both: no effective id of root's, no further capability."""
    fake.task(uids="1000\t0\t0\t0", gids="1000\t0\t0\t0", effective=ALL, permitted=ALL)
    (fake.folder / "40" / "syscall").unlink()
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, GROUPS, 0)
    fake.task(uids="0\t1000\t0\t1000", gids=0, effective=0, permitted=ALL)
    (fake.folder / "40" / "syscall").unlink()
    assert identified(fake, 0, 0) == Identity(0, 0, GROUPS, 0, 1000)


def test_where_the_header_agrees_the_effective_ids_are_the_threads_whatever_the_call(
    fake: FakeProc,
) -> None:
    """A server of root's that works for a user, where the kernel does not tell its call."""
    fake.task(uids="1000\t0\t0\t1000", gids="1000\t0\t0\t1000", effective=PTRACE, permitted=ALL)
    (fake.folder / "40" / "syscall").unlink()
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, GROUPS, 0, 0, 0)


@pytest.mark.parametrize("call", [*ACCESS, *ACCESS_32])
def test_access_is_judged_by_other_capabilities(fake: FakeProc, call: str) -> None:
    words = f"{call} 0x0 0x7ffc 0x4 0x0 0x0 0x0 0x7ffc 0x7f0a\n"
    fake.task(effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", words)
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, GROUPS, 0)
    fake.task(uids=0, gids=0, effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", words)
    assert identified(fake, 0, 0) == Identity(0, 0, GROUPS, ALL)


@pytest.mark.parametrize(
    "words",
    [
        f"{OPEN} 0x0 0x7ffc 0x0 0x0 0x0 0x0 0x7ffc 0x7f0a\n",
        f"439 0x0 0x7ffc 0x4 {file_calls.AT_EACCESS:#x} 0x0 0x0 0x7ffc 0x7f0a\n",
        "-1 0x7ffc 0x7f0a\n",
    ],
)
def test_any_other_call_is_judged_by_the_effective_ones(fake: FakeProc, words: str) -> None:
    fake.task(effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", words)
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, GROUPS, PTRACE)


@pytest.mark.parametrize(("uid", "capabilities"), [(1000, 0), (0, PTRACE)])
def test_where_the_kernel_does_not_tell_calls_it_may_be_access(
    fake: FakeProc, uid: int, capabilities: int
) -> None:
    """As with Yama's ptrace_scope 3."""
    fake.task(uids=uid, gids=uid, effective=PTRACE, permitted=ALL)
    (fake.folder / "40" / "syscall").unlink()
    assert identified(fake, uid, uid).capabilities == capabilities


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("words", RINGS)
def test_who_works_for_a_ring_is_believed_its_ids_only(
    fake: FakeProc, uid: int, words: str
) -> None:
    """It may have a personality with fewer capabilities and groups, of which nothing tells."""
    for rights in ({"effective": ALL, "permitted": ALL, "groups": ""}, {"groups": "7 "}):
        fake.task(uids=uid, gids=uid, **rights)
        fake.write(40, "syscall", f"{words} {WIDE}\n")
        kind = RequestKind.OPEN_AT_ONCE
        assert identified(fake, uid, uid, kind=kind) == Identity(uid, uid, (), 0)


@pytest.mark.parametrize(("number", "counter"), OPENS)
def test_who_opens_something_is_believed(fake: FakeProc, number: str, counter: str) -> None:
    fake.task(effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", f"{number} 0x4 0x1 0x1 0x1 0x0 0x0 0x7ffc {counter}\n")
    known = Identity(1000, 1000, GROUPS, PTRACE)
    assert identified(fake, 1000, 1000, kind=RequestKind.OPEN_AT_ONCE) == known


@pytest.mark.parametrize(
    ("kind", "rights"),
    [
        # No ring opens without O_NONBLOCK what it does at once, and access(2) opens nothing.
        (RequestKind.OPEN, {"effective": PTRACE, "permitted": ALL}),
        # Nothing could be lost by a personality.
        (RequestKind.OPEN_AT_ONCE, {"groups": "1000 "}),
        # access(2) changes nothing of these rights.
        (RequestKind.OTHER, {"uids": 0, "gids": 0, "effective": ALL, "permitted": ALL}),
        (RequestKind.OTHER, {}),
    ],
)
def test_a_call_is_looked_at_only_where_it_matters(
    fake: FakeProc, kind: RequestKind, rights: dict[str, Any]
) -> None:
    fake.task(**rights)
    fake.write(40, "syscall", "running\n")
    uid = rights.get("uids", 1000)
    assert identified(fake, uid, uid, kind=kind).capabilities == rights.get("effective", 0)


def test_a_ring_where_the_kernel_does_not_tell_calls(fake: FakeProc) -> None:
    fake.task(effective=PTRACE, permitted=ALL)
    (fake.folder / "40" / "syscall").unlink()
    assert identified(fake, 1000, 1000, kind=RequestKind.OPEN_AT_ONCE).capabilities == PTRACE


def test_who_does_not_wait_yet_is_looked_at_again(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is preempted between its request and its sleep is shown as running."""
    fake.task(effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", "running\n")

    def yielded() -> None:
        fake.write(40, "syscall", f"{ACCESS[0]} 0x0 0x7ffc 0x4 0x0 0x0 0x0 0x7ffc 0x7f0a\n")

    monkeypatch.setattr(os, "sched_yield", yielded)
    assert identified(fake, 1000, 1000) == Identity(1000, 1000, GROUPS, 0)


@pytest.mark.parametrize("kind", [RequestKind.OTHER, RequestKind.OPEN_AT_ONCE])
def test_who_does_not_wait_for_long_is_not_waited_for(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch, kind: RequestKind
) -> None:
    """Others are served meanwhile."""
    fake.task(effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", "running\n")
    yields: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(None))
    with pytest.raises(StillRunning):
        identified(fake, 1000, 1000, kind=kind)
    assert 1 <= len(yields) <= 10


def test_the_call_of_a_number_that_another_thread_has_now(fake: FakeProc) -> None:
    """What is kept open of a thread is given back with its status."""
    fake.task(effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", f"{OPEN} 0x0 0x7ffc 0x0 0x0 0x0 0x0 0x7ffc 0x7f0a\n")
    requesters = Requesters(fake.descriptor, Root())
    assert requesters.identify(40, 1000, 1000).identity.capabilities == PTRACE
    requesters.forget()
    (fake.folder / "40" / "syscall").unlink()
    fake.write(40, "syscall", f"{ACCESS[0]} 0x0 0x7ffc 0x4 0x0 0x0 0x0 0x7ffc 0x7f0a\n")
    assert requesters.identify(40, 1000, 1000).identity.capabilities == 0
    requesters.forget()


def test_the_root_of_a_user_namespace(fake: FakeProc) -> None:
    fake.task(user=CHILD, uids=100000, gids=200000, effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", f"{ACCESS[-1]} 0x0 0x7ffc 0x4 0x0 0x0 0x0 0x7ffc 0x7f0a\n")
    requester = Requesters(fake.descriptor, Root()).identify(40, 100000, 200000)
    assert requester.foreign
    assert requester.user_namespace == CHILD
    assert requester.identity.capabilities == ALL
    # 0 is not the root there, and not every id of a child namespace is.
    fake.task(user=CHILD, uids=0, gids=0, effective=PTRACE, permitted=ALL)
    fake.write(40, "syscall", f"{ACCESS[-1]} 0x0 0x7ffc 0x4 0x0 0x0 0x0 0x7ffc 0x7f0a\n")
    assert identified(fake, 0, 0).capabilities == 0


def test_who_cannot_be_identified_is_refused(fake: FakeProc) -> None:
    fake.task()
    fake.write(41, "status", status().replace(b"CapEff", b"CapEfg"))
    fake.namespaces("41", "user:[1]")
    fake.write(42, "status", status())
    for tid in (0, 41, 42, 43):
        with pytest.raises(Unanswered, match="unknown"):
            identified(fake, 1000, 1000, tid)


def test_a_status_is_read_anew_for_each_request(fake: FakeProc) -> None:
    fake.task()
    requesters = Requesters(fake.descriptor, Root())
    assert requesters.identify(40, 1000, 1000).identity.groups == GROUPS
    fake.task(groups="7 ")
    assert requesters.identify(40, 1000, 1000).identity.groups == (7,)
    requesters.forget()


def test_a_status_that_has_grown_is_read_to_its_end(fake: FakeProc) -> None:
    fake.task()
    requesters = Requesters(fake.descriptor, Root())
    requesters.identify(40, 1000, 1000)
    groups = tuple(range(100000, 165536))
    fake.task(groups=" ".join(map(str, groups)))
    assert requesters.identify(40, 1000, 1000).identity.groups == groups
    requesters.forget()


def test_few_status_files_stay_open_and_all_are_given_back(fake: FakeProc) -> None:
    requesters = Requesters(fake.descriptor, Root())
    before = len(os.listdir("/proc/self/fd"))
    for tid in range(100, 140):
        fake.task(tid)
        requesters.identify(tid, 1000, 1000, RequestKind.OPEN_AT_ONCE)
    assert len(os.listdir("/proc/self/fd")) == before + 2 * 16
    requesters.forget()
    assert len(os.listdir("/proc/self/fd")) == before


OWNER = Identity(1000, 1000, GROUPS, 0)


@pytest.mark.parametrize(
    ("changed", "admitted"),
    [
        ({}, True),
        ({"effective": PTRACE, "permitted": PTRACE}, True),
        ({"groups": "27 24 "}, True),
        ({"groups": "24 1000 "}, False),
        ({"groups": "24 27 28 1000 "}, False),
        ({"uids": "1000\t1001\t1000\t1000"}, False),
        ({"gids": "1000\t1001\t1000\t1000"}, False),
        ({"user": CHILD, "uids": 1000, "groups": ""}, True),
    ],
)
def test_a_users_daemon_answers_its_user_only(
    fake: FakeProc, changed: dict[str, Any], *, admitted: bool
) -> None:
    fake.task(**changed)
    requesters = Requesters(fake.descriptor, Root(OWNER, privileged=False))
    if admitted:
        requesters.identify(40, 1000, 1000)
        return
    with pytest.raises(Unanswered, match="its owner only"):
        requesters.identify(40, 1000, 1000)


def test_a_users_daemon_answers_nobody_else(fake: FakeProc) -> None:
    fake.task(uids=1001)
    requesters = Requesters(fake.descriptor, Root(OWNER, privileged=False))
    with pytest.raises(Unanswered, match="its owner only"):
        requesters.identify(40, 1001, 1000)
    capable = Root(OWNER._replace(capabilities=PTRACE), privileged=False)
    fake.task()
    with pytest.raises(Unanswered, match="its owner only"):
        Requesters(fake.descriptor, capable).identify(40, 1000, 1000)


def test_a_worker_of_root_takes_on_the_ids_of_this_namespace(fake: FakeProc) -> None:
    fake.task(user=CHILD, uids=100007, gids=200007)
    requesters = Requesters(fake.descriptor, Root())
    requester = requesters.identify(40, 100007, 200007)
    assert requesters.worker_identity(requester) == requester.identity


def test_a_worker_of_a_user_takes_on_the_ids_inside(fake: FakeProc) -> None:
    requesters = Requesters(fake.descriptor, Root(OWNER, privileged=False))
    fake.task(user=CHILD, uids=100007, gids=200007, groups="200001 200002 ")
    requester = requesters.identify(40, 100007, 200007)
    assert requesters.worker_identity(requester) == Identity(7, 7, (1, 2), 0)
    # What is the daemon's own stays, whether it has a number inside or not.
    fake.task(user=CHILD, uids=1000, gids=1000)
    requester = requesters.identify(40, 1000, 1000)
    assert requesters.worker_identity(requester) == Identity(
        thread_calls.KEEP, thread_calls.KEEP, UNCHANGED, 0
    )
    cases: list[dict[str, Any]] = [
        {"uids": 99},
        {"gids": 99},
        {"groups": "99 "},
        {"uids": "1\t2\t3\t100007"},
    ]
    for changed in cases:
        usual: dict[str, Any] = {"uids": 100007, "gids": 200007, "groups": ""}
        fake.task(user=CHILD, **(usual | changed))
        parsed = requesters._identify(
            40,
            99 if changed.get("uids") == 99 else 100007,
            99 if "gids" in changed else 200007,
            RequestKind.OTHER,
        )
        with pytest.raises(Unanswered, match=r"no number|effective"):
            requesters.worker_identity(parsed)


def test_a_requester_without_a_thread_id_is_unknown(fake: FakeProc) -> None:
    """FUSE has 0 for a thread of a pid namespace that is not below the mount's."""
    fake.task(0)
    with pytest.raises(Unanswered):
        identified(fake, 1000, 1000, tid=0)
