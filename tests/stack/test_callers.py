"""What a call says of the process around it.

Descriptors, sockets, threads, children, out of a directory made for it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack.caller import Caller
from procmirror.stack.syscalls import decode, lines
from procmirror.views.pid import syscall
from tests.fixtures import Folder
from tests.stack.test_syscalls import LOW_PC, LOW_SP, line

TCP = (
    b"  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
)
NET = {
    "tcp": TCP
    + b"   0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 0 0 101 1 0 100 0 0 10 0\n"
    + b"   1: 0100007F:1F90 0200007F:D431 01 0:0 00:0 0 0 0 102 1 0\n"
    + b"   2: 0100007F:1F90 0200007F:D431 77 0:0 00:0 0 0 0 103 1 0\n",
    "udp6": TCP
    + b"  7: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 "
    b"00:0 0 0 0 104 2 0 0\n",
    "netlink": b"sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n"
    b"0 15 4711 1 0 0 0 2 0 105\n0 99 1 0 0 0 0 2 0 106\n",
    "packet": b"sk RefCnt Type Proto Iface R Rmem User Inode\n0 3 3 0003 2 1 0 0 107\n",
    "raw": TCP + b"  1: 00000000:0001 00000000:0000 07 0:0 00:0 0 0 0 108 2 0 0\n",
    "unix": b"Num RefCount Protocol Flags Type St Inode Path\n"
    b"0: 2 0 00010000 0001 01 109 /run/a b.sock\n"
    b"0: 2 0 00000000 0005 03 110\n"
    b"0: 2 0 00000000 0001 01 111 @evil\n"
    b"0: 2 0 00000000 0001 01 111 /run/true\n"
    b"0: 2 0 nothex 0001 01 112 /run/broken\n"
    b"short\n",
}
DESCRIBED = {
    101: "tcp LISTEN 127.0.0.1:8080",
    102: "tcp ESTABLISHED 127.0.0.1:8080 -> 127.0.0.2:54321",
    103: "tcp 77 127.0.0.1:8080 -> 127.0.0.2:54321",
    104: "udp6 UNCONNECTED [::1]:53",
    105: "netlink generic... port 4711",
    106: "netlink 99 port 1",
    107: "packet protocol 0x0003 interface 2",
    108: "raw UNCONNECTED 0.0.0.0:1",
    109: "unix stream LISTEN /run/a b.sock inode 109",
    110: "unix seqpacket inode 110",
    111: "socket:[111]",
    112: "socket:[112]",
    113: "socket:[113]",
}


@pytest.fixture
def process(tmp_path: Path) -> Path:
    """A process 50 with the threads 50 and 51 and the child 60."""
    folder = tmp_path / "50"
    for directory in ("fd", "fdinfo", "net", "mem", "task/50", "task/51", "../60"):
        (folder / directory).mkdir(parents=True)
    for number in DESCRIBED:
        (folder / "fd" / str(number)).symlink_to(f"socket:[{number}]")
    (folder / "fd" / "3").symlink_to("/srv/line\nbreak")
    (folder / "fd" / "4").symlink_to("socket:[12x]")
    for name, content in NET.items():
        (folder / "net" / name).write_bytes(content)
    (folder / "task/50/children").write_text("60 ")
    (folder / "task/51/children").write_text("61 x ")
    (folder / "task/51/comm").write_text("work\ner\n")
    (folder / "../60/comm").write_text("sleep\n")
    (folder / "fdinfo/3").write_text(
        "pos:\t0\ntfd:        3 events:       19 data:  0\ntfd: x\n"
        "tfd: 99 events: 80000001 data: 0\n"
    )
    return folder


def explained(folder: Path, raw: bytes, memory: bytes = b"") -> list[str]:
    (folder / "mem").mkdir(exist_ok=True)
    (folder / "mem" / "1000").write_bytes(memory)
    return lines(decode(Caller(Folder(folder), Machine()), raw, None, Machine()))


@pytest.mark.parametrize("number", DESCRIBED)
def test_sockets_are_told_in_a_few_words(process: Path, number: int) -> None:
    shown = DESCRIBED[number].replace("generic...", "kobject_uevent")
    assert explained(process, line(0, number)) == [f"read(fd={number}<{shown}>, buf=NULL, count=0)"]


@pytest.mark.parametrize(
    ("number", "shown"), [(3, "3<\\x0a>"), (4, "4<socket:[12x]>"), (5, "5"), (2**64 - 1, "-1")]
)
def test_other_descriptors_have_their_link_or_none(process: Path, number: int, shown: str) -> None:
    shown = shown.replace("\\x0a", "/srv/line\\nbreak")
    assert explained(process, line(3, number)) == [f"close(fd={shown})"]


def test_children_are_those_of_all_threads_and_of_one_in_its_own_directory(process: Path) -> None:
    assert explained(process, line(61, 2**64 - 1))[1:] == ["    children: 60 (sleep), 61 (?)"]
    assert explained(process, line(61, 61))[1:] == ["    child: 61 (?)"]
    assert explained(process, line(61, 2**64 - 9))[1:] == ["    children: 60 (sleep), 61 (?)"]
    assert explained(process / "task" / "50", line(247, 1, 60))[1:] == ["    child: 60 (sleep)"]
    assert explained(process, line(247, 1, 62))[1:] == []
    low = {"sp": LOW_SP, "pc": LOW_PC}
    assert explained(process, line(7, 60, **low)) == [
        "waitpid(pid=60, stat_addr=NULL, options=0) [i386]",
        "    child: 60 (sleep)",
    ]


@pytest.fixture
def contained(process: Path) -> Path:
    """The same process in an inner pid namespace, where it is 1, its thread 2, its children 7, 8."""
    numbers = {
        "": "50\t20\t1",
        "task/50": "50\t20\t1",
        "task/51": "51\t21\t2",
        "../60": "60\t27\t7",
    }
    for place, words in numbers.items():
        status = f"Name:\tx\nNSpid:\t{words}\nNSsid:\t50\t20\t1\n"
        (process / place / "status").write_text(status, encoding="ascii")
    (process / "../61").mkdir()
    (process / "../61/status").write_text("Name:\ty\nNSpid:\t61\t28\t8\t1\n", encoding="ascii")
    return process


def test_a_process_of_an_inner_pid_namespace_waits_for_its_own_children(contained: Path) -> None:
    """The call has the number that the process has of its child, /proc the reader's."""
    assert explained(contained, line(61, 7)) == [
        "wait4(upid=7, stat_addr=NULL, options=0, ru=NULL)",
        "    child: 60 (sleep)",
    ]
    assert explained(contained, line(61, 8))[1:] == ["    child: 61 (?)"]
    assert explained(contained / "task" / "50", line(61, 7))[1:] == ["    child: 60 (sleep)"]
    assert explained(contained, line(61, 60))[1:] == []


