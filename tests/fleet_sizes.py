"""Bytes a process and snapshot of each form of the fleet's stream: `python -m tests.fleet_sizes`.

It reads this machine's processes without a mount. Where the package chdb is installed, which is
ClickHouse as a library, its answer is compared with DuckDB's, and its table measured too.
"""

from __future__ import annotations

import gzip
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from tests.harness import ROOT

FLEET = ROOT / "examples/fleet"
_PRINT = (sys.executable, "-m", "procmirror", "-o", "stamp", "--print")


def _shipped(folder: Path) -> dict[str, int]:
    """Bytes of each form of all processes; the folder gets what a machine ships."""
    host = folder / "hosts/this"
    host.mkdir(parents=True)
    whole = subprocess.check_output([*_PRINT, "processes.ndjson"])
    files = subprocess.check_output([*_PRINT, "files.ndjson"])
    slim = subprocess.check_output(["jq", "-c", "-f", FLEET / "slim.jq"], input=whole)
    libraries = subprocess.check_output(
        ["jq", "-c", "--arg", "host", "this", "-f", FLEET / "libraries.jq"], input=files
    )
    for name, lines in (("processes", slim), ("libraries", libraries), ("pressure", b"")):
        (host / f"{name}.ndjson.gz").write_bytes(gzip.compress(lines, mtime=0))
    return {
        "processes": whole.count(b"\n"),
        "processes.ndjson, whole": len(whole),
        "the same, gzip": len(gzip.compress(whole)),
        "slim.jq": len(slim),
        "slim.jq, gzip": len(gzip.compress(slim)),
    }


def _duckdb() -> tuple[int, list[tuple[Any, ...]]]:
    """Bytes of the Parquet of all processes, and the hosts with a deleted libssl."""
    with duckdb.connect() as connection:
        connection.execute((FLEET / "load.sql").read_text(encoding="utf-8"))
        answer = connection.execute((FLEET / "libssl.sql").read_text(encoding="utf-8")).fetchall()
    return Path("processes.parquet").stat().st_size, answer


def _clickhouse(answer: list[tuple[Any, ...]]) -> int | None:
    """Bytes of the same rows in a table of ClickHouse; None without it."""
    try:
        chdb: Any = importlib.import_module("chdb.session")
    except ImportError:
        return None
    session = chdb.Session("clickhouse")
    query = (FLEET / "clickhouse.sql").read_text(encoding="utf-8").rstrip().rstrip(";")
    rows = [tuple(row.split("\t")) for row in str(session.query(query, "TSV")).splitlines()]
    if [row[:3] for row in rows] != [tuple(map(str, row[:3])) for row in answer]:
        raise SystemExit(f"ClickHouse says {rows}, DuckDB {answer}")
    session.query("CREATE DATABASE fleet")
    session.query(
        "CREATE TABLE fleet.processes ENGINE MergeTree ORDER BY (host, pid) "
        "SETTINGS allow_nullable_key = 1 AS SELECT * FROM file('processes.parquet')"
    )
    sizes = session.query(
        "SELECT sum(data_compressed_bytes) FROM system.parts WHERE table = 'processes'", "TSV"
    )
    return int(str(sizes))


def main() -> None:
    """Print the table of docs/CLIENTS.md."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        sizes = _shipped(Path(folder))
        os.chdir(folder)
        sizes["Parquet (zstd)"], answer = _duckdb()
        in_clickhouse = _clickhouse(answer)
        os.chdir("/")
    if in_clickhouse:
        sizes["a table of ClickHouse"] = in_clickhouse
    count = sizes.pop("processes")
    lines = [f"| form of {count:,} processes | bytes a process and snapshot |", "|---|---|"]
    lines += [f"| {form} | {size / count:,.0f} |" for form, size in sizes.items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
