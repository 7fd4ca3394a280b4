"""What other readers of /proc/PID get wrong, and what is right.

Each line of a name below is a mistake found in the field.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from procmirror.decoding.view import DecodeError, Machine, View
from procmirror.kernel import capabilities, signals
from procmirror.views import VIEWS
from procmirror.views.pid import sched
from tests.fixtures import MACHINES, Folder

VIEW: dict[str, View] = {view.name: view for view in VIEWS}


def of(view: View, raw: bytes) -> Any:
    return view.decoded(raw, Machine())


def captured(name: str, path: str) -> Any:
    return of(VIEW[name], (MACHINES / path).read_bytes())


def test_ids_of_nested_pid_namespaces_stay_apart() -> None:
    assert captured("PID/status", "bookworm/1201/status").NSpid == (1201, 2, 1)


def test_a_line_of_a_newer_kernel_is_neither_fatal_nor_dropped() -> None:
    assert captured("PID/status", "documented/1200/status").extra == {"Later_key": "one: two"}


def test_a_name_with_a_colon_a_parenthesis_a_newline_and_a_backslash_is_whole() -> None:
    name = "a:b) (\nc\\"
    assert captured("PID/status", "bookworm/1201/status").Name == name
    assert captured("PID/stat", "bookworm/1201/stat").comm == name
    assert captured("PID/comm", "bookworm/1201/comm").comm == name


@pytest.mark.parametrize(("pid", "priority"), [(1201, -51), (1207, -100)])
def test_a_real_time_process_has_a_stat(pid: int, priority: int) -> None:
    assert captured("PID/stat", f"bookworm/{pid}/stat").priority == priority


@pytest.mark.parametrize(
    ("architecture", "minor", "name"),
    [
        ("x86_64", 64, "ttyS0"),
        ("x86_64", 65, "ttyS1"),
        ("s390x", 63, "tty63"),
        ("s390x", 64, None),
        ("s390x", 65, "ttysclp0"),
        ("s390x", 66, None),
    ],
)
def test_a_console_of_s390_is_no_serial_port(
    architecture: str, minor: int, name: str | None
) -> None:
    """Its drivers have their own names for the numbers that devices.txt gives to serial ports."""
    raw = (MACHINES / "bookworm/1201/stat").read_bytes()
    head, _, rest = raw.rpartition(b") ")
    words = rest.split()
    words[4] = b"%d" % (4 << 8 | minor)
    found = VIEW["PID/stat"].decoded(
        head + b") " + b" ".join(words) + b"\n", Machine(architecture=architecture)
    )
    assert (found.tty_nr, found.tty) == (f"4:{minor}", name)


@pytest.mark.parametrize(
    ("policy", "prio", "words"),
    [
        (0, 120, "SCHED_OTHER, nice 0"),
        (3, 139, "SCHED_BATCH, nice 19"),
        (2, 92, "SCHED_RR, real-time 7"),
        (1, 0, "SCHED_FIFO, real-time 99"),
        (6, -1, "SCHED_DEADLINE"),
    ],
)
def test_a_priority_of_the_kernel_is_told_as_programs_set_it(
    policy: int, prio: int, words: str
) -> None:
    """The kernel has the highest priority as the least number: 92 is real-time 7."""
    raw = f"x (7, #threads: 1)\n---\npolicy : {policy}\nprio : {prio}\n".encode()
    shown = sched.text(of(VIEW["PID/sched"], raw), Machine())
    assert f"\npolicy {words}\n" in re.sub(" +", " ", shown)


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b"A=1\0B=2", ["A", "B"]),
        (b"A=1\0\0B=2\0", ["A", None, "B"]),
        (b"A=1\0A=2\0", ["A", "A"]),
        (b"", []),
    ],
    ids=["no final NUL", "an empty entry", "a name twice", "empty"],
)
def test_no_entry_of_environ_is_lost(raw: bytes, names: list[str | None]) -> None:
    assert [variable.name for variable in of(VIEW["PID/environ"], raw)] == names


@given(st.data())
def test_sizes_that_are_read_at_once_are_those_that_are_read_one_by_one(
    data: st.DataObject,
) -> None:
    before, block, after = re.split(
        rb"(?<=\n)(VmPeak:.*kB\n)",
        (MACHINES / "bookworm/1201/status").read_bytes(),
        maxsplit=1,
        flags=re.DOTALL,
    )
    sizes = data.draw(
        st.lists(st.integers(0, 1 << 40), min_size=block.count(b"\n"), max_size=block.count(b"\n"))
    )
    rows = [
        b"%s:\t%8d kB\n" % (line.split(b":")[0], size)
        for line, size in zip(block.splitlines(), sizes, strict=True)
    ]
    more = data.draw(st.sampled_from([b"", b"VmNew:\t      12 kB\n", b"Threads_kB:\t1 kB\n"]))
    raw = before + b"".join(rows) + more + after
    at_once = of(VIEW["PID/status"], raw)
    lonely = re.sub(
        rb"^(VmPeak:.*\n)((?:.*kB\n)*)", rb"\2Vm_apart:\t0\n\1", raw, flags=re.MULTILINE
    )
    assert structs.replace(at_once, extra=None) == structs.replace(
        of(VIEW["PID/status"], lonely), extra=None
    )
    assert [at_once.VmPeak, at_once.VmSize] == [size * 1024 for size in sizes[:2]]


@pytest.mark.parametrize(
    "line",
    [
        b"VmSize:\t    12 MB\n",
        b"VmSize:\t kB\n",
        b"VmSize:\t1 kB VmLck:\t1 kB\n",
        b"VmSize:\t x kB\n",
    ],
)
def test_a_size_in_another_shape_is_no_size(line: bytes) -> None:
    raw = re.sub(rb"VmSize:.*\n", line, (MACHINES / "bookworm/1201/status").read_bytes())
    found = of(VIEW["PID/status"], raw)
    assert found.VmSize is None
    assert found.extra == {"VmSize": line.decode().partition(":")[2].strip()}


def test_a_status_that_does_not_say_which_process_it_is_is_none() -> None:
    raw = (MACHINES / "bookworm/1201/status").read_bytes().replace(b"\nThreads:", b"\nThreaxx:")
    assert of(VIEW["PID/status"], raw).Threads is None
    with pytest.raises(DecodeError, match="expected PPid"):
        of(VIEW["PID/status"], raw.replace(b"\nPPid:", b"\nPPxx:"))


@pytest.mark.parametrize("text", ["0-99999999999", "0-70000", "3-1", "1,1", "0-10,5-20"])
def test_a_list_of_cpus_cannot_grow_without_bound(text: str) -> None:
    raw = (
        (MACHINES / "bookworm/1201/status")
        .read_bytes()
        .replace(b"list:\t0-1\n", f"list:\t{text}\n".encode())
    )
    found = of(VIEW["PID/status"], raw)
    assert found.Cpus_allowed_list is None
    assert found.extra == {"Cpus_allowed_list": text}


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [
        (b"sshd: wes [priv]\0\0\0\0", ["sshd: wes [priv]"]),
        (b"prog\0\0\0", ["prog", "", ""]),
        (b"prog\0a b\0", ["prog", "a b"]),
        (b"nginx: worker", ["nginx: worker"]),
        (b"\0", [""]),
    ],
)
def test_a_title_is_one_string_and_empty_arguments_stay(raw: bytes, arguments: list[str]) -> None:
    assert of(VIEW["PID/cmdline"], raw) == arguments


@pytest.mark.parametrize("names", [signals.names, capabilities.names])
def test_no_mask_is_longer_than_those_of_the_kernel(names: Any) -> None:
    with pytest.raises(ValueError, match=r"bits|signals"):
        names(1 << 200)


def vector(raw: bytes) -> Any:
    return VIEW["PID/auxv"].record_of(Folder(Path("nowhere"), {"auxv": raw}), Machine())


def test_a_vector_that_nobody_filled_in_is_empty_and_one_without_an_end_is_refused() -> None:
    assert vector(b"") == vector(bytes(64)) == []
    with pytest.raises(DecodeError, match="expected a vector"):
        vector(b"\x06\0\0\0\0\0\0\0" * 4)


# Entries in words of 64 bits and the AT_NULL at their end, with types that may be too large.
ENTRIES = st.lists(st.tuples(st.integers(0, 0x1100), st.integers(0, 1 << 63)), max_size=12).map(
    lambda entries: b"".join(struct.pack("<QQ", *one) for one in [*entries, (0, 0)])
)


@given(raw=st.binary(max_size=200) | ENTRIES)
def test_any_vector_gives_entries_or_decode_error(raw: bytes) -> None:
    try:
        assert all(entry.type <= 0xFFF for entry in vector(raw))
    except DecodeError:
        assert raw.strip(b"\0")
