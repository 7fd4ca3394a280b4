"""What the kernel is told when a thread acts as a requester, and when it is itself again."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from procmirror.identity import credentials as module
from procmirror.identity import thread_calls
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import CAP_SYS_PTRACE, Identity
from tests.harness import until

KEEP = thread_calls.KEEP
ALL = (1 << 41) - 1
PERMITTED = ALL & ~CAP_SYS_PTRACE
ROOT = Identity(0, 0, (0,), PERMITTED)
WES = Identity(1000, 1000, (24, 1000), 0)
NOBODY = 65533


class Kernel:
    """Notes the system calls of one thread, and refuses those that a test names."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refused: set[str] = set()

    def call(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name in self.refused:
            raise PermissionError(errno.EPERM, "no")

    def last(self, name: str) -> tuple[Any, ...]:
        """The arguments of the last call of this name."""
        return next(call[1:] for call in reversed(self.calls) if call[0] == name)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    for name in ("setgroups", "setresuid", "setresgid", "setfsuid", "setfsgid", "capset"):
        monkeypatch.setattr(thread_calls, name, lambda *given, name=name: made.call(name, *given))
    monkeypatch.setattr(thread_calls, "capget", lambda: (PERMITTED, PERMITTED, 0))
    return made


@pytest.fixture
def root(kernel: Kernel) -> Credentials:
    """A daemon of root's without CAP_SYS_PTRACE."""
    made = Credentials()
    made.rest, made.permitted, made.privileged, made._nobodys = ROOT, PERMITTED, True, NOBODY
    kernel.calls.clear()
    return made


def test_files_are_judged_by_the_requester_and_nobody_owns_the_thread(
    kernel: Kernel, root: Credentials
) -> None:
    with root.acting_as(WES):
        assert kernel.last("setgroups") == ((24, 1000),)
        assert kernel.last("setresgid") == (KEEP, 1000, KEEP)
        assert kernel.last("setresuid") == (KEEP, NOBODY, KEEP)
        assert kernel.last("setfsuid") == (1000,)
        assert kernel.calls[-1] == ("capset", 0, PERMITTED)
    assert kernel.last("setresuid") == (KEEP, 0, KEEP)
    assert kernel.last("setresgid") == (KEEP, 0, KEEP)
    assert kernel.last("setgroups") == ((0,),)


def test_where_the_effective_id_decides_it_is_the_requesters(
    kernel: Kernel, root: Credentials
) -> None:
    with root.acting_as(WES, whole=True):
        assert kernel.last("setresuid") == (KEEP, 1000, KEEP)


def test_root_for_files_alone_is_root_for_files_alone(kernel: Kernel, root: Credentials) -> None:
    with root.acting_as(Identity(0, 0, (), 0, euid=1000)):
        assert kernel.last("setresuid") == (KEEP, NOBODY, KEEP)
        assert kernel.last("setfsuid") == (0,)
    with root.acting_as(Identity(1000, 1000, (), 0, euid=0)):
        assert kernel.last("setresuid") == (KEEP, 0, KEEP)
        assert kernel.last("setfsuid") == (1000,)


@pytest.mark.parametrize(
    ("theirs", "added", "expected"),
    [(0, 0, 0), (2, 4, 6), (ALL, 0, PERMITTED), (0, CAP_SYS_PTRACE, 0)],
)
def test_no_capability_is_assumed_that_this_process_lacks(
    kernel: Kernel, root: Credentials, theirs: int, added: int, expected: int
) -> None:
    with root.acting_as(WES._replace(capabilities=theirs), added):
        assert kernel.last("capset") == (expected, PERMITTED)


def test_for_itself_the_kernel_is_told_nothing(kernel: Kernel, root: Credentials) -> None:
    with root.acting_as(ROOT):
        assert not kernel.calls
    root.privileged = False
    with root.acting_as(WES):
        assert not kernel.calls


@pytest.mark.parametrize("call", ["setgroups", "setfsuid", "capset"])
def test_an_identity_that_the_kernel_refuses_is_no_answer(
    kernel: Kernel, root: Credentials, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    kernel.refused = {call}
    restored: list[Identity] = []
    monkeypatch.setattr(root, "restore", restored.append)
    with pytest.raises(Unanswered) as refused, root.acting_as(WES):
        pytest.fail("the block has run")
    assert refused.value.errno == errno.EACCES
    assert restored == [WES]


def test_a_process_that_cannot_be_itself_again_ends(
    kernel: Kernel, root: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(os, "abort", lambda: ended.append(True))
    with root.acting_as(WES):
        kernel.refused = {"setresgid"}
    assert ended


def test_capabilities_are_left_for_a_part_of_a_scope(kernel: Kernel, root: Credentials) -> None:
    with root.without(2 | CAP_SYS_PTRACE):
        assert kernel.calls == [("capset", PERMITTED & ~2, PERMITTED)]
    assert kernel.calls[-1] == ("capset", PERMITTED, PERMITTED)
    kernel.calls.clear()
    with root.without(CAP_SYS_PTRACE):
        assert not kernel.calls


@pytest.mark.parametrize(
    ("permitted", "identity", "expected"),
    [
        (ALL, Identity(0, 0, (), ALL), True),
        (ALL, Identity(0, 0, (), ALL & ~2), False),
        (ALL, Identity(0, 0, (5,), ALL), False),
        (PERMITTED, Identity(0, 0, (), PERMITTED), False),
    ],
)
def test_equal_is_who_has_every_right_of_a_process_that_may_trace(
    root: Credentials, permitted: int, identity: Identity, *, expected: bool
) -> None:
    root.rest, root.permitted = Identity(0, 0, (), permitted), permitted
    assert root.equals(identity) is expected


class Told:
    """How the kernel tells a process's ids: by PIDFD_GET_INFO, or who may read its limits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_old: bool) -> None:
        self.credentials = Credentials()
        if is_old:
            monkeypatch.setattr(module, "user_ids", self._refused)

    def _refused(self, _: int) -> tuple[int, ...]:
        raise OSError(errno.ENOTTY, "")

    def controls(self, pid: int) -> bool:
        """The answer, after which this process is what it was."""
        before = thread_calls.capget(), os.getresuid()
        answer = self.credentials.controls(pid)
        assert (thread_calls.capget(), os.getresuid()) == before
        return answer


@pytest.fixture(params=["ids", "limits"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Told:
    """A kernel of now, and one before Linux 6.13."""
    return Told(monkeypatch, is_old=request.param == "limits")


@pytest.mark.root
@pytest.mark.parametrize(
    ("ids", "controlled"),
    [
        ({}, True),
        # Groups that are not its own decide about nothing that it runs.
        ({"extra_groups": [61003]}, True),
        ({"user": 61003}, False),
        ({"user": 61003, "group": 61003}, False),
    ],
    ids=["root", "root-in-a-group", "user", "user-with-a-group"],
)
def test_a_process_of_another_user_is_not_controlled(
    kernels: Told, ids: dict[str, Any], *, controlled: bool
) -> None:
    with subprocess.Popen(["sleep", "60"], **({"extra_groups": []} | ids)) as process:
        try:
            assert kernels.controls(process.pid) is controlled
        finally:
            process.kill()
    assert not kernels.controls(process.pid)


# In a user namespace of its own it takes on a user and a group, when they are mapped.
_IN_NAMESPACE = """
import ctypes, os, sys, time
assert ctypes.CDLL(None).unshare(0x10000000) == 0
print(flush=True)
sys.stdin.readline()
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[1])] * 3)
print(flush=True)
time.sleep(60)
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("mapped", "user"), [("0 101000 1000", 0), ("0 0 4294967295", 7)], ids=["other-ids", "same-ids"]
)
def test_what_runs_in_a_namespace_that_root_has_made_is_not_controlled(
    kernels: Told, mapped: str, user: int
) -> None:
    """There its maker has all capabilities, by the effective user id."""
    command = [sys.executable, "-c", _IN_NAMESPACE, str(user)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin and process.stdout and process.stdout.readline()
            for kind in ("uid", "gid"):
                Path(f"/proc/{process.pid}/{kind}_map").write_text(mapped)
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.stdout.readline()
            assert not kernels.controls(process.pid)
        finally:
            process.kill()


@pytest.mark.root
def test_a_program_that_is_roots_by_its_mode_is_not_controlled(kernels: Told) -> None:
    """Its real user is who has started it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        program = Path(shutil.copy("/bin/sleep", place))
        program.chmod(0o4755)
        with subprocess.Popen([program, "60"], user=61003, extra_groups=[]) as process:
            try:
                status = Path(f"/proc/{process.pid}/status")
                until(lambda: "\nUid:\t61003\t0\t0\t0\n" in status.read_text(), "not root's")
                assert not kernels.controls(process.pid)
            finally:
                process.kill()


def test_an_old_kernel_tells_a_user_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what runs in its own user namespaces a user could read the limits, whoever it runs as."""
    kernel = Told(monkeypatch, is_old=True)
    kernel.credentials._nobodys = None
    assert not kernel.controls(os.getpid())
