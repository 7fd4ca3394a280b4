"""Locks: what the descriptors of many processes tell of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.views import locks, locks_text
from tests.fixtures import Folder

LOCK = "FLOCK  ADVISORY  WRITE {} 08:01:{} 0 EOF"


def process(folder: Path, pid: int, descriptors: int, lock: str) -> None:
    """A process with so many descriptors, which holds a lock by the last of them."""
    for name in ("fd", "fdinfo"):
        (folder / str(pid) / name).mkdir(parents=True)
    (folder / str(pid) / "comm").write_text("program\n", encoding="ascii")
    for number in range(descriptors):
        (folder / str(pid) / "fd" / str(number)).symlink_to(f"/of/{pid}")
        last = f"lock:\t1: {lock}\n" if number == descriptors - 1 else ""
        text = f"pos:\t0\nflags:\t02\n{last}"
        (folder / str(pid) / "fdinfo" / str(number)).write_text(text, encoding="ascii")


@pytest.mark.parametrize("taker", [20, 99])
def test_a_process_with_thousands_of_descriptors_hides_no_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taker: int
) -> None:
    """A database with a lock, or a user who likes to; `taker` has ended or not."""
    monkeypatch.setattr(locks, "DESCRIPTORS", 8)
    rows = [LOCK.format(10, 7), LOCK.format(taker, 8)]
    process(tmp_path, 10, 9, rows[0])
    process(tmp_path, 20, 2, rows[1])
    table = "".join(f"{number}: {row}\n" for number, row in enumerate(rows, 1))
    (tmp_path / "locks").write_text(table, encoding="ascii")
    large, small = locks.join(Folder(tmp_path), Machine())
    assert (large.path, small.path) == (None, "/of/20")
    assert [one.pid for one in small.holders] == ([] if taker == 20 else [20])


def test_who_holds_a_lock_from_another_machine_is_told_as_the_kernel_has_it(tmp_path: Path) -> None:
    table = f"1: {LOCK.format(-77, 7)}\n2: {LOCK.format(-1, 8)}\n"
    (tmp_path / "locks").write_text(table, encoding="ascii")
    found = locks.join(Folder(tmp_path), Machine())
    assert [(one.pid, one.comm) for one in found] == [(-77, None), (None, None)]
    assert "(elsewhere)  -77" in locks_text.text(found, Machine())