@pytest.mark.parametrize("place", ["", "task/51"])
def test_the_owner_of_a_mutex_in_an_inner_pid_namespace_has_its_own_number(
    contained: Path, place: str
) -> None:
    def owner(number: int) -> list[str]:
        words = struct.pack("<3I", 2, 1, number)
        return explained(contained / place, line(202, 0x1000, 128, 2), words)[2:]

    assert owner(2) == ["    looks like a mutex of glibc held by thread 51 (work\\ner)"]
    assert owner(51) == owner(3) == []


def test_waitid_may_wait_for_a_descriptor(process: Path) -> None:
    assert explained(process, line(247, 3, 101, 0, 4))[0].startswith(
        "waitid(which=P_PIDFD, upid=101<tcp LISTEN 127.0.0.1:8080>, "
    )


@pytest.mark.parametrize(
    ("words", "operation", "value", "notes"),
    [
        (
            (2, 1, 51),
            0,
            2,
            ["the futex word is 0x2", "looks like a mutex of glibc held by thread 51 (work\\ner)"],
        ),
        ((2, 1, 52), 0, 2, ["the futex word is 0x2"]),
        ((2, 1, 2**32 - 5), 0, 2, ["the futex word is 0x2"]),
        (
            (51, 0, 0),
            9,
            51,
            ["the futex word is 0x33", "looks like pthread_join of thread 51 (work\\ner)"],
        ),
        ((1, 0, 0), 0, 1, ["the futex word is 0x1"]),
        ((3, 0, 0), 0, 1, ["the futex word is 0x3 by now"]),
        ((51 | 1 << 31, 0, 0), 6, 0, ["held by thread 51 (work\\ner)"]),
        ((51, 0, 0), 1, 51, []),
        ((), 0, 1, []),
    ],
)
def test_who_holds_a_futex_looks_like_it(
    process: Path, words: tuple[int, ...], operation: int, value: int, notes: list[str]
) -> None:
    memory = b"".join(word.to_bytes(4, "little") for word in words)
    found = explained(process, line(202, 0x1000, operation | 128, value), memory)
    assert [note.strip() for note in found[1:]] == notes


@pytest.mark.parametrize(("flag", "named"), [(0, True), (128, False)])
def test_a_thread_is_joined_at_its_state_from_glibc_2_43_on(
    process: Path, flag: int, *, named: bool
) -> None:
    thread = bytearray(864)
    thread[:4], thread[856:860] = (51).to_bytes(4, "little"), (2).to_bytes(4, "little")
    found = explained(process, line(202, 0x1000 + 856, 0x109 | flag, 2), bytes(thread))
    assert ("    looks like pthread_join of thread 51 (work\\ner)" in found) == named


