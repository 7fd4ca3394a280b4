"""Open files, mappings, mounts and whole processes.

What other readers get wrong, what is refused, closed or forged.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from itertools import islice, repeat
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from procmirror.decoding.render import rendered, schema
from procmirror.decoding.view import DecodeError, Incomplete, Machine, View
from procmirror.views import VIEWS
from procmirror.views.pid import (
    attr,
    fd,
    fd_other_uses,
    fd_text,
    fdinfo,
    maps,
    mountinfo,
    ns,
    numa_maps,
    pagemap,
    process,
    process_text,
    smaps,
    task,
)
from procmirror.views.pid.used_file import Descriptor, Socket
from procmirror.views.processes import join as processes
from tests.fixtures import MACHINES
from tests.properties import examples
from tests.readings import Imitated
from tests.schemas import CONTROL

VIEW: dict[str, View] = {view.name: view for view in VIEWS}
STAT = (
    b"7 (cat) S 1 7 7 0 -1 4194304 1 0 0 0 3 4 0 0 20 0 1 0 100 4096 1 18446744073709551615 "
    + b"0 " * 24
    + b"0 0 0\n"
)
TCP = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 77 1 0000000000000000 100 0 0 10 0\n"
)
UNIX = b"Num       RefCount Protocol Flags    Type St Inode Path\n"


def info(*lines: str, flags: str = "02", mnt_id: int = 1) -> bytes:
    return "".join(
        f"{line}\n"
        for line in ("pos:\t0", f"flags:\t{flags}", f"mnt_id:\t{mnt_id}", "ino:\t9", *lines)
    ).encode()


def descriptors(files: Mapping[str, object], links: Mapping[str, object]) -> list[Descriptor]:
    return list(fd.join(Imitated(files, links), Machine()))


def of(name: str, reading: Imitated) -> Any:
    return VIEW[name].record_of(reading, Machine())


def test_every_file_that_an_epoll_watches_is_kept() -> None:
    rows = [
        f"tfd:{number:9d} events:       19 data: {number:16x}  pos:0 ino:1 sdev:800001"
        for number in (3, 4, 5)
    ]
    watched = fdinfo.decode(info(*rows), "x86_64").more["epoll"]
    assert [(watch.fd, watch.data, watch.device) for watch in watched] == [
        (3, "0x3", "8:1"),
        (4, "0x4", "8:1"),
        (5, "0x5", "8:1"),
    ]


def test_a_descriptor_that_an_epoll_watches_may_be_closed_or_another_file_by_now() -> None:
    """The file stays watched as long as a copy of the descriptor is open (epoll(7))."""
    watch = "tfd: {} events: 1 data: 0 pos:0 ino:{:x} sdev:8"
    rows = [watch.format(4, 9), watch.format(5, 77), watch.format(6, 9)]
    links = {"fd/3": "anon_inode:[eventpoll]", "fd/4": "pipe:[9]", "fd/5": "pipe:[9]"}
    files = {"fdinfo/3": info(*rows), "fdinfo/4": info(), "fdinfo/5": info()}
    text = fd_text.text(descriptors(files, links), Machine())
    assert "; watches 4 (in), 5 (in; 5 is another file by now), 6 (in; it is closed here)\n" in text


@pytest.mark.parametrize(("flags", "words"), [("02000002", "process 7"), ("02000202", "thread 7")])
def test_a_pidfd_may_be_of_a_thread(flags: str, words: str) -> None:
    files = {"fdinfo/3": info("Pid:\t7", "NSpid:\t7", flags=flags)}
    text = fd_text.text(descriptors(files, {"fd/3": "anon_inode:[pidfd]"}), Machine())
    assert text.endswith(f"anon_inode:[pidfd]; {words}\n")


def test_every_mark_of_inotify_is_kept_and_its_numbers_are_hexadecimal() -> None:
    rows = [
        f"inotify wd:{wd} ino:10 sdev:10 mask:3c6 ignored_mask:0 fhandle-bytes:8"
        for wd in ("a", "b")
    ]
    assert [
        (mark.wd, mark.inode) for mark in fdinfo.decode(info(*rows), "x86_64").more["inotify"]
    ] == [(10, 16), (11, 16)]


def test_the_number_of_watches_comes_before_the_first_of_them() -> None:
    rows = [f"inotify wd:{wd:x} ino:10 sdev:10 mask:2 ignored_mask:0" for wd in range(150)]
    (one,) = descriptors({"fdinfo/3": info(*rows)}, {"fd/3": "anon_inode:inotify"})
    text = fd_text.text([one], Machine())
    assert re.search(r"; watches 150: inode 16 on 0:16 \(modify\), .* and 142 more$", text)


# A connected ping socket, one of raw and one without a peer, as the kernel prints them.
@pytest.mark.parametrize(
    ("table", "addresses", "words"),
    [
        ("icmp", "0100007F:004D 0200007F:0000 01", "icmp ESTABLISHED 127.0.0.1:77 -> 127.0.0.2:*"),
        ("raw", "00000000:0001 0200007F:0000 01", "raw ESTABLISHED 0.0.0.0:icmp -> 127.0.0.2:*"),
        ("raw", "00000000:0001 00000000:0000 07", "raw CLOSE 0.0.0.0:icmp"),
    ],
)
def test_a_peer_without_a_port_is_told(table: str, addresses: str, words: str) -> None:
    header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
    rest = "00000000:00000000 00:00000000 00000000     0        0 1234 2 00000000933c2d13 0"
    rows = f"{header}   uid  timeout inode ref pointer drops\n   28: {addresses} {rest}\n"
    files: dict[str, object] = {"fdinfo/3": info(), f"net/{table}": rows.encode()}
    found = descriptors(files, {"fd/3": "socket:[1234]"})
    assert fd_text.text(found, Machine()).splitlines()[1].split("  ")[-1] == words


@pytest.mark.parametrize(
    ("target", "device", "words"),
    [
        ("/dev/zero", "0:1", "in memory"),
        ("/SYSV0052468d", "0:1", "in memory"),
        ("/memfd:cache", "0:1", "in memory"),
        ("/anon_hugepage", "0:17", "in memory"),
        ("/dev/zero", "254:0", "on disk"),
        ("/SYSV0052468d/log", "0:44", "on disk"),
        ("/var/log/memfd:log", "0:44", "on disk"),
    ],
)
def test_shared_memory_is_not_taken_for_a_file_that_fills_a_disk(
    target: str, device: str, words: str
) -> None:
    files: dict[str, object] = {"fdinfo/3": info()}
    (one,) = descriptors(files, {"fd/3": f"{target} (deleted)"})
    held = {"type": "file", "links": 0, "allocated": 4096, "size": 4096, "device": device}
    text = fd_text.text([structs.replace(one, target=target, **held)], Machine())
    assert f"; holds 4.0KiB {words}\n" in text


@pytest.mark.parametrize("flags", ["02", "0100002", "02102001", "03", "050000000"])
def test_common_lines_alone_are_decoded_as_before_others(flags: str) -> None:
    alone = fdinfo.decode(info(flags=flags, mnt_id=24), "x86_64")
    beside = fdinfo.decode(info("novelty:\t1", flags=flags, mnt_id=24), "x86_64")
    assert beside.more == {"extra": {"novelty": ["1"]}}
    assert alone == structs.replace(beside, more={})


def test_every_lock_is_kept() -> None:
    rows = [
        "lock:\t1: FLOCK  ADVISORY  WRITE 7 fe:00:9 0 EOF",
        "lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:9 5 9",
    ]
    found = [
        (lock.kind, lock.type, lock.pid, lock.start, lock.end)
        for lock in fdinfo.decode(info(*rows), "x86_64").locks
    ]
    assert found == [("FLOCK", "WRITE", 7, 0, None), ("OFDLCK", "READ", None, 5, 9)]


def test_open_flags_are_octal() -> None:
    (one,) = descriptors({"fdinfo/3": info(flags="02102001")}, {"fd/3": "/log"})
    assert (one.access, one.flags) == ("write", ["O_APPEND", "O_LARGEFILE", "O_CLOEXEC"])


@pytest.mark.parametrize(
    ("architecture", "flags"),
    [("aarch64", "0440000"), ("ppc64le", "0240000"), ("mips64", "0220000")],
)
def test_open_flags_have_other_numbers_elsewhere(architecture: str, flags: str) -> None:
    reading = Imitated({"fdinfo/3": info(flags=flags)}, {"fd/3": "/etc"})
    (one,) = fd.join(reading, Machine(architecture=architecture))
    assert (one.type, one.flags) == ("directory", ["O_LARGEFILE", "O_DIRECTORY"])


def test_the_counter_of_an_eventfd_is_hexadecimal() -> None:
    assert (
        fdinfo.decode(info("eventfd-count:               10"), "x86_64").more["eventfd"].count == 16
    )


@pytest.mark.parametrize(
    ("ticks", "value", "interval", "words"),
    [
        (0, 7, 2, "CLOCK_MONOTONIC, in 7.00s, every 2.00s"),
        (0, 7, 0, "CLOCK_MONOTONIC, in 7.00s, once"),
        (1, 0, 2, "CLOCK_MONOTONIC, expired and not read, every 2.00s"),
        (1, 0, 0, "CLOCK_MONOTONIC, expired and not read, once"),
        (0, 0, 0, "CLOCK_MONOTONIC, off"),
    ],
)
def test_a_timer_that_has_expired_and_nobody_reads_is_not_off(
    ticks: int, value: int, interval: int, words: str
) -> None:
    """The kernel does not start it again before it is read, and shows no time to the next expiry."""
    rows = (
        *("clockid: 1", f"ticks: {ticks}", "settime flags: 00"),
        *(f"it_value: ({value}, 0)", f"it_interval: ({interval}, 0)"),
    )
    found = descriptors({"fdinfo/3": info(*rows)}, {"fd/3": "anon_inode:[timerfd]"})
    assert f"anon_inode:[timerfd]; {words}\n" in fd_text.text(found, Machine())


def test_a_name_that_a_driver_prints_cannot_forge_a_lock_or_a_position() -> None:
    found = fdinfo.decode(
        info(
            "size:\t4", "name:\tx", "lock:\t1: FLOCK  ADVISORY  WRITE 7 fe:00:9 0 EOF", "pos:\t99"
        ),
        "x86_64",
    )
    assert (found.pos, found.locks) == (0, [])


def test_a_descriptor_that_may_not_be_read_or_is_closed_does_not_spoil_the_others() -> None:
    files = {"fdinfo/1": errno.EACCES, "fdinfo/2": info(), "fdinfo/3": info()}
    found = descriptors(files, {"fd/1": errno.EACCES, "fd/2": errno.ENOENT, "fd/3": "/x"})
    assert [(one.fd, one.target, one.type, one.flags) for one in found] == [
        (1, None, None, None),
        (3, "/x", "file", []),
    ]


def test_what_is_used_without_a_descriptor_has_rows_and_what_is_refused_a_reason() -> None:
    line = b"7f00-7f01 %s 00000000 08:02 9 /lib/x\n"
    files = {"maps": line % b"r-xp" + line % b"rw-p" + b"1-2 rw-p 00000000 00:00 0 \n"}
    links = {"cwd": "/srv (deleted)", "root": errno.EACCES, "fd/1": "/x"}
    found = descriptors(files, links)
    assert [(one.use, one.fd, one.target, one.deleted, one.access) for one in found] == [
        ("cwd", None, "/srv", True, None),
        ("root", None, None, False, None),
        ("fd", 1, "/x", False, None),
        ("map", None, "/lib/x", False, "r-xp"),
    ]
    assert [part.part for one in found for part in one.incomplete] == ["root", "fdinfo/1", "fstat"]
    (*_, unread) = descriptors({"maps": errno.ETIMEDOUT}, {"fd/1": "/x"})
    assert (unread.use, unread.target) == ("map", None)
    assert unread.incomplete == [Incomplete("maps", "ETIMEDOUT")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("anon_inode:[io_uring]", "io_uring"), ("socket:[77]", "socket"), ("/x", "file")],
)
def test_a_mapping_of_what_has_no_path_has_its_kind_and_is_not_asked_about(
    name: str, kind: str
) -> None:
    line = f"7f00-7f01 rw-s 00000000 00:10 9 {name}\n".encode()
    (one,) = descriptors({"maps": line}, {})
    assert (one.use, one.target, one.type) == ("map", name, kind)
    assert bool(one.incomplete) == (kind == "file")


def test_what_is_written_to_a_private_mapping_is_not_written_to_its_file() -> None:
    line = b"7f00-7f01 %s 00000000 08:02 %d /lib/x\n"
    modes = ((b"r--p", 1), (b"rw-p", 1), (b"r--p", 2), (b"-w-s", 2), (b"rwxp", 3))
    files, _ = fd_other_uses.mapped_files(b"".join(line % mode for mode in modes), Machine())
    assert [perms for _, perms in files] == ["r--p", "rw-s", "r-xp"]


def test_a_directory_that_may_not_be_listed_is_refused_at_once() -> None:
    for name in ("fd", "task", "ns", "attr"):
        with pytest.raises(PermissionError):
            of(f"PID/{name}", Imitated({name: errno.EACCES}))


def test_tables_of_sockets_are_read_once_and_only_for_sockets() -> None:
    reading = Imitated({"fdinfo/1": info(), "net/tcp": TCP}, {"fd/1": "/x"})
    list(fd.join(reading, Machine()))
    assert not [path for path in reading.asked if path.startswith("net/")]
    reading = Imitated(
        {"net/tcp": TCP, "net/tcp6": TCP}, {"fd/1": "socket:[77]", "fd/2": "socket:[77]"}
    )
    assert [one.socket for one in fd.join(reading, Machine())] == [
        Socket(
            netid="tcp",
            type="stream",
            state="LISTEN",
            local="127.0.0.1:8080",
            local_address="127.0.0.1",
            local_port=8080,
            peer="0.0.0.0:*",
        )
    ] * 2
    assert [path for path in reading.asked if path.startswith("net/")] == ["net/tcp"]


def test_a_forged_row_of_a_unix_socket_is_never_joined() -> None:
    row = b"0000000000000000: 00000002 00000000 00010000 0001 01 %5d %s\n"
    forged = (
        UNIX
        + row % (5, b"/genuine")
        + row % (6, b"/a")
        + row % (5, b"/forged")
        + row % (77, b"/forged")
    )
    found = descriptors(
        {"net/tcp": TCP, "net/unix": forged}, {f"fd/{n}": f"socket:[{n}]" for n in (5, 6, 77, 8)}
    )
    assert [
        one.socket and (one.socket.netid, one.socket.local, one.socket.ambiguous) for one in found
    ] == [
        ("unix", None, True),
        ("unix", "/a", False),
        None,
        ("tcp", "127.0.0.1:8080", False),
    ]


def test_a_file_may_be_called_like_a_kind_of_descriptor() -> None:
    links = {
        "fd/1": "/memfd:x (deleted)",
        "fd/2": "/memfd:x (deleted)",
        "fd/3": "/socket:[77]",
        "fd/4": "/anon_inode:[eventfd]",
    }
    files = {
        "fdinfo/1": info(),
        "fdinfo/2": info(mnt_id=2),
        "mountinfo": b"2 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
    }
    assert [one.type for one in descriptors(files, links)] == ["memfd", "file", "file", "file"]


def test_a_hostile_name_stays_on_its_line() -> None:
    reading = Imitated(
        {"fdinfo/1": info()}, {"fd/1": "/x\n9  read  file  0  /etc/shadow\x1b[2J\u202e"}
    )
    text = b"".join(rendered(VIEW["PID/fd"], "txt", of("PID/fd", reading), Machine())).decode()
    assert len(text.splitlines()) == 2
    assert r"/x\n9  read  file  0  /etc/shadow\x1b[2J\u202e" in text


def test_options_of_a_superblock_are_words() -> None:
    line = (
        rb"36 35 98:0 /mnt1 /a\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue,x=a\054b"
        b"\n"
    )
    (mount,) = mountinfo.mounts(line)
    assert mount.super_options == ["rw", "errors=continue", "x=a,b"]
    assert (mount.mount_point, mount.master, mount.shared) == ("/a b", 1, 2)


@pytest.mark.parametrize(
    ("mount", "file_system", "words"),
    [
        ("rw,relatime", "ro,errors=remount-ro", "ro,relatime,errors=remount-ro"),
        ("ro,relatime", "rw,size=1m", "ro,relatime,size=1m"),
        ("rw,noatime", "rw,noatime", "rw,noatime"),
    ],
)
def test_a_mount_is_read_only_if_it_or_its_file_system_is(
    mount: str, file_system: str, words: str
) -> None:
    line = f"2 1 8:1 / /srv {mount} - ext4 /dev/sda1 {file_system}\n".encode()
    shown = mountinfo.text(of("PID/mountinfo", Imitated({"mountinfo": line})), Machine())
    assert shown.split()[-1] == words


def test_a_path_in_maps_is_verbatim() -> None:
    line = rb"7f00-7f01 r--p 00000000 08:02 9   /a  b\c \012 (deleted) "
    (mapping,) = maps.decode(line + b"\n", Machine())
    assert (mapping.pathname, mapping.deleted) == ("/a  b\\c \n (deleted) ", False)
    (mapping,) = maps.decode(line[:-1] + b"\n", Machine())
    assert mapping.deleted


@pytest.mark.parametrize("line", [b"7f00-7f01 r--p 0 8:2", b"x7f00-7f01 r--p 0 8:2 9 /a"])
def test_what_is_no_line_of_maps_is_kept_apart_and_takes_no_other(line: bytes) -> None:
    good = b"7f00-7f01 r--p 00000000 08:02 9\n"
    found = of("PID/maps", Imitated({"maps": good + line + b"\n" + good}))
    assert [one.start for one in found] == ["0x7f00", "0x7f00"]
    assert [one.line for one in found.undecoded] == [line.decode()]
    with pytest.raises(DecodeError):
        of("PID/maps", Imitated({"maps": line + b"\n"}))


def test_a_flag_and_a_key_of_a_newer_kernel_are_kept() -> None:
    one = smaps.smap(
        b"7f00-7f01 r--p 00000000 08:02 9", [b"Rss: 4 kB", b"Later: 7 things", b"VmFlags: rd zz "]
    )
    assert (one.Rss, one.VmFlags, one.extra) == (4096, ["readable", "zz"], {"Later": "7 things"})


def test_hugetlb_pages_are_shown_which_the_kernel_does_not_count_as_resident() -> None:
    small = smaps.smap(b"7f00-7f01 r--p 00000000 08:02 9 /small", [b"Rss: 8 kB"])
    rows = [b"Rss: 0 kB", b"Shared_Hugetlb: 2048 kB", b"Private_Hugetlb: 2048 kB"]
    huge = smaps.smap(b"7f02-7f03 rw-s 00000000 00:11 9 /huge", rows)
    shown = smaps.text([small, huge], Machine()).splitlines()
    assert [(line.split()[4], line.split()[7]) for line in shown] == [
        ("HUGETLB", "NAME"),
        ("4.0MiB", "[total]"),
        ("4.0MiB", "/huge"),
        ("0", "/small"),
    ]
    status = (MACHINES / "bookworm/1201/status").read_bytes()
    told = status.replace(b"HugetlbPages:\t       0 kB", b"HugetlbPages:\t    6144 kB")
    stat = (MACHINES / "bookworm/1201/stat").read_bytes()
    page = process_text.text(of("PID/process", Imitated({"status": told, "stat": stat})), Machine())
    assert re.search(
        "^memory .* resident, 6.0MiB in hugetlb pages, .* virtual$", page, re.MULTILINE
    )


def test_what_is_dirty_counts_also_if_others_map_it() -> None:
    rows = [b"Rss: 12 kB", b"Shared_Clean: 4 kB", b"Shared_Dirty: 3 kB", b"Private_Dirty: 5 kB"]
    one = smaps.smap(b"7f00-7f01 rw-s 00000000 08:02 9 /shared", rows)
    header, *lines = smaps.text([one], Machine()).splitlines()
    column = header.split().index("DIRTY")
    assert [line.split()[column] for line in lines] == ["8.0KiB", "8.0KiB"]


def test_a_key_in_lower_case_does_not_begin_a_mapping() -> None:
    (one,) = smaps.smaps(iter([b"7f00-7f01 r--p 00000000 08:02 9", b"Rss: 4 kB", b"added: 1"]))
    assert one.extra == {"added": "1"}


def test_mappings_are_decoded_one_at_a_time() -> None:
    endless = (
        line for pair in repeat((b"7f00-7f01 r--p 00000000 08:02 9", b"Rss: 4 kB")) for line in pair
    )
    assert [one.Rss for one in islice(smaps.smaps(endless), 3)] == [4096] * 3


def test_refused_memory_is_refused_before_the_first_byte() -> None:
    for name in ("smaps", "pagemap"):
        with pytest.raises(PermissionError):
            of(f"PID/{name}", Imitated({name: errno.EACCES, "maps": b""}))


def test_a_giant_mapping_is_looked_at_up_to_a_bound() -> None:
    class Hole(Imitated):
        def part(self, path: str, offset: int, size: int) -> bytes:
            del path, offset
            self.asked.append(str(size))
            return bytes(size)

    lines = b"1000-3000 rw-p 00000000 00:00 0 \n100000000000-7f0000000000 rw-p 00000000 00:00 0 \n"
    reading = Hole({"maps": lines})
    small, giant = pagemap.join(reading, Machine())
    assert (small.examined, small.truncated) == (8192, False)
    assert giant.truncated
    assert giant.examined == pagemap.BUDGET * 4096 - 8192
    assert max(int(asked) for asked in reading.asked[2:]) <= 1 << 18


@given(st.lists(st.integers(0, 1000)), st.integers(0, 2000))
def test_a_bound_is_fair(wanted: list[int], budget: int) -> None:
    most = pagemap.fair(wanted, budget)
    assert sum(min(one, most) for one in wanted) <= budget
    assert sum(wanted) > budget or most == max(wanted, default=0)


def test_bits_of_pagemap_are_counted() -> None:
    page = 4096
    words = [1 << 63 | 1 << 56, 1 << 63 | 1 << 61, 1 << 62, 1 << 55, 0, (1 << 55) - 1]
    raw = b"".join(word.to_bytes(8, "little") for word in words)
    (one,) = pagemap.join(
        Imitated({"maps": b"0-6000 rw-p 00000000 00:00 0 \n", "pagemap": raw}), Machine()
    )
    assert (one.present, one.swapped, one.file, one.exclusive, one.soft_dirty) == (
        2 * page,
        page,
        page,
        page,
        page,
    )
    assert one.examined == one.size == 6 * page


def test_pages_become_bytes_of_their_own_size() -> None:
    (one,) = numa_maps.decode(
        b"7f00 default file=/a\\040b huge dirty=2 N0=2 kernelpagesize_kB=2048\n", Machine()
    )
    assert (one.file, one.kind, one.dirty, one.nodes) == ("/a b", "huge", 4 << 20, {"0": 4 << 20})


def test_a_thread_that_ended_is_left_out_and_a_secret_wchan_is_null() -> None:
    files = {"task/7/stat": STAT, "task/7/wchan": errno.EACCES, "task/8/stat": errno.ESRCH}
    (one,) = task.join(Imitated(files), Machine())
    assert (one.tid, one.state, one.utime, one.stime, one.wchan) == (
        7,
        "S (sleeping)",
        0.03,
        0.04,
        None,
    )


def test_a_namespace_is_compared_with_the_requesters() -> None:
    links = {
        "ns/net": "net:[1]",
        "ns/pid_for_children": "pid:[2]",
        "ns/user": errno.EACCES,
        "ns/uts": "uts:[4]",
    }
    found = ns.join(Imitated({}, links), Machine(namespaces={"net": "net:[1]", "pid": "pid:[3]"}))
    assert [(one.name, one.inode, one.same) for one in found] == [
        ("net", 1, True),
        ("pid_for_children", 2, False),
        ("user", None, None),
        ("uts", 4, None),
    ]


def test_an_attribute_that_no_module_answers_is_null() -> None:
    found = attr.join(Imitated({"attr/current": errno.EINVAL, "attr/prev": b"x\0\n"}), Machine())
    assert (found.current, found.prev) == (None, "x")


def test_a_part_that_is_refused_or_too_long_leaves_the_rest_of_a_process() -> None:
    files = {
        "stat": STAT,
        "status": errno.EACCES,
        "cmdline": errno.EFBIG,
        "ns": errno.EACCES,
        "cgroup": b"0::/a\n",
    }
    found = process.join(Imitated(files, {"exe": "/bin/cat", "cwd": errno.EACCES}), Machine())
    assert (found.pid, found.exe, found.cwd, found.status, found.cmdline, found.ns) == (
        7,
        "/bin/cat",
        None,
        None,
        None,
        None,
    )
    assert found.cgroup
    incomplete = {one.part: one.reason for one in found.incomplete}
    assert incomplete == {
        "cwd": "EACCES",
        "ns": "EACCES",
        "status": "EACCES",
        "cmdline": "EFBIG",
    }
    assert re.search(
        "^directory +\\(not permitted\\)$", process_text.text(found, Machine()), re.MULTILINE
    )
    assert "cmdline: EFBIG" in process_text.text(found, Machine())


def test_a_process_that_is_gone_has_no_page() -> None:
    with pytest.raises(ProcessLookupError):
        of("PID/process", Imitated({"stat": errno.ESRCH}))


def test_processes_that_end_or_are_hidden_are_skipped() -> None:
    files = {
        "6/stat": errno.ESRCH,
        "7/stat": STAT,
        "8/stat": errno.EPERM,
        "meminfo": b"",
        "self/stat": STAT,
    }
    assert [one.pid for one in processes(Imitated(files), Machine())] == [7]


HOSTILE = {
    "PID/fd": (
        ["fdinfo/1", "fdinfo/2", "mountinfo", "net/tcp", "net/unix"],
        ["fd/1", "fd/2", "fd/3"],
    ),
    "PID/ns": ([], ["ns/net", "ns/pid"]),
    "PID/pagemap": (["maps", "pagemap"], []),
    "PID/smaps": (["smaps"], []),
    "PID/task": (["task/1/stat", "task/1/wchan"], []),
    "PID/attr": (["attr/current", "attr/new"], []),
    "PID/process": (["stat", "status", "cmdline", "cgroup", "io", "limits"], ["exe", "cwd"]),
    "processes": (["1/stat", "1/status", "1/cmdline"], ["1/exe"]),
}
LINES = st.lists(
    st.sampled_from(
        [
            b"pos:\t0\nflags:\t02\n",
            b"tfd: 1 events: 2 data: 3\n",
            b"clockid: 0\n",
            b"SqMask:\t0x1\n",
            b"7f00-7f01 rw-p 00000000 00:00 0 \n",
            b"0-ffffffffffffffff rw-p 00000000 00:00 0 \n",
            b"Rss: 4 kB\n",
            STAT,
            TCP,
            UNIX,
        ]
    )
    | st.binary(max_size=30),
    max_size=5,
).map(b"".join)
LINKS = st.sampled_from(
    ["socket:[77]", "socket:[99999999999999999999]", "net:[1]", "/x\n", "anon_inode:[x"]
) | st.text(max_size=20)


@pytest.mark.parametrize("name", HOSTILE)
@settings(max_examples=examples(80), deadline=None)
@given(data=st.data())
def test_any_bytes_give_a_record_or_decode_error(name: str, data: st.DataObject) -> None:
    files, links = HOSTILE[name]
    reading = Imitated(
        {path: data.draw(LINES) for path in files}, {path: data.draw(LINKS) for path in links}
    )
    for suffix in VIEW[name].suffixes:
        try:
            content = b"".join(rendered(VIEW[name], suffix, of(name, reading), Machine()))
        except (DecodeError, OSError):
            continue
        text = content.decode()
        assert not CONTROL.search(text)
        if suffix != "txt":
            for document in text.splitlines() if suffix == "ndjson" else [text]:
                json.loads(document)


# What gVisor and other sandboxes print: no ids, and half of the columns.
SANDBOXED = b"""Name:\tsh
State:\tS (sleeping)
Tgid:\t7
Pid:\t7
PPid:\t0
TracerPid:\t0
FDSize:\t4
VmSize:\t7012 kB
VmRSS:\t1004 kB
Threads:\t1
"""
SHORT = b"7 (sh) S 0 1 1 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0\n"


@pytest.mark.parametrize(
    "name", ["processes", "tree", "memory", "files", "machine", "PID/process", "PID/status"]
)
def test_a_sandbox_that_tells_less_ends_no_view(name: str) -> None:
    place = "" if name.startswith("PID/") else "7/"
    files = {f"{place}{entry}": raw for entry, raw in (("status", SANDBOXED), ("stat", SHORT))}
    files[f"{place}smaps_rollup"] = b""
    reading = Imitated(files)
    for suffix in VIEW[name].suffixes:
        record = VIEW[name].record_of(reading, Machine())
        content = b"".join(rendered(VIEW[name], suffix, record, Machine())).decode()
        # Of a process nobody may look at, files has nothing.
        assert suffix == "txt" or "1028096" in content or name == "files"
        if suffix != "txt":
            documents = content.splitlines() if suffix == "ndjson" else [content]
            for document in documents:
                jsonschema.validate(json.loads(document), schema(VIEW[name]))
        if name in {"processes", "PID/process"}:
            assert "expected 41 columns or more, found 21" in content or suffix == "txt"
