"""Whether one process stands in one place of an index, by what its files say."""

from __future__ import annotations

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
