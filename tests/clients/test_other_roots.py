"""Programs that take another procfs than /proc say over the mirror what they say over /proc, each told in its own way."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.clients.agreement import PROC, agreed
from tests.clients.exporters import scrape
from tests.mounting import Mount
from tests.programs import ran, running

PROCPATH = (sys.executable, "-c", "from procpath.cli import main; main()")


# Of nobody else, and without a name.
USER = 61621
Pair = list[int]


@pytest.fixture(scope="module")
def made() -> Iterator[Pair]:
    """`sleep 621` and `sleep 622` of that user."""
    with running("sleep", "621", user=USER) as first, running("sleep", "622", user=USER) as second:
        yield [first, second]


def said(*command: Any) -> str:
    code, out, err = ran(*command)
    assert code == 0, err
    return out


@pytest.fixture
def root(tmp_path: Path) -> Any:
    """The directory that has a procfs as its `proc`, as sysroots do."""

    def made_of(proc: Path) -> Path:
        place = tmp_path / f"root{str(proc).replace('/', '-')}"
        if not place.exists():
            place.mkdir()
            (place / "proc").symlink_to(proc)
            (place / "sys").symlink_to("/sys")
        return place

    return made_of


def test_process_exporter(mirror: Mount, made: Pair, tmp_path: Path) -> None:
    group = f'groupname="{USER}"'

    def metrics(proc: Path) -> dict[str, str]:
        found = scrape("prometheus-process-exporter", proc)
        assert (
            found["namedprocess_scrape_errors"]
            == found["namedprocess_scrape_procread_errors"]
            == "0"
        )
        # How much of a page is whose depends on who else has it.
        return {
            key: value for key, value in found.items() if group in key and "proportional" not in key
        }

    # By a name like this the exporter would end if it grouped by names, on /proc as well.
    hostile = shutil.copy(b"/usr/bin/sleep", os.fsencode(tmp_path) + b"/\xff\xfe")
    with subprocess.Popen([hostile, "600"]) as process:
        mirrored = agreed(metrics, mirror)
        process.kill()
    assert mirrored[f"namedprocess_namegroup_num_procs{{{group}}}"] == str(len(made))
    descriptors = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in made)
    assert mirrored[f"namedprocess_namegroup_open_filedesc{{{group}}}"] == str(descriptors)
    assert float(mirrored[f'namedprocess_namegroup_memory_bytes{{{group},memtype="resident"}}']) > 0


def test_smem(mirror: Mount, made: Pair, root: Any) -> None:
    def rows(proc: Path) -> list[list[str]]:
        out = said(
            "smem", "-S", root(proc), "-H", "-U", f"^{USER}$", "-c", "pid user rss swap command"
        )
        return sorted(line.split() for line in out.splitlines())

    sleeps = [
        [str(pid), str(USER), "sleep", seconds]
        for pid, seconds in zip(made, ("621", "622"), strict=True)
    ]
    assert [[*row[:2], *row[4:]] for row in agreed(rows, mirror)] == sorted(sleeps)


def test_procpath_queries(mirror: Mount, made: Pair) -> None:
    parts = "stat,cmdline,io,status,fd"

    def node(proc: Path) -> Any:
        path = f"$..children[?(@.stat.pid == {made[0]})]"
        return json.loads(said(*PROCPATH, "query", "--procfs", proc, "-f", parts, path))

    (found,) = agreed(node, mirror)
    assert found["cmdline"] == "sleep 621" and found.keys() >= set(parts.split(","))

    def rows(proc: Path) -> Any:
        query = "SELECT stat_pid, stat_rss FROM record WHERE cmdline IN ('sleep 621', 'sleep 622') ORDER BY cmdline"
        return json.loads(said(*PROCPATH, "query", "--procfs", proc, "", query))

    assert [row["stat_pid"] for row in agreed(rows, mirror)] == made


def test_procpath_records(mirror: Mount, made: Pair, tmp_path: Path) -> None:
    database = tmp_path / "record.sqlite"
    said(
        *PROCPATH,
        "record",
        "--procfs",
        mirror.path,
        "-d",
        database,
        "-r",
        "2",
        "-i",
        "0.1",
        "-p",
        str(made[1]),
    )
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "SELECT stat_pid FROM record WHERE cmdline = 'sleep 622'"
        ).fetchall()
    assert found == [(made[1],)] * 2


def test_lscpu(mirror: Mount, root: Any) -> None:
    def cpus(proc: Path) -> Any:
        said_of_all = json.loads(said("lscpu", "-J", "--sysroot", root(proc)))["lscpu"]
        # How fast each runs changes all the time.
        return [field for field in said_of_all if "MHz" not in field["field"]]

    assert {"field": "CPU(s):", "data": str(os.cpu_count())} in agreed(cpus, mirror)


def test_findmnt(mirror: Mount, tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=64k only-there "$0" && exec sleep 623'
    with running("unshare", "-m", "sh", "-c", script, tmp_path, name="sleep") as pid:

        def mounts(proc: Path) -> str:
            columns = "TARGET,SOURCE,FSTYPE,OPTIONS,PROPAGATION"
            return said("findmnt", "-lno", columns, "--tab-file", proc / str(pid) / "mountinfo")

        there = agreed(mounts, mirror)
        own = said(
            "findmnt", "-lno", "TARGET,SOURCE,FSTYPE", "-F", mirror.path / "self" / "mountinfo"
        )
    assert f"{tmp_path} only-there tmpfs" in " ".join(there.split())
    assert "only-there" not in own
    assert f"{mirror.path} {PROC} fuse.procmirror" in " ".join(own.split())
