"""Who asks.

Each requester is a process that takes on its identity by raw system calls, then serves
`sessions.Session`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.permissions import calls, ia32, ring
from tests.permissions.calls import (
    become,
    call,
    enter_new,
    in_child,
    in_order,
    join,
    mask,
    new_user_namespace,
    prctl,
)
from tests.permissions.changes import CHANGES
from tests.permissions.operations import OPERATIONS, Item, outcome
from tests.permissions.probes import PROBES
from tests.permissions.sessions import World, receive, send

# Two users whom nothing else knows; the group of each has the user's number.
OWNER, OTHER = 61001, 61002
# The first of 65,536 users whom the owner may have in a container.
SUBORDINATE = 6_100_000

Become = Callable[[], None]


@dataclass(frozen=True)
class Requester:
    """`become` is run by the process or, where `leader` is given, by a second thread, the first having run `leader`.

    `ring` says that the operations go through an io_uring warmed before `become`, with the
    personality of who ran `personality`, if that is given, and `how` they do (ring.Ring). `gate`
    says that rights are asked about by 32-bit system calls. `one_in`: a comparison asks one
    question of so many, where the kernel takes long for each.
    """

    become: Callable[[World], None]
    leader: Become | None = None
    ring: bool = False
    personality: Become | None = None
    how: str = ""
    gate: bool = False
    one_in: int = 1


def _alone(step: Become) -> Requester:
    return Requester(lambda _: step())


def _root_without(*names: str) -> Requester:
    return _alone(lambda: calls.set_capabilities(calls.permitted() & ~mask(*names)))


def _effective(ruid: int, euid: int) -> Requester:
    """A setuid program: the real ids of one, the effective and saved ones of another."""

    def step() -> None:
        capabilities = calls.permitted() if 0 in {ruid, euid} else 0
        calls.set_groups([ruid])
        prctl(calls.PR_SET_KEEPCAPS, 1)
        call("setresgid", ruid, euid, euid)
        call("setresuid", ruid, euid, euid)
        calls.set_capabilities(0 if euid else capabilities, capabilities)
        calls.settle()

    return _alone(step)


def _switched_fsuid() -> None:
    call("setgroups", 0, 0)
    call("setfsgid", OTHER)
    call("setfsuid", OTHER)


def _root_by_fsuid() -> None:
    """A server that is root for files only."""
    call("setgroups", 0, 0)
    call("setresuid", 0, OTHER, 0)
    call("setfsuid", 0)


def _mapped_root() -> None:
    """The host's root as root of a child namespace, as in a container without user mapping."""
    new_user_namespace("0 0 1")


def _member(world: World, *, capable: bool) -> None:
    """Who entered the target's user namespace, as its root or with nothing."""
    become(OWNER, OWNER)
    join(world.targets["in a child user namespace"], "user")
    if not capable:
        calls.set_capabilities(0)
    calls.settle()


def _container() -> None:
    """Everything of one's own, as a container runtime makes it."""
    flags = (
        calls.CLONE_NEWNS
        | calls.CLONE_NEWPID
        | calls.CLONE_NEWNET
        | calls.CLONE_NEWUTS
        | calls.CLONE_NEWIPC
    )
    enter_new(flags | calls.CLONE_NEWCGROUP)
    in_child()


def _rootless(inside: int) -> None:
    """As this user in a container as rootless engines make it.

    Its root is the owner, the others are its subordinate users.
    """
    container, (waiting, begin) = os.getpid(), os.pipe()
    helper = os.fork()
    if not helper:
        os.read(waiting, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{container}/{name}").write_text(
                f"0 {OWNER} 1\n1 {SUBORDINATE} 65536\n", encoding="ascii"
            )
        os._exit(0)
    owner()
    enter_new(calls.CLONE_NEWUSER)
    calls.settle()
    os.write(begin, b"!")
    os.waitpid(helper, 0)
    become(inside, inside, (), 0 if inside else calls.permitted())


def _other(flags: int) -> dict[str, Requester]:
    name = {
        calls.CLONE_NEWNET: "network",
        calls.CLONE_NEWUTS: "uts",
        calls.CLONE_NEWIPC: "ipc",
        calls.CLONE_NEWCGROUP: "cgroup",
        calls.CLONE_NEWNS: "mount",
    }[flags]
    return {
        f"root in another {name} namespace": _alone(partial(enter_new, flags)),
        f"owner in another {name} namespace": _alone(in_order(partial(enter_new, flags), owner)),
    }


