"""The example for a fleet: what a machine ships, and what DuckDB answers of it."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.harness import ROOT, until
from tests.mounting import mounted
from tests.programs import PROCMIRROR, ran, running

FLEET = ROOT / "examples/fleet"
# Somebody who may read nothing of other users' processes.
_STRANGER = 40001


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A folder with what two machines shipped, and a process with a deleted libssl."""
    folder = tmp_path_factory.mktemp("fleet")
    library = folder / "libssl.so.3"
    source = next(Path("/usr/lib").rglob("libz.so.1.*"))
    shutil.copy(source, library)
    environment = os.environ | {"LD_PRELOAD": str(library)}
    with mounted("-o", "stamp") as mount, running("sleep", "300", env=environment) as pid:
        until(lambda: b"libssl" in Path(f"/proc/{pid}/maps").read_bytes(), "it is not mapped")
        library.unlink()
        for host in ("one", "two"):
            done = ran(
                "sh", FLEET / "snapshot.sh", folder / "hosts" / host, mount.path, deadline=120
            )
            assert done.code == 0, done.err
        command = " ".join(map(str, PROCMIRROR))
        env = os.environ | {"PROCMIRROR": command, "PYTHONPATH": str(ROOT)}
        text = ran("sh", FLEET / "textfile.sh", mount.path, env=env, deadline=120)
        (folder / "metrics").write_text(text.out)
        if os.geteuid() == 0:
            text = ran("sh", FLEET / "textfile.sh", mount.path, user=_STRANGER, deadline=120)
            (folder / "strangers").write_text(text.out)
        yield folder, pid


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def _asked(folder: Path, *names: str) -> list[tuple[Any, ...]]:
    """What the last query answers, in the folder."""
    script = "\n".join((FLEET / name).read_text(encoding="utf-8") for name in names)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with duckdb.connect() as connection:
            return connection.execute(script).fetchall()
    finally:
        os.chdir(before)


def test_a_line_a_process_is_short_and_has_what_it_is_asked_for(shipped: tuple[Path, int]) -> None:
    folder, pid = shipped
    lines = _lines(folder / "hosts/one/processes.ndjson.gz")
    (ours,) = [line for line in lines if line["pid"] == pid]
    assert ours["comm"] == "sleep" and ours["uid"] == os.getuid() and ours["rss"] > 0
    size = sum(len(json.dumps(line)) for line in lines) / len(lines)
    assert size < 400


def test_the_hosts_with_a_deleted_library_are_found(shipped: tuple[Path, int]) -> None:
    folder, pid = shipped
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
    found = _asked(folder, "load.sql", "libssl.sql")
    assert [row[:3] for row in found if row[1] == "sleep"] == [(host, "sleep", 1)]
    libraries = _lines(folder / "hosts/two/libraries.ndjson.gz")
    assert any(line["pid"] == pid and line["path"].endswith("libssl.so.3") for line in libraries)


def test_pressure_is_asked_for(shipped: tuple[Path, int]) -> None:
    folder, _ = shipped
    for _, resource, average, _ in _asked(folder, "load.sql", "pressed.sql"):
        assert resource in {"cpu", "io", "memory"} and average > 10


def test_the_metrics_are_metrics(shipped: tuple[Path, int]) -> None:
    folder, _ = shipped
    lines = [
        line for line in (folder / "metrics").read_text().splitlines() if not line.startswith("#")
    ]
    assert all(float(line.rpartition(" ")[2]) >= 0 for line in lines)
    assert any(line.startswith('procmirror_tasks{state="S"} ') for line in lines)
    assert any(line.startswith("procmirror_requests_total ") for line in lines)


@pytest.mark.root
def test_who_may_not_read_the_programs_is_told_how_many(shipped: tuple[Path, int]) -> None:
    """None deleted would else be read as none there."""
    folder, _ = shipped

    def count(name: str, metric: str) -> int:
        (line,) = re.findall(
            rf"^procmirror_{metric} (\d+)$", (folder / name).read_text(), re.MULTILINE
        )
        return int(line)

    assert count("strangers", "deleted_programs") == 0
    hidden = count("strangers", "unreadable_programs")
    assert hidden > 3 and hidden > count("metrics", "unreadable_programs") + 3
