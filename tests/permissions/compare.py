"""Whether the mirror answered as the kernel did, and what cannot be alike."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.permissions.operations import Answer, Item, Outcome

WRITING = {"access W", "open W"}
# Files that count what the whole machine does, the question itself included; the root has as many
# links as processes.
COUNTERS = {
    "",
    *(
        "buddyinfo",
        "diskstats",
        "interrupts",
        "loadavg",
        "meminfo",
        "pagetypeinfo",
        "schedstat",
        "slabinfo",
        "softirqs",
        "stat",
    ),
    *("timer_list", "uptime", "vmstat", "zoneinfo", "net/sockstat", "net/protocols", "key-users"),
    *(f"pressure/{resource}" for resource in ("cpu", "io", "irq", "memory")),
}
# Of a process memory in proportion to how many share it, the mirror's processes among them, and how
# long ago it used certain registers of the processor.
MOVING = {"smaps", "smaps_rollup", "numa_maps", "arch_status"}


@dataclass(frozen=True)
class Difference:
    """One operation that the mirror answered otherwise than the kernel.

    A leak where it let in what the kernel refused. `again` is what came of it when it was asked
    once more, a moment later.
    """

    requester: str
    pid: int
    item: Item
    outcome: Outcome
    leak: bool
    again: Outcome | None = None

    def __str__(self) -> str:
        where, operation = "/".join(self.entry), self.item.operation
        told = f"/{where}: {operation} by {self.requester}: {_both(self.outcome)}"
        return f"{told}; again {_both(self.again)}" if self.again else told

    @property
    def entry(self) -> tuple[str, ...]:
        """The parts of the path below /proc; "self" for the requester's own directory."""
        first, *rest = _below_proc(self.item.native).split("/")
        return ("self" if first in {str(self.pid), "self", "thread-self"} else first, *rest)


@dataclass(frozen=True)
class Impossibility:
    """A difference that no file system in user space can avoid.

    `test` (in test_impossibilities.py) shows it.
    """

    reason: str
    test: str
    covers: Callable[[Difference], bool]


def _waiting(difference: Difference) -> bool:
    entry, answer = difference.entry, difference.outcome.mirror or difference.outcome.before
    return (
        entry[0] == "self"
        and entry[-1] in {"wchan", "syscall", "status", "stat", "stack"}
        and answer.errno == 0
        and not difference.leak
    )


def _judged_at_read(difference: Difference) -> bool:
    entry, mirror = difference.entry, difference.outcome.mirror
    judged = {"io", "personality", "stack", "syscall", "timerslack_ns"}
    return (
        entry[0] == "self"
        and entry[-1] in judged
        and difference.item.operation == "read"
        and bool(mirror and mirror.errno)
    )


def _slack_in_a_user_namespace(difference: Difference) -> bool:
    entry, mirror = difference.entry, difference.outcome.mirror
    return (
        entry == ("self", "timerslack_ns")
        and difference.item.operation == "content"
        and apart(difference.requester)
        and mirror is not None
        and mirror.errno == errno.EPERM
    )


def _own_listing(difference: Difference) -> bool:
    return (
        difference.entry[0] == "self"
        and difference.entry[-1] in {"fd", "fdinfo"}
        and difference.item.operation == "listdir"
    )


def _possession(difference: Difference) -> bool:
    return difference.entry == ("keys",) and not difference.leak


def _pid_namespace(difference: Difference) -> bool:
    entry = difference.entry
    by_reader = entry[0] in {"loadavg", "sysvipc"} or (
        entry[:2] == ("sys", "kernel") and entry[-1] in {"pid_max", "ns_last_pid", "cad_pid"}
    )
    return (
        by_reader
        and difference.requester.endswith(("pid namespace", "container"))
        and not difference.leak
    )


def _read_by_another(difference: Difference) -> bool:
    return (
        difference.requester.endswith("personality")
        and difference.entry[0] == "sys"
        and difference.item.operation == "read"
    )


def _empty_mount_point(difference: Difference) -> bool:
    places = {("fs", "nfsd"), ("sys", "fs", "binfmt_misc")}
    return difference.item.operation == "listxattr" and difference.entry in places


def is_owner_of_setting(difference: Difference) -> bool:
    """Another owner below `sys`, and nothing else, for who has namespaces of its own."""
    kernel, mirror = difference.outcome.before, difference.outcome.mirror
    if difference.entry[0] != "sys" or mirror is None or not apart(difference.requester):
        return False
    owners = [re.sub(rb"\b\d+:\d+\b", b"", answer.data) for answer in (kernel, mirror)]
    return (kernel.errno, owners[0]) == (mirror.errno, owners[1]) and mirror.errno == 0