def _rings_with_fewer_rights() -> dict[str, Requester]:
    """Servers that drop rights by a personality of the same user and group."""
    some = mask("CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN")

    def idle_other() -> None:
        become(OTHER, OTHER, (), some)
        calls.set_capabilities(0, some)

    def idle_root() -> None:
        calls.set_capabilities(0, calls.permitted())

    def awake() -> None:
        calls.set_capabilities(calls.permitted())

    return {
        "ring inline of another, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="inline", personality=idle_other
        ),
        "ring inline of root, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="inline", personality=idle_root
        ),
        "ring later of root, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="later", personality=idle_root
        ),
        "ring drained of root, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="drained", personality=idle_root
        ),
        "ring fixed of another, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="fixed", personality=idle_other
        ),
        "ring fixed of root, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="fixed", personality=idle_root
        ),
        "ring polled of another, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="polled", personality=idle_other
        ),
        "ring polled of root, personality without capabilities": Requester(
            lambda _: awake(), ring=True, how="polled", personality=idle_root
        ),
        "ring of another, personality without capabilities": Requester(
            lambda _: awake(), ring=True, personality=idle_other
        ),
    }


def _by_the_gate() -> dict[str, Requester]:
    """Programs of 32 bits, which only x86_64 runs by a gate of its own."""
    if os.uname().machine != "x86_64":
        return {}
    some = mask("CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE")
    return {
        "owner by 32-bit calls": Requester(lambda _: owner(), gate=True),
        "another with capabilities by 32-bit calls": Requester(
            lambda _: become(OTHER, OTHER, (), some), gate=True
        ),
        "root without effective capabilities by 32-bit calls": Requester(
            lambda _: calls.set_capabilities(0, calls.permitted()), gate=True
        ),
    }


owner = partial(become, OWNER, OWNER)
other = partial(become, OTHER, OTHER)

