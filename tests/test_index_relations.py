"""Whether one process stands in one place of an index, by what its files say."""

from __future__ import annotations

from typing import Any

import pytest

from procmirror.decoding.view import Machine
from procmirror.mirror.index import relations

MACHINE = Machine(users={1000: "wes"})
STATUS = "Name:\t%s\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\nUid:\t0\t1000\t0\t0\n"


class Processes:
    """A process 40 with a thread 41, and a child 50; all are called bash."""

    def read(self, path: str) -> bytes:
        """Only what the index may read."""
        pid, _, name = path.partition("/")
        if name == "comm":
            return b"bash\n"
        assert name == "status"
        leader, parent = {"40": (40, 1), "41": (40, 1), "50": (50, 40)}[pid]
        return (STATUS % ("Tgid:\\t41", leader, int(pid), parent)).encode()


def holds(holding: object, path: tuple[str, ...], pid: str) -> bool:
    assert callable(holding)
    return bool(holding(path, pid, Processes(), MACHINE))


@pytest.mark.parametrize(("pid", "held"), [("40", True), ("41", False), ("50", True)])
def test_a_thread_is_not_where_its_process_is(pid: str, held: bool) -> None:
    """Its number can be looked up in /proc, but is not listed."""
    assert holds(relations.holds_by(relations.by_name), ("bash",), pid) == held
    assert holds(relations.holds_by(relations.by_user), ("wes",), pid) == held
    assert holds(relations.holds_by(relations.by_user), ("1000",), pid) == held


def test_a_process_is_in_its_own_places_only() -> None:
    assert not holds(relations.holds_by(relations.by_name), ("sh",), "40")
    assert not holds(relations.holds_by(relations.by_user), ("root",), "40")
    assert not holds(relations.holds_by(relations.by_user), ("0",), "40")


def test_a_child_is_below_its_parent() -> None:
    assert holds(relations.is_child, ("40",), "50")
    assert not holds(relations.is_child, ("1",), "50")
    assert not holds(relations.is_child, ("1",), "41")


def test_what_takes_too_much_is_named_at_the_top_and_not_listed_where_it_stands() -> None:
    near, deep = ("a",) * 100, ("b" * 31,) * 120
    table = relations.filled_tree([("40", [(near, True), (deep, True)])])
    assert table["/".join((*near, "pids"))] == ["40"]
    assert table["=left-out/pids"] == ["40"]
    assert sorted(table[""]) == ["=left-out", "a"]


def test_one_process_brings_so_many_directories_and_takes_no_others_place() -> None:
    files: list[tuple[tuple[str, ...], bool]] = [((f"f{at}",), True) for at in range(2_000)]
    table = relations.filled_tree([("40", files), ("41", [*files[:10], (("new",), True)])])
    assert len(table[""]) == 1_000 + len({"=left-out", "new"})
    assert table["=left-out/pids"] == ["40"]
    assert table["new/pids"] == ["41"] and table["f9/pids"] == ["40", "41"]


def test_a_full_table_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relations, "_FULL", 100_000)
    monkeypatch.setattr(relations, "_MANY", 50_000)
    found: list[tuple[str, list[tuple[tuple[str, ...], bool]]]] = [
        (str(pid), [((f"{pid}.{at}",), True) for at in range(100)]) for pid in range(100)
    ]
    table = relations.filled_tree(found)
    assert sum(map(len, table)) + 200 * len(table) < 110_000
    assert table["=left-out/pids"][-1] == "99"


class Ports:
    """A machine with two sockets, of which one has no port and one no process."""

    def lines(self, path: str) -> list[bytes]:
        """The table of TCP; there is no other."""
        if path != "self/net/tcp":
            raise FileNotFoundError
        rows = [("00000000:1F90", 7), ("00000000:0000", 8), ("00000000:1F91", 0)]
        return [
            b"header",
            *(f"0: {local} 00000000:0000 0A 0 0 0 0 0 {inode}".encode() for local, inode in rows),
        ]


def test_a_socket_without_port_or_process_stands_nowhere() -> None:
    reading: Any = Ports()
    reading.lines = lambda path: iter(Ports().lines(path))
    assert list(relations._sockets("tcp", reading)) == [(0x1F90, 7)]
