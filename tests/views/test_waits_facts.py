"""Who holds what threads wait for, by imitated processes of which files are as the kernel prints them."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TypeAlias

from procmirror.decoding.view import Machine
from procmirror.views import waits
from tests.readings import Imitated

# The files and the links of a process.
Made: TypeAlias = tuple[dict[str, bytes], dict[str, str]]
# read(2) of descriptor 3, in a program of x86-64.
READS = b"0 0x3 0x7ffe00 0x1000 0x0 0x0 0x0 0x7ffd00000000 0x7f0000001234\n"
RUNS = b"running\n"
OPEN = b"pos:\t0\nflags:\t0%o\nmnt_id:\t15\n"
TCP = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
ENDS = b"   0: %b 01 00000000:00000000 00:00000000 00000000     0        0 %d 1 0 20 4 30 10 -1\n"


def status(pid: int, name: str, *, more: bytes = b"", memory: bytes = b"VmRSS:\t8 kB\n") -> bytes:
    """The lines of status that `waits` uses; `more` stands where NSpid does."""
    state = b"S (sleeping)" if memory else b"Z (zombie)"
    return (
        b"Name:\t%b\nState:\t%b\nTgid:\t%d\nPid:\t%d\nPPid:\t1\n" % (name.encode(), state, pid, pid)
        + more
        + memory
    )


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


def told(*processes: Made, more: Mapping[str, object] | None = None) -> str:
    """The text of `waits` for processes, and further files or the errno of each."""
    every: dict[str, object] = dict(more or {})
    links: dict[str, str] = {}
    for files, its in processes:
        every |= files
        links |= its
    reading = Imitated(every, links)
    machine = Machine(byte_order="little")
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