def _by_ring(difference: Difference) -> bool:
    return difference.requester.startswith("ring") and not difference.leak


IMPOSSIBLE = (
    Impossibility(
        "who looks at himself through the mirror waits for it meanwhile, and sees himself waiting",
        "test_who_looks_at_himself_sees_himself_waiting",
        _waiting,
    ),
    Impossibility(
        "what the kernel judges at each read of an open file is not judged as a look at oneself: others may hold it",
        "test_what_is_judged_at_each_read_knows_no_self",
        _judged_at_read,
    ),
    Impossibility(
        "a setting below `sys` has one owner for all, that of the daemon's namespaces: who owns it may lease it",
        "test_the_owner_of_a_setting_is_that_of_the_daemons_namespaces",
        is_owner_of_setting,
    ),
    Impossibility(
        "a thread of io_uring shows the credentials of its birth, so that of its requests only user and group are believed",
        "test_a_ring_acts_without_capabilities_and_groups",
        _by_ring,
    ),
    Impossibility(
        "who serves another user namespace has no right that the requester lacks there, "
        "and the kernel asks all but the very thread for CAP_SYS_NICE",
        "test_who_serves_a_user_namespace_has_no_right_that_the_requester_lacks",
        _slack_in_a_user_namespace,
    ),
    Impossibility(
        "a listing of oneself that only being oneself allows is made at OPENDIR, before its descriptor exists",
        "test_a_listing_of_oneself_lacks_its_own_descriptor",
        _own_listing,
    ),
    Impossibility(
        "keys are possessed by keyrings that no other process can have",
        "test_keys_are_possessed_only_by_oneself",
        _possession,
    ),
    Impossibility(
        "no process of the mirror enters the requester's pid namespace: it would be in the requester's power there",
        "test_what_depends_on_the_pid_namespace_is_refused_from_another",
        _pid_namespace,
    ),
    Impossibility(
        "READ does not say who reads: a sysctl opened under a ring's personality is read by its owner himself",
        "test_who_reads_a_descriptor_that_was_given_to_him_is_taken_for_who_opened_it",
        _read_by_another,
    ),
    Impossibility(
        "a mount point of the kernel's knows no attributes, the mirror's directories have none",
        "test_an_empty_mount_point_lists_no_attributes",
        _empty_mount_point,
    ),
)


def apart(requester: str) -> bool:
    """Whether a requester is in another mount, pid or user namespace than the mirror."""
    return any(
        word in requester
        for word in ("user namespace", "mount namespace", "pid namespace", "container")
    )


def _kept_from(difference: Difference) -> bool:
    """On purpose.

    Neither the kernel's log nor its memory is for who is apart (test_writing.py shows it).
    """
    refused = (
        difference.outcome.mirror is not None and difference.outcome.mirror.errno == errno.EACCES
    )
    return refused and difference.entry in {("kmsg",), ("kcore",)} and apart(difference.requester)


def judged(
    requester: str, pid: int, item: Item, outcome: Outcome, *, read_only: bool = True
) -> Difference | None:
    """None where the mirror answered as the kernel did before or after it.

    One that is read-only lets nothing be written.
    """
    kernel = (outcome.before, outcome.after or outcome.before)
    mirror = outcome.mirror or outcome.before
    if read_only and item.operation in WRITING:
        alike = mirror.errno == errno.EROFS or (
            mirror.errno != 0 and mirror.errno in {answer.errno for answer in kernel}
        )
        return None if alike else Difference(requester, pid, item, outcome, leak=mirror.errno == 0)
    if mirror.errno == 0 and all(answer.errno for answer in kernel):
        return Difference(requester, pid, item, outcome, leak=True)
    if mirror in kernel:
        return None
    if kernel[0].errno == kernel[1].errno == mirror.errno and (
        kernel[0] != kernel[1] or _counts(item)
    ):
        return None  # it changes by itself, faster than three questions
    difference = Difference(requester, pid, item, outcome, leak=False)
    return None if _kept_from(difference) else difference


def _counts(item: Item) -> bool:
    return _below_proc(item.native) in COUNTERS or item.native.rpartition("/")[2] in MOVING


def _below_proc(path: str) -> str:
    return path.partition("/proc/")[2]


def _both(outcome: Outcome) -> str:
    """The answers of the kernel, before and after if they differ, and that of the mirror."""
    kernel, mirror = [outcome.before], outcome.mirror or outcome.before
    if outcome.after is not None:
        kernel.append(outcome.after)
    return f"kernel {' then '.join(map(_told, kernel))}, mirror {_told(mirror)}"


def _told(answer: Answer) -> str:
    if answer.errno:
        return errno.errorcode.get(answer.errno, str(answer.errno))
    return repr(answer.data[:100].decode("utf-8", "backslashreplace"))
