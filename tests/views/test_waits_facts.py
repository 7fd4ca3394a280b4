"""Who holds what threads wait for, by imitated processes of which files are as the kernel prints them."""

from __future__ import annotations

from procmirror.decoding.view import Machine
from procmirror.views import waits
from tests.readings import Imitated

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
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files and links of a process of one thread, with the access of its descriptors."""
    files = {f"{pid}/status": status(pid, name), f"{pid}/task/{pid}/syscall": call}
    files |= {f"{pid}/fdinfo/{fd}": OPEN % access for fd, (_, access) in (fds or {}).items()}
    return files, {f"{pid}/fd/{fd}": link for fd, (link, _) in (fds or {}).items()}


def told(*processes: tuple[dict[str, bytes], dict[str, str]], **files: bytes) -> str:
    """The text of `waits`; `files` by their names with `_` for `/`."""
    every = {name.replace("_", "/"): content for name, content in files.items()}
    links: dict[str, str] = {}
    for its, led in processes:
        every |= its
        links |= led
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
        self_net_tcp=TCP + ENDS % (client, 111),
        self_net_tcp6=TCP + ENDS % (server, 222),
    )
    assert found == "client(10) waits for data from the peer of socket:[111], from server(20)\n"