REQUESTERS: dict[str, Requester] = {
    "root": _alone(lambda: None),
    "root without capabilities": _alone(lambda: calls.set_capabilities(0)),
    "root without SYS_PTRACE": _root_without("CAP_SYS_PTRACE"),
    "root without SYS_PTRACE, PERFMON, SYS_ADMIN": _root_without(
        "CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_SYS_ADMIN"
    ),
    "root with fsuid of another": _alone(_switched_fsuid),
    "another with root's fsuid": _alone(_root_by_fsuid),
    **{
        f"uid 0 with {name} only": _alone(partial(calls.set_capabilities, mask(name)))
        for name in calls.CAPABILITIES
    },
    "owner": _alone(owner),
    "owner, not dumpable": _alone(in_order(owner, partial(prctl, calls.PR_SET_DUMPABLE, 0))),
    "owner with another's gid": _alone(partial(become, OWNER, OTHER, [OWNER])),
    "owner, no new privileges": _alone(
        in_order(owner, partial(prctl, calls.PR_SET_NO_NEW_PRIVS, 1))
    ),
    "another": _alone(other),
    "another, not dumpable": _alone(in_order(other, partial(prctl, calls.PR_SET_DUMPABLE, 0))),
    "another in the owner's group": _alone(partial(become, OTHER, OTHER, [OWNER])),
    "another in group 0": _alone(partial(become, OTHER, OTHER, [0])),
    "another with gid 0": _alone(partial(become, OTHER, 0)),
    **{
        f"another with {name}": _alone(partial(become, OTHER, OTHER, (), mask(name)))
        for name in calls.CAPABILITIES
    },
    "another with CAP_SYS_RESOURCE": _alone(
        lambda: become(OTHER, OTHER, (), calls.permitted() & 1 << calls.CAP_SYS_RESOURCE)
    ),
    "another with SYS_PTRACE and DAC_READ_SEARCH": _alone(
        partial(become, OTHER, OTHER, (), mask("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"))
    ),
    # The kernel sorts the groups for each worker, and prints them whenever it tells who the requester is.
    "another with 65,536 groups": Requester(
        lambda _: become(OTHER, OTHER, range(100_000, 165_536)), one_in=8
    ),
    "another who calls himself Tgid": _alone(
        in_order(other, partial(prctl, calls.PR_SET_NAME, b"Tgid:1\0"))
    ),
    "another who names its capabilities": _alone(
        in_order(other, partial(prctl, calls.PR_SET_NAME, b"CapEff:\tffffff\0"))
    ),
    "another whose name is a line": _alone(
        in_order(other, partial(prctl, calls.PR_SET_NAME, b"x\nUid:\t0\t0\t0\t0\0"))
    ),
    "setuid: owner's ruid, another's euid": _effective(OWNER, OTHER),
    "setuid: another's ruid, owner's euid": _effective(OTHER, OWNER),
    "setuid: another's ruid, root's euid": _effective(OTHER, 0),
    "setuid: root's ruid, another's euid": _effective(0, OTHER),
    "root of the owner's new user namespace": _alone(
        in_order(owner, partial(new_user_namespace, f"0 {OWNER} 1"))
    ),
    "root of another's new user namespace": _alone(
        in_order(other, partial(new_user_namespace, f"0 {OTHER} 1"))
    ),
    "host root in a child user namespace": _alone(_mapped_root),
    "owner unmapped in a new user namespace": _alone(
        in_order(owner, partial(new_user_namespace, None))
    ),
    "owner without capabilities in a new user namespace": _alone(
        in_order(
            owner,
            partial(new_user_namespace, f"{OWNER} {OWNER} 1"),
            partial(calls.set_capabilities, 0),
        )
    ),
    "root of the target's user namespace": Requester(partial(_member, capable=True)),
    "member of the target's user namespace": Requester(partial(_member, capable=False)),
    **_other(calls.CLONE_NEWNET),
    **_other(calls.CLONE_NEWUTS),
    **_other(calls.CLONE_NEWIPC),
    **_other(calls.CLONE_NEWCGROUP),
    **_other(calls.CLONE_NEWNS),
    "root with another clock": _alone(calls.later_clock),
    "owner with another clock": _alone(in_order(calls.later_clock, owner)),
    "root in a child pid namespace": _alone(
        in_order(partial(enter_new, calls.CLONE_NEWPID), in_child)
    ),
    "owner in a child pid namespace": _alone(
        in_order(partial(enter_new, calls.CLONE_NEWPID), in_child, owner)
    ),
    "root in a container": _alone(_container),
    "owner in a container": _alone(in_order(_container, owner)),
    "root of the owner's container": _alone(
        in_order(owner, partial(new_user_namespace, f"0 {OWNER} 1"), _container, calls.settle),
    ),
    "root of the owner's rootless container": _alone(partial(_rootless, 0)),
    "a user of the owner's rootless container": _alone(partial(_rootless, 1000)),
    "a thread of root's that is another": Requester(lambda _: other(), leader=lambda: None),
    "a thread of another's that is root": Requester(lambda _: None, leader=other),
    "a thread of the owner's": Requester(lambda _: owner(), leader=owner),
    "a thread of another's with CAP_SYS_NICE": Requester(
        lambda _: become(OTHER, OTHER, (), mask("CAP_SYS_NICE")), leader=other
    ),
    "ring warmed as root, then another": Requester(lambda _: other(), ring=True),
    "ring warmed as root, then without capabilities": Requester(
        lambda _: calls.set_capabilities(0), ring=True
    ),
    "ring polled, made as root, then another": Requester(
        lambda _: other(), ring=True, how="polled"
    ),
    "ring of another with root's personality": Requester(
        lambda _: other(), ring=True, personality=lambda: None
    ),
    **_rings_with_fewer_rights(),
    **_by_the_gate(),
    "landlocked owner": _alone(in_order(owner, calls.landlock)),
    "landlocked root": _alone(calls.landlock),
}


def _serve(requester: Requester, world: World) -> None:
    operations = OPERATIONS | PROBES | CHANGES
    if requester.ring:
        operations = ring.operations(requester.personality, requester.how)
    if requester.gate:
        operations = operations | ia32.operations()
    requester.become(world)
    send(1, int(os.readlink("/proc/self")))
    while (items := receive(0, list[Item])) is not None:
        send(1, [outcome(item, operations) for item in items])


def main() -> None:
    """Be the requester named on the command line."""
    requester = REQUESTERS[sys.argv[1]]
    world = receive(0, World)
    assert world is not None
    prctl(calls.PR_SET_PDEATHSIG, calls.SIGKILL)
    if requester.leader is None:
        _serve(requester, world)
        return
    thread = threading.Thread(target=_serve, args=(requester, world))
    thread.start()
    requester.leader()
    thread.join()


if __name__ == "__main__":
    main()