def test_a_thread_s_directory_finds_its_siblings(process: Path) -> None:
    memory = b"".join(word.to_bytes(4, "little") for word in (2, 1, 51))
    assert explained(process / "task" / "50", line(202, 0x1000, 0, 2), memory)[-1].endswith(
        "thread 51 (work\\ner)"
    )


def test_what_an_epoll_watches_is_in_its_fdinfo(process: Path) -> None:
    assert explained(process, line(232, 3, 0, 1, 2**64 - 1))[1:] == [
        "    EPOLLIN|EPOLLERR|EPOLLHUP of 3</srv/line\\nbreak>",
        "    EPOLLIN|EPOLLET of 99",
    ]
    assert explained(process, line(232, 8, 0, 1, 2**64 - 1))[1:] == []


@pytest.mark.parametrize(
    ("raw", "memory", "shown"),
    [
        (
            line(72, 3, 7, 0x1000),
            b"\x01\0\x02\0\0\0\0\0" + b"\xff" * 8 + bytes(8),
            "arg={F_WRLCK from SEEK_END -1, to the end}",
        ),
        (line(72, 3, 7, 0x1000), b"\x01\0", "arg=0x1000"),
        (line(72, 3, 4, 0x800), b"", "arg=0x800"),
        (
            line(221, 3, 7, 0x1000, sp=LOW_SP, pc=LOW_PC),
            b"\0\0\x01\0\x05\0\0\0\x06\0\0\0",
            "arg={F_RDLCK from SEEK_CUR +5, 6 bytes}",
        ),
        (
            line(221, 3, 14, 0x1000, sp=LOW_SP, pc=LOW_PC),
            b"\x02\0\x09\0" + (1 << 40).to_bytes(8, "little") + bytes(8),
            f"arg={{F_UNLCK from 9 +{1 << 40}, to the end}}",
        ),
        (line(242, 3, 0x1000, 4, 0, 0x1000), b"data\0\0\0\0\0\0\0\0\0\0\0\0", 'u_msg_ptr="data"'),
        (line(242, 3, 0x1000, 4, 0, 0x1000), b"\x05" + bytes(15), "u_abs_timeout=until 5 s"),
        (line(65, 7, 0x1000, 1), b"\x01\0\xff\xff\0\0", "\n    semaphore 1: -1"),
        (line(14, 0, 0x1000, 0, 8), b"\x01", "nset=0x1000"),
        (line(35, 0x1000), b"\x01", "rqtp=0x1000"),
        (line(42, 3, 0x1000, 16), b"\x02", "uservaddr=0x1000"),
        (line(122, 2**64 - 1), b"", "setfsuid(uid=-1)"),
        (line(90, 0x1000, 0o100644), b"f\0", 'chmod(filename="f", mode=0100644)'),
        (line(90, 0x1000, 0), b"f\0", "mode=0)"),
        (line(8, 3, 2**64 - 5, 0), b"", "lseek(fd=3</srv/line\\nbreak>, offset=-5, whence=0)"),
        (
            line(165, 0x1000, 0x1000, 0x1000, 1),
            b"none\0",
            'mount(dev_name="none", dir_name="none", type="none", flags=MS_RDONLY',
        ),
    ],
)
def test_structures_in_memory_are_read_or_left_as_numbers(
    process: Path, raw: bytes, memory: bytes, shown: str
) -> None:
    assert shown in "\n".join(explained(process, raw, memory))


class Restless(Folder):
    """A task that is in another call each time it is looked at, until it is tired."""

    def __init__(self, folder: Path, calls: int) -> None:
        super().__init__(folder)
        self.calls, self.seen = calls, 0

    def read(self, path: str) -> bytes:
        if path != "syscall":
            return super().read(path)
        self.seen = min(self.seen + 1, self.calls)
        return line(3, 1000 + self.seen)


@pytest.mark.parametrize(
    ("calls", "descriptor", "notes"), [(1, 1001, 0), (2, 1002, 0), (99, 1003, 1)]
)
def test_a_task_that_goes_on_is_read_again_and_in_the_end_said_so(
    process: Path, calls: int, descriptor: int, notes: int
) -> None:
    call = syscall.join(Restless(process, calls), Machine())
    assert (call.arguments[0].text, len(call.notes)) == (str(descriptor), notes)
    assert all("went on" in note for note in call.notes)


def test_a_task_that_runs_is_in_no_call(process: Path) -> None:
    (process / "syscall").write_bytes(b"running\n")
    assert syscall.join(Folder(process), Machine()).state == "running"
