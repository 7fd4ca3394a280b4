"""One rule of acting as the requester is taken away, then the command runs as ever."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from msgspec import structs

from procmirror.cli import main
from procmirror.fuse import parts, walking, writing
from procmirror.fuse.execution import Execution
from procmirror.fuse.files import Files
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.open_files import Opener, RawFile
from procmirror.fuse.refusals import Refusals
from procmirror.fuse.self_access import SelfAccess
from procmirror.identity import credentials, requester, system_call, thread_calls
from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import CAP_SYS_NICE, CAP_SYS_PTRACE, Identity
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror import places, traits
from procmirror.procfs import processes
from procmirror.workers import process
from tests.permissions.calls import call


def fsuid_only() -> None:
    """Only what decides about files in general is changed, as most file servers do."""

    def assume(
        self: Credentials, identity: Identity, capabilities: int, *, whole: bool = False
    ) -> None:
        del self, capabilities, whole
        thread_calls.setgroups(identity.groups)
        call("setfsgid", identity.gid)
        call("setfsuid", identity.uid)

    def restore(self: Credentials, identity: Identity) -> None:
        del identity
        call("setfsuid", 0)
        call("setfsgid", 0)
        thread_calls.setgroups(self.rest.groups)

    _replace(Credentials, assume=assume, restore=restore)


def capabilities_kept() -> None:
    """Users are changed, the capabilities of root without them are not."""
    _replace(thread_calls, capset=lambda *_: None)


def groups_kept() -> None:
    """The daemon's own groups go with everybody."""
    _replace(thread_calls, setgroups=lambda _: None)


def namespaces_ignored() -> None:
    """What is root and capable in a child user namespace is taken for so in ours."""
    identify = Requesters._identify

    def as_ours(self: Requesters, *of: Any) -> Requester:
        return identify(self, *of)._replace(foreign=False)

    _replace(Requesters, _identify=as_ours)


def opened_by_the_daemon() -> None:
    """Nobody is acted for."""
    _replace(Credentials, acting_as=lambda *_, **__: contextlib.nullcontext())


def answers_about_itself() -> None:
    """The daemon and its workers are asked by themselves."""
    _replace(processes.Proc, _is_own=lambda *_: False)
    _replace(process, _number=lambda _: b"")


def self_at_every_read() -> None:
    """The right to look at oneself lasts as long as the descriptor."""
    open_raw = Files._open_raw

    async def keeping(
        self: Files, opener: Any, charge: Any, execution: Execution, requester: Any
    ) -> RawFile:
        opener = structs.replace(opener, execution=execution)
        return await open_raw(self, opener, charge, execution, requester)

    _replace(Files, _open_raw=keeping)


def oneself_when_writing() -> None:
    """What stands for oneself is added when a file is written to as well."""
    bonus = CAP_SYS_NICE | CAP_SYS_PTRACE
    written = writing._written

    def with_bonus(opener: Opener) -> Execution:
        return written(opener).with_self_capabilities(bonus)

    _replace(writing, _written=with_bonus)


def served_everywhere() -> None:
    """It is not asked in which mount and pid namespace a writer is."""
    _replace(Refusals, is_apart=lambda *_: False)


def rings_believed() -> None:
    """The status of a thread of io_uring is taken for that of its request."""
    # Such a thread shows the system call of the thread that it was made by, too.
    _replace(requester, is_kernel_worker=lambda *_: False, is_open_call=lambda *_: True)


def submitters_believed() -> None:
    """The status of who submits to an io_uring is taken for that of its request."""
    _replace(requester, is_open_call=lambda *_: True)


def submitters_known_by_their_call() -> None:
    """Only a thread in io_uring_enter is taken for one that carries out requests of a ring."""
    _replace(requester, is_open_call=lambda call: call[:1] != [b"426"])


def gate_ignored() -> None:
    """The system calls of 32-bit programs are taken for those of the same numbers of 64 bits."""
    _replace(system_call, _ACCESS=system_call._ACCESS_64)


def slack_of_any_thread() -> None:
    """A thread is taken for the first one of its process where the kernel compares threads."""

    def capabilities(
        self: SelfAccess, process: Any, who: Requester, place: Any, name: bytes
    ) -> int:
        own = self.is_own(process, who)
        return places.self_capabilities(place.pattern, name) if own else 0

    _replace(SelfAccess, capabilities=capabilities)


def slack_without_the_right() -> None:
    """What the kernel asks for the slack of others is asked for one's own."""
    capabilities = places.self_capabilities
    _replace(
        places,
        self_capabilities=lambda pattern, name: capabilities(pattern, name) & ~CAP_SYS_NICE,
    )


def access_as_effective() -> None:
    """The system call access(2) is answered with the capabilities of the moment."""
    _replace(requester, is_access_call=lambda *_: False)


def everybody_is_the_user() -> None:
    """A user's daemon asks nothing about those whom FUSE lets in.

    It has no more rights than its user, anyway.
    """

    def identify(self: Requesters, tid: int, *_: Any) -> Requester:
        return Requester(tid, tid, self._credentials.rest, self.namespaces.user, foreign=False)

    _replace(Requesters, identify=identify)


def helper_is_the_user() -> None:
    """Who serves a user namespace enters it, but stays the daemon's user there."""
    _replace(credentials, take_on=lambda _: None)


def groups_not_compared() -> None:
    """A user's daemon answers that user also after giving up groups that it has."""
    admitted = Requesters._is_admitted

    def with_ours(self: Requesters, other: Requester) -> bool:
        groups = self._credentials.rest.groups
        return admitted(self, other._replace(identity=other.identity._replace(groups=groups)))

    _replace(Requesters, _is_admitted=with_ours)


def names_for_everybody() -> None:
    """Every directory is looked up in without asking who looks."""
    original = traits.directory
    directory = cache(lambda path: replace(original(path), public=True))
    _replace(traits, directory=directory)
    _replace(parts, directory=directory)
    _replace(walking, searched=lambda found, _: found)


def tables_for_everybody() -> None:
    """A listing of an index that was made for one is shown to all."""
    _replace(IndexCache, _key=lambda _self, index, *_: index.name)


def _replace(owner: Any, **changed: Any) -> None:
    for name, value in changed.items():
        assert hasattr(owner, name), f"{owner} has no {name}: the mutant changes nothing"
        setattr(owner, name, value)


MUTANTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        fsuid_only,
        capabilities_kept,
        groups_kept,
        namespaces_ignored,
        opened_by_the_daemon,
        answers_about_itself,
        self_at_every_read,
        oneself_when_writing,
        served_everywhere,
        rings_believed,
        submitters_believed,
        submitters_known_by_their_call,
        gate_ignored,
        slack_of_any_thread,
        slack_without_the_right,
        access_as_effective,
        everybody_is_the_user,
        groups_not_compared,
        helper_is_the_user,
        names_for_everybody,
        tables_for_everybody,
    )
}

if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    sys.exit(main.main())
