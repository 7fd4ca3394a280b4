"""Names and places in the indexes, without a mount.

Any bytes give a name, and what is listed is found.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procmirror.decoding.text import decoded, printable
from procmirror.decoding.view import Machine
from procmirror.fuse.nodes import _MOST_INDEX_NODES, Node, Nodes
from procmirror.mirror.index import INDEXES, parse, target
from procmirror.mirror.index.names import LONGEST, SLASH, escaped, is_name
from procmirror.mirror.traits import directory
from tests.readings import Imitated

TRAPS = st.sampled_from(
    [
        "",
        ".",
        "..",
        "pids",
        "=",
        "==",
        "=pids",
        "/",
        SLASH,
        "12",
        "=12",
        "a",
        "\n",
        "\xad",
        "…0123456789abcdef",
    ]
)
# Of these characters most names collide that can.
TEXT = st.lists(TRAPS | st.characters(codec="utf-8"), max_size=4).map("".join) | st.text(
    min_size=200, max_size=300
)
ANYTHING = st.binary(max_size=64) | TEXT.map(str.encode) | st.binary(min_size=240, max_size=300)
MACHINE = Machine(users={0: "root", 7: "1000", 8: "wes"})


@given(ANYTHING, st.booleans())
def test_any_bytes_give_a_name_that_can_stand_there(raw: bytes, numbers: bool) -> None:
    name = escaped(decoded(raw), numbers=numbers)
    assert 0 < len(name.encode()) <= LONGEST
    assert (
        name not in {".", "..", "pids"}
        and not {"/", "\0", "\n"} & set(name)
        and printable(name) == name
    )
    assert numbers or not name.isdecimal()
    assert is_name(name, numbers=numbers)


@given(TEXT, TEXT)
def test_two_names_become_one_only_where_a_backslash_or_two_slashes_say_so(
    first: str, second: str
) -> None:
    def ambiguous(raw: str) -> bool:
        return "\\" in printable(raw) or (SLASH in raw and "/" in raw)

    if first != second and not (ambiguous(first) or ambiguous(second)):
        assert escaped(first) != escaped(second)


# A name of 255 bytes that looks like one that was cut.
CUT = "x" * 236 + "…" + "0" * 16


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"", "="),
        (b".", "=."),
        (b"..", "=.."),
        (b"pids", "=pids"),
        (b"=x", "==x"),
        (b"=", "=="),
        (b"a/b", "a\u2215b"),
        ("a\u2215b".encode(), "=a\u2215b"),
        (b"line\nbreak\x1b[1m", r"line\nbreak\x1b[1m"),
        (b"\xff\\", r"\xff" + "\\"),
        ("\u202e".encode(), r"\u202e"),
        (b"12", "12"),
        (b"x" * 256, "x" * 236 + "…" + sha256(b"x" * 256).hexdigest()[:16]),
        (CUT.encode(), "x" * 236 + "…" + sha256(CUT.encode()).hexdigest()[:16]),
    ],
)
def test_a_name_is_written_so(raw: bytes, name: str) -> None:
    assert escaped(decoded(raw)) == name


def test_a_group_of_digits_is_told_from_a_process() -> None:
    assert escaped("12", numbers=False) == "=12"
    assert parse(b"by-cgroup/12") is None and parse(b"by-cgroup/=12") is not None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("by-name", "directory"),
        ("by-name/nc", "directory"),
        ("by-name/nc/12", "link"),
        ("by-name/nc/012", None),
        ("by-name/nc/\u0661\u0662", None),
        ("by-name/pids", None),
        ("by-name/nc/12/x", None),
        ("by-name/a\nb", None),
        ("by-name/=x", None),
        ("by-user/1000/1", "link"),
        ("by-exe/usr/bin/nc", "directory"),
        ("by-exe/usr/bin/nc/pids", "directory"),
        ("by-exe/usr/bin/nc/pids/12", "link"),
        ("by-exe/usr/bin/nc/pids/nc", None),
        ("by-exe/pids/pids", None),
        ("by-exe/pids/x/pids", None),
        ("by-cgroup/pids/1", "link"),
        ("by-port/tcp/8080/12", "link"),
        ("by-port/tcp/0", None),
        ("by-port/tcp/65536", None),
        ("by-port/sctp", None),
        ("by-parent/1/234/5", "directory"),
        ("by-parent/1/pids/234", "link"),
        ("by-parent/x", None),
        ("by-else", None),
    ],
)
def test_a_path_says_what_it_is(path: str, kind: str | None) -> None:
    found = parse(path.encode())
    assert (found and found[2]) == kind


def test_what_no_call_can_name_is_nothing() -> None:
    assert parse(b"by-exe" + b"/usr" * 1000) is not None
    assert parse(b"by-exe" + b"/usr" * 1030) is None
    assert parse(b"by-name/\xff") is None


class Processes(Imitated):
    """A /proc of a few processes of which every answer is known.

    Those of an odd number may be known by name only.
    """

    def __init__(self, comms: list[bytes], exes: list[bytes], groups: list[bytes]) -> None:
        files: dict[str, object] = {}
        links: dict[str, object] = {}
        super().__init__(files, links, unnamed=errno.EACCES)
        self.pids = [str(at + 1) for at in range(len(comms))]
        for pid, comm, exe, group in zip(self.pids, comms, exes, groups, strict=True):
            number = int(pid)
            files[f"{pid}/comm"] = comm + b"\n"
            status = b"Name:\tTgid:\t99\nUmask:\t0022\nTgid:\t%d\nPPid:\t%d\nUid:\t1\t%d\t1\t1\n"
            files[f"{pid}/status"] = status % (number, number // 2, number)
            files[f"{pid}/cgroup"] = b"2:memory:/\n0::/" + group.replace(b"\n", b"") + b"\n"
            if number % 2 == 0:
                links[f"{pid}/exe"] = "/" + decoded(exe)
                links[f"{pid}/fd/3"] = f"socket:[{number}]"
        files["self/net/tcp"] = b"header\n" + b"".join(
            b" 0: 0100007F:%04X 0:0 0A 0:0 00:0 0 0 0 %d 1\n" % (8000 + number, number)
            for number in range(1, 9)
        )

    def names(self, path: str) -> list[str]:
        if path == ".":
            return [*self.pids, "self", "uptime"]
        if int(path.partition("/")[0]) % 2:
            raise PermissionError(errno.EACCES, path)
        return ["0", "3"]


# What stands in a path of the kernel's has no slash and is not empty, unlike a name of a process.
COMPONENTS = st.lists(
    ANYTHING.map(lambda raw: raw.replace(b"/", b"|").replace(b"\0", b"") or b"x"),
    min_size=1,
    max_size=3,
)
ENTRY = st.tuples(ANYTHING, COMPONENTS.map(b"/".join), COMPONENTS.map(b"/".join))


@given(st.lists(ENTRY, max_size=6))
def test_what_is_listed_is_found_and_leads_to_its_process(
    entries: list[tuple[bytes, bytes, bytes]],
) -> None:
    comms, exes, groups = ([entry[at] for entry in entries] for at in range(3))
    reading = Processes(comms, exes, groups)
    shown: dict[str, set[str]] = {}
    for index in INDEXES.values():
        table = index.filled(index.survey(reading, MACHINE))

        def walk(
            path: str, name: str = index.name, table: dict[str, list[str]] = table
        ) -> Iterator[tuple[str, str]]:
            found = parse(path.encode())
            assert found is not None and found[2] == "directory", path
            assert len(path) < 4096
            for below in table.get(found[0].key(found[1]), []):
                kind = parse(f"{path}/{below}".encode())
                assert kind is not None, f"{path}/{below}"
                if kind[2] == "link":
                    yield path, below
                else:
                    yield from walk(f"{path}/{below}", name, table)

        for path, pid in walk(index.name):
            shown.setdefault(index.name, set()).add(pid)
            found = parse(f"{path}/{pid}".encode())
            assert found is not None
            place = index.place(found[1])
            assert place is not None and index.holds(place, pid, reading, MACHINE)
            text = target(f"{path}/{pid}".encode()).decode()
            assert os.path.normpath(f"/{path}/{text}") == f"/{pid}"
    everybody, tellers = set(reading.pids), {pid for pid in reading.pids if int(pid) % 2 == 0}
    for name in ("by-name", "by-user", "by-cgroup", "by-parent"):
        assert shown.get(name, set()) == everybody
    for name in ("by-exe", "by-port"):
        assert shown.get(name, set()) == tellers


def test_a_user_is_found_by_number_unless_that_is_anothers_name() -> None:
    reading = Processes([b"a"] * 8, [b"a"] * 8, [b"a"] * 8)
    holds = INDEXES["by-user"].holds
    assert holds(("wes",), "8", reading, MACHINE) and holds(("8",), "8", reading, MACHINE)
    assert holds(("1000",), "7", reading, MACHINE) and holds(("3",), "3", reading, MACHINE)
    other = Machine(users={0: "root", 8: "wes", 5: "8"})
    assert not holds(("8",), "8", reading, other) and holds(("8",), "5", reading, other)
    table = INDEXES["by-user"].filled(INDEXES["by-user"].survey(reading, MACHINE))
    assert "8" not in table[""] and table["8"] == ["8"]


def test_the_kernel_is_asked_to_forget_the_oldest_of_too_many_names() -> None:
    dropped: list[Node] = []
    nodes = Nodes(directory(""), dropped.append)
    top = nodes.add(nodes.root, b"by-name", None, b"by-name", directory("by-name"), None)
    for number in range(_MOST_INDEX_NODES + 10):
        nodes.add(
            top, b"%d" % number, None, b"by-name/%d" % number, directory("by-name"), None
        ).lookups = 1
    assert [node.name for node in dropped] == [b"%d" % number for number in range(10)]
    for node in dropped:
        nodes.forget(node.number, 1)
    assert len(nodes) == _MOST_INDEX_NODES + 2
    for node in list(top.children.values()):
        nodes.forget(node.number, 1)
    assert len(nodes) == 2 and not nodes._index_nodes
