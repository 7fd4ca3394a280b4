"""Whoever wants too much is refused or slowed down; nobody else notices."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from procmirror.fuse.nodes import Nodes
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.identity.identity import Identity
from procmirror.mirror.traits import directory
from procmirror.procfs.processes import Process
from tests.harness import comes_true
from tests.mounting import Mount
from tests.reliability.giants import giant
from tests.reliability.greedy import greedy
from tests.reliability.mirrors import (
    RESTING,
    at_once,
    descriptors_of,
    memory_of,
    mirrored,
    tasks_of,
)
from tests.reliability.readers import Answer, Job, Readers, ask, read
from tests.reliability.stuck import stuck
from tests.reliability.test_size import ENVIRONMENT

GREEDY, OTHER = 61003, 61004
MIB = 1 << 20
MOST_MEMORY, MOST_TASKS = 200 * MIB, 40
ALLOWED = {"", "ENFILE", "EBUSY", "ETIMEDOUT"}
ROUNDS = 150


@pytest.fixture
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        ask([Job([read(mount.path / "1/status.json")], OTHER)])
        yield mount


def bystander(own_mirror: Mount) -> Job:
    """Another user, who reads a status; between, the machine itself shows how busy it is."""
    return Job(
        [read(own_mirror.path / "self/status.json"), read("/proc/self/status")] * ROUNDS, OTHER
    )


def assert_prompt(answers: Sequence[Answer]) -> None:
    """What a bystander is told, and not later than the machine is busy."""
    assert {answer.error for answer in answers} == {""}
    busy = max(answer.seconds for answer in answers[1::2])
    assert max(answer.seconds for answer in answers[::2]) < at_once() + 4 * busy


@contextlib.contextmanager
def undisturbed(own_mirror: Mount) -> Iterator[None]:
    """Another user reads all the while, and is never made to wait."""
    readers = Readers([bystander(own_mirror)] * 2, 60)
    yield
    for answers in readers.answers():
        assert answers
        assert_prompt(answers)


def assert_bounded(own_mirror: Mount) -> None:
    assert memory_of(own_mirror) < MOST_MEMORY
    assert tasks_of(own_mirror) <= MOST_TASKS


def test_two_thousand_open_handles(own_mirror: Mount) -> None:
    before = descriptors_of(own_mirror)
    with undisturbed(own_mirror), greedy("handles", own_mirror.path, GREEDY) as counts:
        assert counts == {"": 2_000}
        assert_bounded(own_mirror)
        ask([bystander(own_mirror)])
    assert comes_true(lambda: descriptors_of(own_mirror) <= before + 12)


def test_four_thousand_files_that_are_opened_and_not_read(own_mirror: Mount) -> None:
    """The daemon reads the first 64 KiB with each."""
    with undisturbed(own_mirror), greedy("unread", own_mirror.path, GREEDY) as counts:
        assert set(counts) <= ALLOWED
        assert counts[""] >= 2_000
        assert_bounded(own_mirror)


def test_a_large_view_opened_a_hundred_times(own_mirror: Mount) -> None:
    with (
        giant("plain", 0, ENVIRONMENT) as pid,
        undisturbed(own_mirror),
        greedy("large", own_mirror.path, 0, pid) as counts,
    ):
        assert set(counts) <= ALLOWED
        assert counts.get("ENFILE", 0) > 0, "64 MiB hold about thirty of them"
        assert_bounded(own_mirror)
        ask([bystander(own_mirror)])


def test_processes_read_byte_by_byte(own_mirror: Mount) -> None:
    with undisturbed(own_mirror), greedy("bytewise", own_mirror.path, GREEDY) as counts:
        assert set(counts) <= ALLOWED
        assert_bounded(own_mirror)


def test_a_new_namespace_for_each_request(own_mirror: Mount) -> None:
    with undisturbed(own_mirror), greedy("namespaces", own_mirror.path, GREEDY) as counts:
        assert set(counts) <= ALLOWED
        assert counts[""] > 0
        assert_bounded(own_mirror)
    assert comes_true(lambda: len(own_mirror.processes()) <= RESTING), own_mirror.processes()


def test_a_hundred_subordinate_ids_are_one_account(own_mirror: Mount) -> None:
    with (
        undisturbed(own_mirror),
        greedy("subuids", own_mirror.path, GREEDY, own_mirror.daemon) as counts,
    ):
        assert set(counts) <= ALLOWED
        assert counts[""] > 0
        assert_bounded(own_mirror)
    assert comes_true(lambda: len(own_mirror.processes()) <= RESTING), own_mirror.processes()


def test_two_hundred_wait_for_what_does_not_come(own_mirror: Mount) -> None:
    with stuck(1, GREEDY) as (target,):
        waiting = Readers(
            [Job([read(own_mirror.path / str(target.pid) / "environ.txt")], GREEDY)] * 200, 60
        )
        time.sleep(1)
        (answers,) = ask([bystander(own_mirror)])
        assert_prompt(answers)
        told = waiting.answers()
        assert None not in told
        assert {answer.error for job in told for answer in job or []} <= ALLOWED - {""}


def test_eighty_open_directories_of_ten_thousand_names(own_mirror: Mount) -> None:
    before = memory_of(own_mirror)
    with undisturbed(own_mirror), greedy("listings", own_mirror.path, GREEDY) as counts:
        assert counts["ENFILE"] > 0
        assert counts[""] > 5
        assert memory_of(own_mirror) < before + 100 * MIB


def test_names_of_files_are_kept_to_a_number() -> None:
    dropped: list[bytes] = []
    nodes = Nodes(directory(""), lambda node: dropped.append(node.name))
    process = nodes.add(nodes.root, b"7", Process(b"7", 1), b"", directory("PID"), None)
    folder = nodes.add(process, b"fd", process.process, b"fd", directory("PID/fd"), None)
    nodes.add(process, b"environ", process.process, b"environ", None, None)
    for number in range(50_003):
        nodes.add(folder, b"%d" % number, folder.process, b"fd/%d" % number, None, None)
    assert dropped == [b"0", b"1", b"2"], "and not a file that something may be mounted on"


def test_a_large_listing_is_looked_at_where_it_is_asked_for(tmp_path: Path) -> None:
    for number in range(0, 9_000, 2):
        (tmp_path / str(number)).touch()
    paid = []
    node = Nodes(directory("PID/fd"), lambda _: None).root
    listing = OpenDirectory(
        node, Identity(0, 0, (), 0), 7, lambda account, _, size: paid.append((account, size))
    )
    listing.descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        listing.show([(b"%d" % number, 0) for number in range(9_000)])
        listing.look()
        for at in (8_998, 5_000, 0, 8_998):
            assert listing.names[at][0] == b"%d" % at
            assert listing.attributes(at) is not None
        assert listing.attributes(8999) is None, "it has vanished"
        assert paid == [(7, 9_000 * 100)]
        assert listing.paid == 9_000 * 100
    finally:
        os.close(listing.descriptor)


def test_snapshots_that_are_kept_are_paid_for(own_mirror: Mount) -> None:
    with greedy("rewinds", own_mirror.path, GREEDY) as counts:
        assert set(counts) == {"", "ENFILE"}


# Few descriptors, all of which somebody who looks at many threads would take if it could.
FEW = 300
SHORT_OF_DESCRIPTORS = (
    "-c",
    f"import resource as r, runpy; r.setrlimit(7, ({FEW}, {FEW})); runpy.run_module('procmirror', None, '__main__')",
)


def test_a_thousand_threads_do_not_take_the_descriptors_of_the_daemon() -> None:
    with (
        mirrored(program=SHORT_OF_DESCRIPTORS) as own_mirror,
        greedy("threads", own_mirror.path, GREEDY) as counts,
    ):
        assert set(counts) == {""}
        assert descriptors_of(own_mirror) < FEW
        # Whoever looks for ended processes needs one too.
        time.sleep(2.5)
        assert (own_mirror.path / "uptime").read_text()


def test_root_of_a_container_does_not_pay_with_what_is_roots() -> None:
    with (
        mirrored(program=SHORT_OF_DESCRIPTORS) as own_mirror,
        greedy("container", own_mirror.path, 0) as counts,
    ):
        assert counts["ENFILE"] > 0
        for descriptor in [os.open(own_mirror.path / "uptime", os.O_RDONLY) for _ in range(10)]:
            os.close(descriptor)


def test_all_accounts_together_do_not_take_the_descriptors_of_the_daemon() -> None:
    with mirrored(program=SHORT_OF_DESCRIPTORS) as own_mirror, contextlib.ExitStack() as accounts:
        for user in range(GREEDY, GREEDY + 8):
            accounts.enter_context(greedy("handles", own_mirror.path, user))
        assert descriptors_of(own_mirror) < FEW
        (answers,) = ask([Job([read(own_mirror.path / "self/environ.json")] * 10)])
        assert {answer.error for answer in answers} == {""}, "root, who holds nothing, is answered"
