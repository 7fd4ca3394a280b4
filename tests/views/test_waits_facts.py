"""Who holds what threads wait for, by imitated processes of which files are as the kernel prints them."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from typing import TypeAlias

import pytest

from procmirror.decoding.view import Machine
from procmirror.views import waits
from tests.readings import Imitated

# The files and the links of a process.
Made: TypeAlias = tuple[dict[str, bytes], dict[str, str]]
# read(2) of descriptor 3, in a program of x86-64.
READS = b"0 0x3 0x7ffe00 0x1000 0x0 0x0 0x0 0x7ffd00000000 0x7f0000001234\n"
RUNS = b"running\n"
MACHINE = Machine(byte_order="little")
OPEN = b"pos:\t0\nflags:\t0%o\nmnt_id:\t15\n"
TCP = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
ENDS = b"   0: %b 01 00000000:00000000 00:00000000 00000000     0        0 %d 1 0 20 4 30 10 -1\n"


def status(
    pid: int, name: str, *, ppid: int = 1, numbers: bytes = b"", memory: bytes = b"VmRSS:\t8 kB\n"
) -> bytes:
    """The lines of status that `waits` uses; `numbers` are those of NSpid."""
    state = b"S (sleeping)" if memory else b"Z (zombie)"
    ids = b"Tgid:\t%d\nPid:\t%d\nPPid:\t%d\n" % (pid, pid, ppid)
    ids += b"NSpid:\t%b\n" % numbers if numbers else b""
    return b"Name:\t%b\nState:\t%b\n" % (name.encode(), state) + ids + memory


def process(
    pid: int, name: str, call: bytes = RUNS, fds: dict[int, tuple[str, int]] | None = None
) -> Made:
    """A process of one thread, with the targets of its descriptors and how they are open."""
    files, links = opened(f"{pid}/", fds or {})
    thread = {f"{pid}/task/{pid}/syscall": call, f"{pid}/task/{pid}/wchan": b"anon_pipe_read"}
    return files | thread | {f"{pid}/status": status(pid, name)}, links


def opened(place: str, fds: dict[int, tuple[str, int]]) -> Made:
    """The descriptors in a directory."""
    files = {f"{place}fdinfo/{fd}": OPEN % access for fd, (_, access) in fds.items()}
    return files, {f"{place}fd/{fd}": target for fd, (target, _) in fds.items()}


def told(
    *processes: Made, more: Mapping[str, object] | None = None, machine: Machine = MACHINE
) -> str:
    """The text of `waits` for processes, and further files or the errno of each."""
    every: dict[str, object] = dict(more or {})
    links: dict[str, str] = {}
    for files, its in processes:
        every |= files
        links |= its
    reading = Imitated(every, links)
    found = waits.join(reading, machine)
    return waits.text(found.content(iter(found)), machine)


def test_a_connection_of_ipv4_ends_at_a_socket_of_ipv6_that_takes_both() -> None:
    """A server at `::` takes IPv4 too, and its end of the connection is in net/tcp6."""
    client = b"0100007F:9C40 0100007F:1F90"
    server = b"0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:9C40"
    found = told(
        process(10, "client", READS, {3: ("socket:[111]", 2)}),
        process(20, "server", RUNS, {5: ("socket:[222]", 2)}),
        more={
            "self/net/tcp": TCP + ENDS % (client, 111),
            "self/net/tcp6": TCP + ENDS % (server, 222),
        },
    )
    assert found == "client(10) waits for data from the peer of socket:[111], from server(20)\n"


def without_first_thread(
    pid: int, tid: int, call: bytes = RUNS, fds: dict[int, tuple[str, int]] | None = None
) -> Made:
    """A process `app` whose first thread has ended: it is a zombie, and has no files."""
    files, links = opened(f"{pid}/task/{tid}/", fds or {})
    files |= {
        f"{pid}/status": status(pid, "app", memory=b""),
        f"{pid}/task/{pid}/syscall": RUNS,
        f"{pid}/task/{tid}/syscall": call,
        f"{pid}/task/{tid}/wchan": b"anon_pipe_read",
    }
    return files, links


def reader(pid: int, name: str, reads: int, holds: int) -> Made:
    """A process that reads from a pipe and can write to another one."""
    return process(pid, name, READS, {3: (f"pipe:[{reads}]", 0), 4: (f"pipe:[{holds}]", 1)})


def test_a_process_without_its_first_thread_holds_what_its_other_threads_have_open() -> None:
    """Two readers wait for each other, and for a third process, which may write to one of them."""
    readers = reader(40, "a", 77, 88), reader(50, "b", 88, 77)
    third = without_first_thread(30, 31, fds={4: ("pipe:[77]", 1)})
    assert told(*readers).startswith("deadlock: a(40)")
    assert told(*readers, third) == (
        "a(40) waits for data in pipe:[77], from app(30), b(50)\n"
        "  b(50) waits for data in pipe:[88], from a(40)\n"
    )


def test_a_process_without_its_first_thread_waits_by_its_other_threads() -> None:
    third = without_first_thread(30, 31, READS, {3: ("pipe:[77]", 0), 4: ("pipe:[88]", 1)})
    assert told(reader(40, "a", 88, 77), third) == (
        "deadlock: app(30) thread 31 waits for data in pipe:[77], from a(40)\n"
        "  a(40) waits for data in pipe:[88], from app(30)\n"
    )


def test_a_thread_that_may_not_be_looked_at_leaves_a_gap() -> None:
    readers = reader(40, "a", 77, 88), reader(50, "b", 88, 77)
    refused = {"30/task/31/fd": errno.EACCES}
    found = told(*readers, without_first_thread(30, 31), more=refused)
    assert "deadlock" not in found and found.count("(others may hold it too)") == 2


def contained(pid: int, name: str, numbers: bytes, call: bytes = RUNS, ppid: int = 1) -> Made:
    """A process with other numbers in inner pid namespaces."""
    files, links = process(pid, name, call)
    return files | {f"{pid}/status": status(pid, name, ppid=ppid, numbers=numbers)}, links


# wait4(2) for child 7, as the parent numbers it.
WAITS_FOR_7 = b"61 0x7 0x7ffc0000 0x0 0x0 0x0 0x0 0x7ffd00000000 0x7f0000001234\n"
MYSQLD = process(7, "mysqld")


@pytest.mark.parametrize(
    ("parents", "childs"),
    [(b"900\t1", b"907\t7"), (b"900\t20\t1", b"907\t27\t7"), (b"900\t1", b"907\t7\t1")],
)
def test_a_parent_in_an_inner_pid_namespace_waits_for_its_own_child(
    parents: bytes, childs: bytes
) -> None:
    """Its system call has the number of the child in the namespace of the parent."""
    found = told(
        MYSQLD,
        contained(900, "bash", parents, WAITS_FOR_7),
        contained(907, "sleep", childs, ppid=900),
        contained(908, "other", b"908\t8", ppid=900),
        contained(957, "cat", b"957\t7", ppid=950),
    )
    assert found == "bash(900) waits for the end of its child 907, from sleep(907)\n"


def test_a_child_in_an_inner_pid_namespace_that_is_not_seen_is_nobody_else() -> None:
    parent = contained(900, "bash", b"900\t1", WAITS_FOR_7)
    other = contained(908, "other", b"908\t8", ppid=900)
    found = "bash(900) waits for the end of a child (holder not visible)\n"
    assert told(MYSQLD, parent, other) == found


@pytest.mark.parametrize("numbers", [b"", b"900"])
def test_a_parent_in_the_pid_namespace_of_the_procfs_has_the_same_numbers(numbers: bytes) -> None:
    """Of a procfs of an inner namespace, NSpid begins with the numbers in that."""
    parent = contained(900, "bash", numbers, WAITS_FOR_7)
    found = told(parent, contained(7, "sleep", b"7\t1", ppid=900))
    assert found == "bash(900) waits for the end of its child 7, from sleep(7)\n"


def locked(owner: int, first: bytes, second: bytes) -> Made:
    """A process whose first thread waits for a mutex of glibc, with what its threads are called."""
    call = b"202 0x1000 0x80 0x2 0x0 0x0 0x0 0x7ffd00000000 0x7f0000001234\n"
    files, links = contained(900, "app", first, call)
    files |= {
        "900/task/908/syscall": RUNS,
        "900/task/900/status": status(900, "app", numbers=first),
        "900/task/908/status": status(908, "app", numbers=second),
        "900/mem": bytes(0x1000) + struct.pack("<3I", 2, 0, owner),
    }
    return files, links


@pytest.mark.parametrize(
    ("owner", "first", "second"),
    [
        (908, b"", b""),
        (908, b"900", b"908"),
        (8, b"900\t1", b"908\t8"),
        (8, b"900\t20\t1", b"908\t28\t8"),
    ],
)
def test_the_owner_of_a_mutex_is_found_by_its_number_in_the_pid_namespace_of_the_process(
    owner: int, first: bytes, second: bytes
) -> None:
    found = told(locked(owner, first, second))
    assert found == "app(900) waits for a mutex held by thread 908, from app(900)\n"


@pytest.mark.parametrize("owner", [900, 908, 9])
def test_no_thread_is_the_owner_by_a_number_of_another_pid_namespace(owner: int) -> None:
    assert told(locked(owner, b"900\t1", b"908\t8")) == waits.text([], Machine())


def test_the_words_of_a_futex_are_in_the_byte_order_of_the_machine() -> None:
    """futex(2) is 238 on s390x."""
    files, links = locked(908, b"", b"")
    files["900/mem"] = bytes(0x1000) + struct.pack(">3I", 2, 0, 908)
    files["900/task/900/syscall"] = files["900/task/900/syscall"].replace(b"202", b"238")
    found = told((files, links), machine=Machine(architecture="s390x", byte_order="big"))
    assert found == "app(900) waits for a mutex held by thread 908, from app(900)\n"
