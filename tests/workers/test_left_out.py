"""A view of several sources is made without those that do not answer."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from procmirror.identity.identity import Identity
from procmirror.workers.file_operations import Read
from procmirror.workers.left_out import MOST_PARTS, REMEMBERED_SECONDS, LeftOut, may_lack_parts
from procmirror.workers.lock_queue import LockQueue
from procmirror.workers.lock_state import Lock, LockState
from procmirror.workers.operation import Viewer
from procmirror.workers.protocol import Request
from procmirror.workers.view_operations import MakeView
from tests.workers.fakes import run

NOBODY = Identity(1000, 1000, (), 0)


def state(process: str = "process") -> LockState:
    return Lock((process, "PID/stack")).state_of(1000, 5.0)


def view(name: str = "PID/stack", left_out: Sequence[str] = ()) -> Request:
    operation = MakeView(b"", name, "txt", Viewer(), 0, tuple(left_out))
    return Request(operation, NOBODY, target=b"42")


def test_only_a_view_of_several_sources_may_lack_parts() -> None:
    assert may_lack_parts(view("PID/stack"))
    assert not may_lack_parts(view("PID/cmdline"))
    assert not may_lack_parts(Request(Read(0, 1), NOBODY))


def test_what_did_not_answer_is_left_out_for_a_moment() -> None:
    async def test() -> None:
        left_out, here = LeftOut(), state()
        assert left_out.applied(view(), here) == view()
        assert left_out.add(view(), here, "mem")
        assert left_out.applied(view(), here) == view(left_out=["mem"])
        assert left_out.applied(view(), state("another")) == view()
        assert left_out.add(view(left_out=["mem"]), here, "syscall")
        assert left_out.applied(view(), here) == view(left_out=["mem", "syscall"])
        await trio.sleep(REMEMBERED_SECONDS + 0.1)
        assert left_out.applied(view(), here) == view()

    run(test)


def test_what_keeps_a_killed_worker_is_left_out_until_the_kernel_lets_go_of_it() -> None:
    async def test() -> None:
        left_out, here = LeftOut(), state()
        assert left_out.add(view(), here, "mem")
        reaped = LockQueue(5.0).left_out(here)
        await trio.sleep(100 * REMEMBERED_SECONDS)
        assert left_out.applied(view(), here) == view(left_out=["mem"])
        reaped()
        assert left_out.applied(view(), here) == view()

    run(test)


def test_a_source_that_waits_though_it_is_left_out_ends_the_view() -> None:
    async def test() -> None:
        await trio.lowlevel.checkpoint()
        assert not LeftOut().add(view(left_out=["mem"]), state(), "mem")
        several = [str(number) for number in range(MOST_PARTS)]
        assert not LeftOut().add(view(left_out=several), state(), "mem")

    run(test)


def test_of_invented_locks_no_more_than_a_few_hundred_are_remembered() -> None:
    async def test() -> None:
        await trio.lowlevel.checkpoint()
        left_out = LeftOut()
        for number in range(1000):
            assert left_out.add(view(), state(str(number)), "mem")
        assert left_out.applied(view(), state("0")) == view()
        assert left_out.applied(view(), state("999")) == view(left_out=["mem"])

    run(test)
