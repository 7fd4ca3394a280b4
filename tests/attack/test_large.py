"""What is too deep or too large is left out or cut with a mark, and of nobody else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeAlias

from procmirror.mirror.index import relations
from procmirror.mirror.index.relations import LEFT_OUT, filled_tree
from tests.attack.scene import ATTACKER, attacker, measured
from tests.harness import until
from tests.programs import running
from tests.reliability.mirrors import mirrored

Found: TypeAlias = "tuple[str, list[tuple[relations.Path, bool]]]"


def numbers(directory: Path) -> set[int]:
    return {int(entry) for entry in os.listdir(directory)}


def test_deep_programs_are_left_out_of_the_index_with_a_mark() -> None:
    with (
        mirrored() as mirror,
        attacker("large", "programs", ATTACKER, 140) as deep,
        running("sleep", "600") as ordinary,
    ):
        index = mirror.path / "by-exe"
        until(lambda: os.readlink(f"/proc/{deep[-1]}/exe").endswith("program"), "no programs")
        assert LEFT_OUT in os.listdir(index)
        assert set(deep) <= numbers(index / LEFT_OUT / "pids")
        program = Path(os.readlink(f"/proc/{ordinary}/exe"))
        assert ordinary in numbers(index / str(program).lstrip("/") / "pids")
        assert ordinary not in numbers(index / LEFT_OUT / "pids")
        assert (index / LEFT_OUT / "pids" / str(deep[0]) / "comm").read_text() == "program\n"
        measured(mirror, 1).check()


def test_deep_cgroups_are_left_out_of_the_index_with_a_mark() -> None:
    """Of a user to whom a part of the hierarchy was given, as systemd and podman do."""
    with (
        mirrored() as mirror,
        running("sleep", "600") as ordinary,
        attacker("large", "cgroups", ATTACKER, 140) as deep,
    ):
        paths = Path(f"/proc/{deep[-1]}/cgroup").read_text(encoding="utf-8").splitlines()
        assert max(map(len, paths)) > 3_800
        index = mirror.path / "by-cgroup"
        assert LEFT_OUT in os.listdir(index)
        assert set(deep) <= numbers(index / LEFT_OUT / "pids")
        lines = Path(f"/proc/{ordinary}/cgroup").read_text(encoding="utf-8").splitlines()
        for line in lines:
            assert ordinary in numbers(index / line.split(":", 2)[2].strip("/") / "pids")
        assert ordinary not in numbers(index / LEFT_OUT / "pids")
        measured(mirror, 1).check()


def test_large_arguments_are_cut_in_views_of_all_processes_with_a_mark() -> None:
    with (
        mirrored() as mirror,
        attacker("large", "arguments", ATTACKER, 40) as large,
        running("sleep", "600") as ordinary,
    ):

        def all_begun() -> bool:
            """The kernel gives a program its name a moment before its arguments."""
            places = [Path(f"/proc/{pid}") for pid in large]
            named = all((place / "comm").read_text() == "sh\n" for place in places)
            return named and all((place / "cmdline").read_bytes() for place in places)

        until(all_begun, "no arguments")
        before = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        lines = (mirror.path / "processes.ndjson").read_text(encoding="utf-8").splitlines()
        found = {one["pid"]: one for one in map(json.loads, lines)}
        there = before & {int(name) for name in os.listdir("/proc") if name.isdigit()}
        assert there <= found.keys()
        assert {one["part"] for one in found[ordinary]["incomplete"]} == set()
        for pid in large:
            assert found[pid]["cmdline"][:2] == ["program", "-c"]
            assert 60_000 < sum(map(len, found[pid]["cmdline"])) < 4 * 65_536 + 100
            marks = [one for one in found[pid]["incomplete"] if one["part"] == "cmdline"]
            assert marks == [{"part": "cmdline", "reason": "truncated to 65536 bytes"}]
        measured(mirror, 1).check()


def test_a_view_of_all_processes_is_made_beside_megabytes_of_mappings() -> None:
    """Each takes the kernel longer to print than such a view waits for one process."""
    with (
        mirrored() as mirror,
        attacker("large", "mappings", ATTACKER, 24) as large,
        running("sleep", "600") as ordinary,
    ):
        assert len(Path(f"/proc/{large[-1]}/maps").read_bytes()) > 50 << 20
        program = os.readlink(f"/proc/{ordinary}/exe")
        lines = (mirror.path / "files.ndjson").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        found = [row for row in rows if row["pid"] == ordinary]
        assert {row["use"] for row in found} >= {"cwd", "exe", "fd", "map"}
        for pid in large:
            (cut,) = (row["incomplete"] for row in rows if row["pid"] == pid and row["incomplete"])
            # On a loaded machine the part that is read takes longer than a walk waits, too.
            assert cut in ([{"part": "maps", "reason": one}] for one in ("EFBIG", "EBUSY"))
        listed = mirror.path / "by-file" / program.lstrip("/") / "pids"
        assert ordinary in numbers(listed)
        measured(mirror, 1).check()


def test_a_user_with_many_long_arguments_takes_no_view_from_others() -> None:
    """In JSON they would be 118 MB, and a reader has 64 MiB."""
    with (
        mirrored() as mirror,
        attacker("large", "controls", ATTACKER, 300) as large,
        running("sleep", "600") as ordinary,
    ):
        until(lambda: Path(f"/proc/{large[-1]}/comm").read_text() == "sh\n", "no arguments")
        for view in ("processes.ndjson", "tree.ndjson", "memory.ndjson"):
            lines = (mirror.path / view).read_text(encoding="utf-8").splitlines()
            found = {one["pid"]: one for one in map(json.loads, lines)}
            assert found.keys() >= {ordinary, *large}
        assert "sleep 600" in (mirror.path / "processes.txt").read_text(encoding="utf-8")
        measured(mirror, 1).check()


def test_an_index_of_any_paths_is_bounded_and_lists_everybody() -> None:
    deep: list[Found] = [
        (str(pid), [(tuple(f"{pid}.{depth}".ljust(31, "x") for depth in range(125)), True)])
        for pid in range(1, 500)
    ]
    table = filled_tree([*deep, ("7777", [(("usr", "bin", "sleep"), True)])])
    assert table["usr/bin/sleep/pids"] == ["7777"]
    assert len(table[f"{LEFT_OUT}/pids"]) == 499
    assert sum(map(len, table)) < 100_000


def test_many_middling_paths_take_no_more_than_an_index_may() -> None:
    middling: list[Found] = [
        (str(pid), [(tuple(f"{pid}.{depth}".ljust(30, "x") for depth in range(20)), True)])
        for pid in range(1, 5_000)
    ]
    ordinary: list[Found] = [
        (str(pid), [(("opt", f"program-{pid}"), True)]) for pid in range(5_000, 9_000)
    ]
    table = filled_tree([*middling, *ordinary])
    assert sum(map(len, table)) < 2 * relations._MANY
    assert all(table[f"opt/program-{pid}/pids"] == [pid] for pid, _ in ordinary)
    listed = {pid for path, pids in table.items() if path.endswith("pids") for pid in pids}
    assert listed == {str(pid) for pid in range(1, 9_000)}
