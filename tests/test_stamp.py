"""`-o stamp`.

The records of streams say of which machine and when they are, and nothing else is changed by it.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from procmirror.decoding.render import rendered, schema
from procmirror.decoding.view import Machine, Stamp
from procmirror.views import VIEWS
from tests.harness import until
from tests.mounting import Mount, mounted
from tests.programs import PROCMIRROR, ran, running

KEYS = ["host", "boot_id", "time"]
STAMPED = {view.name: view for view in VIEWS if view.stamped}
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@pytest.fixture(scope="module")
def stamped() -> Iterator[Mount]:
    with mounted("-o", "stamp") as mount:
        yield mount


def lines(content: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def bare(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in KEYS}


def test_only_views_of_all_processes_and_sockets_are_streams() -> None:
    assert STAMPED.keys() == {"files", "memory", "processes", "sockets", "tree", "waits"}


def test_each_record_says_of_which_machine_and_when_it_is(stamped: Mount) -> None:
    before = datetime.now(UTC)
    contents = {"processes": lines((stamped.path / "processes.ndjson").read_text())}
    contents["sockets"] = json.loads((stamped.path / "sockets.json").read_text())
    after = datetime.now(UTC)
    for name, records in contents.items():
        document = schema(STAMPED[name])
        jsonschema.Draft202012Validator(document).validate(
            records[0] if name == "processes" else records
        )
        assert records and all(list(record)[:3] == KEYS for record in records)
        assert {(record["host"], record["boot_id"]) for record in records} == {
            (socket.gethostname(), BOOT_ID)
        }
        (moment,) = {record["time"] for record in records}
        assert (
            before.timestamp() - 0.001
            <= datetime.fromisoformat(moment).timestamp()
            <= after.timestamp()
        )
        assert moment.endswith("Z")


def test_the_rest_of_a_record_is_as_without(mirror: Mount, stamped: Mount) -> None:
    with running("sleep", "600") as pid:
        # Until then its memory grows and its switches are counted.
        until(lambda: "sleep" in Path(f"/proc/{pid}/wchan").read_text(), "it does not sleep")
        found = [
            next(
                record
                for record in lines((mount.path / "processes.ndjson").read_text())
                if record["pid"] == pid
            )
            for mount in (mirror, stamped)
        ]
    for record in found:
        # The signals of all processes of root's are counted in one.
        del record["elapsed"], record["status"]["SigQ"]
    assert found[0] == bare(found[1]) and not found[0].keys() & set(KEYS)
    for name in ("processes.txt", "sockets.txt", "self/process.json", "self/stat.json"):
        assert BOOT_ID not in (stamped.path / name).read_text()


@pytest.mark.parametrize("unshared", ["-u", "-Uru"])
def test_whoever_reads_is_told_the_name_of_the_machine(stamped: Mount, unshared: str) -> None:
    """A container has a name of its own, and what it reads here are the machine's processes."""
    script = 'hostname another && hostname && exec head -n 1 "$0"'
    code, out, err = ran("unshare", unshared, "sh", "-c", script, stamped.path / "processes.ndjson")
    first, record = out.splitlines()
    assert (code, err, first) == (0, "", "another")
    assert json.loads(record)["host"] == socket.gethostname()


def test_a_procfs_of_nothing_but_processes_has_no_boot_id(tmp_path: Path) -> None:
    assert ran("mount", "-t", "proc", "-o", "subset=pid", "proc", tmp_path).code == 0
    try:
        with mounted("-o", "stamp", source=str(tmp_path)) as mount:
            first, *_ = lines((mount.path / "processes.ndjson").read_text())
    finally:
        ran("umount", tmp_path)
    assert (first["host"], first["boot_id"]) == (socket.gethostname(), None)


def test_what_is_printed_can_be_stamped() -> None:
    command = [*PROCMIRROR, "-o", "stamp", "--print", "processes.ndjson", "sockets.json"]
    naming = "import os, socket, sys; socket.sethostname(bytes.fromhex(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
    hostile = b'\xff\n\x1b"}\xe2\x80\xa8'
    code, out, err = ran("unshare", "-u", sys.executable, "-c", naming, hostile.hex(), *command)
    assert (code, err) == (0, "")
    processes, _, sockets = out.partition("\n[\n")
    records = [*lines(processes), *json.loads(f"[{sockets}")]
    assert {record["host"] for record in records} == {'\\xff\n\x1b"}\u2028'}
    assert {record["boot_id"] for record in records} == {BOOT_ID}
    assert "\x1b" not in out and "\u2028" not in out


def test_options_of_a_mount_are_still_checked() -> None:
    said = "procmirror: of the mount options, --print knows stamp only\n"
    assert ran(*PROCMIRROR, "-o", "stamp=no", "--print", "uptime") == (2, "", said)


@pytest.mark.parametrize("number", [0, 1, 64, 65])
@pytest.mark.parametrize("name", STAMPED)
def test_a_stamp_comes_before_what_is_there_without(name: str, number: int) -> None:
    view = STAMPED[name]
    machine = Machine(stamp=Stamp("a", None, "2026-01-01T00:00:00.000Z"))
    records = [Stamp(f"any record {at}", "\x1b", "\u2028") for at in range(number)]

    def content(machine: Machine, suffix: str) -> str:
        return b"".join(rendered(view, suffix, iter(records), machine)).decode()

    plain, with_stamp = (content(one, "json") for one in (Machine(), machine))
    stamp = '  {\n    "host": "a",\n    "boot_id": null,\n    "time": "2026-01-01T00:00:00.000Z",\n'
    assert with_stamp == plain.replace("  {\n", stamp)
    stamp = '{"host":"a","boot_id":null,"time":"2026-01-01T00:00:00.000Z",'
    assert content(machine, "ndjson") == "".join(
        f"{stamp}{line[1:]}\n" for line in content(Machine(), "ndjson").splitlines()
    )


@pytest.mark.parametrize("name", STAMPED)
def test_no_field_of_a_stream_has_the_name_of_a_stamp(name: str) -> None:
    document = schema(STAMPED[name])
    record = document["$defs"][
        document.get("$ref", document.get("items", {}).get("$ref")).rpartition("/")[2]
    ]
    assert list(record["properties"])[:3] == KEYS
    assert not set(KEYS) & set(record["required"])
    plain = next(iter(rendered(STAMPED[name], "ndjson", iter([Stamp("", None, "")]), Machine())))
    assert list(json.loads(plain)) == KEYS
