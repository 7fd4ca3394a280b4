"""The engines for many machines in examples/.

SQL, a shipper and ssh, each on streams of this machine and of a second one.

The second is another host name, other processes and another network, in namespaces of its own.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.harness import DEADLINE, ROOT, until
from tests.mounting import Mount, mounted
from tests.programs import PROCMIRROR, environment, free_port, listens, ran, running, shell

EXAMPLES = ROOT / "examples"
USER = 61641
STREAMS = ("processes.ndjson", "sockets.json")
SECOND = """hostname second && ip link set lo up || exit 1
sleep 641 & nc -l 127.0.0.1 4141 & p=$!
until grep -q :102D /proc/net/tcp; do sleep 0.02; done
for stream in processes.ndjson sockets.json; do "$@" -o stamp --print $stream > "$0/$stream" || exit 1; done
echo $p"""


@pytest.fixture(scope="module")
def stamped() -> Iterator[Mount]:
    with mounted("-o", "stamp") as mount:
        yield mount


@pytest.fixture(scope="module")
def hosts(stamped: Mount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A directory with what collect.sh makes of two machines, and what was made on them for that."""
    folder = tmp_path_factory.mktemp("collected")
    first, second = (folder / "hosts" / name for name in ("first", "second"))
    first.mkdir(parents=True)
    second.mkdir()
    program = shutil.copy("/usr/bin/sleep", folder / "replaced")
    port = free_port()
    with (
        running("sleep", "641", user=USER) as one,
        running("sleep", "642", user=USER) as other,
        running("nc", "-l", "127.0.0.1", port) as listener,
        running(program, "643") as replaced,
    ):
        Path(program).unlink()
        until(lambda: listens(port), "nc does not listen")
        for stream in STREAMS:
            (first / stream).write_text((stamped.path / stream).read_text())
        code, out, err = ran(
            "unshare",
            "-unpf",
            "--mount-proc",
            "--kill-child",
            "sh",
            "-c",
            SECOND,
            second,
            *PROCMIRROR,
        )
        assert (code, err) == (0, "")
        yield {
            "folder": folder,
            "sleepers": [one, other],
            "first": (listener, port),
            "second": (int(out), 4141),
            "replaced": (replaced, program),
        }


def answers(query: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows of a query of examples/sql over the hosts/ of a folder."""
    monkeypatch.chdir(folder)
    script = "".join(
        (EXAMPLES / "sql" / name).read_text(encoding="utf-8") for name in ("tables.sql", query)
    )
    with duckdb.connect() as connection:
        found = connection.execute(script)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def resident(pid: int) -> int:
    """Of a process that waits, in bytes."""
    (line,) = [
        one
        for one in Path(f"/proc/{pid}/status").read_text().splitlines()
        if one.startswith("VmRSS:")
    ]
    return 1024 * int(line.split()[1])


def test_memory_of_accounts(hosts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = answers("memory.sql", hosts["folder"], monkeypatch)
    (his,) = [row for row in rows if row["account"] == str(USER)]
    assert his == {
        "host": socket.gethostname(),
        "account": str(USER),
        "processes": 2,
        "resident": sum(map(resident, hosts["sleepers"])),
        "swapped": his["swapped"],
    }
    # sh, sleep, nc and the procmirror that printed them.
    assert [(row["account"], row["processes"]) for row in rows if row["host"] == "second"] == [
        ("root", 4)
    ]


def test_listeners(hosts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = answers("listeners.sql", hosts["folder"], monkeypatch)
    for host, name in ((socket.gethostname(), "first"), ("second", "second")):
        pid, port = hosts[name]
        (row,) = [
            row for row in rows if row["host"] == host and row["local"] == f"127.0.0.1:{port}"
        ]
        assert (row["netid"], row["pid"], row["comm"]) == ("tcp", pid, "nc")
        assert row["command"] == f"nc -l 127.0.0.1 {port}" and row["exe"].endswith("/nc.openbsd")
    assert len([row for row in rows if row["host"] == "second"]) == 1


def test_replaced_programs(hosts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = answers("replaced.sql", hosts["folder"], monkeypatch)
    pid, program = hosts["replaced"]
    (row,) = [row for row in rows if row["pid"] == pid and row["host"] == socket.gethostname()]
    assert (row["comm"], row["exe"]) == ("replaced", f"{program} (deleted)")
    assert "second" not in {row["host"] for row in rows}


def test_one_machine_is_enough(
    hosts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(hosts["folder"] / "hosts" / "second", tmp_path / "hosts" / "only")
    (row,) = answers("listeners.sql", tmp_path, monkeypatch)
    assert (row["host"], row["pid"], row["local"]) == (
        "second",
        hosts["second"][0],
        "127.0.0.1:4141",
    )


def test_duckdb_believes_the_size_of_a_file(stamped: Mount) -> None:
    """Which is why tables.sql wants a copy."""
    with duckdb.connect() as connection:
        query = f"SELECT count(*) FROM read_json('{stamped.path}/processes.ndjson', format = 'newline_delimited')"
        assert connection.execute(query).fetchall() == [(0,)]


def received(server: socket.socket, enough: int) -> bytes:
    """What a collector gets over its first connection until a process is among it."""
    server.settimeout(DEADLINE)
    connection, _ = server.accept()
    with connection:
        connection.settimeout(DEADLINE)
        content = b""
        while b'"pid":%d,' % enough not in content or not content.endswith(b"\n"):
            piece = connection.recv(1 << 16)
            assert piece, "the shipper ended"
            content += piece
        return content


def test_rsyslog_ships_the_processes(stamped: Mount, tmp_path: Path) -> None:
    """Sent by the command of the service beside its configuration.

    A very long command line arrives cut, with a mark, and what follows it whole.
    """
    here, long = tmp_path / "socket", ["x" * 100_000] * 12
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        running(
            sys.executable, "-S", "-c", "import time; time.sleep(600)", *long, name="python"
        ) as giant,
        running("sleep", "651") as last,
    ):
        text = (
            (EXAMPLES / "shipping" / "rsyslog.conf")
            .read_text(encoding="utf-8")
            .replace("collector.example", "127.0.0.1")
        )
        text = text.replace("6514", str(server.getsockname()[1])).replace(
            "/run/procmirror-ship", str(here)
        )
        (tmp_path / "conf").write_text(f'global(workDirectory="{tmp_path}")\n{text}')
        service = (EXAMPLES / "shipping" / "procmirror-ship.service").read_text(encoding="utf-8")
        command = (
            service.partition("\nExecStart=")[2]
            .partition("\n")[0]
            .replace("/mnt/proc", str(stamped.path))
        )
        quiet = ("-i", "NONE", "-f", tmp_path / "conf")
        with running("rsyslogd", "-n", *quiet, name="rsyslogd"):
            until(here.exists, "rsyslogd does not listen")
            sent = shell(command.replace("/run/procmirror-ship", str(here)))
            content = received(server, last)
    assert sent == (0, "", "")
    records = {record["pid"]: record for record in map(json.loads, content.splitlines())}
    assert records[last]["cmdline"] == ["sleep", "651"]
    # Before the long one, and behind it.
    assert giant < last and 1 in records
    assert "truncated" in str(records[giant]["incomplete"])
    assert {record["host"] for record in records.values()} == {socket.gethostname()}
    assert list(records[last])[:4] == ["host", "boot_id", "time", "pid"]


def test_the_timer_starts_the_service(tmp_path: Path) -> None:
    units = [
        EXAMPLES / "shipping" / name
        for name in ("procmirror-ship.service", "procmirror-ship.timer")
    ]
    mirror = tmp_path / "procmirror.service"
    mirror.write_text("[Service]\nExecStart=true\n")
    assert ran("systemd-analyze", "verify", "--man=no", mirror, *units, deadline=60) == (0, "", "")


@contextmanager
def ssh(folder: Path) -> Iterator[str]:
    """The command that reaches an sshd of our own as `here` and `there`, and nobody as `nowhere`."""
    for name in ("host", "user"):
        assert ran("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name).code == 0
    port, closed = free_port(), free_port()
    server = (
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\n"
    )
    (folder / "sshd").write_text(
        f"{server}UsePAM no\nPidFile none\nPermitRootLogin prohibit-password\n"
    )
    reached = f"Host here there\nPort {port}\nHost nowhere\nPort {closed}\nHost *\nHostName 127.0.0.1\nUser root\n"
    trusting = (
        "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nBatchMode yes\n"
    )
    (folder / "ssh").write_text(f"{reached}IdentityFile {folder}/user\n{trusting}")
    made = not Path("/run/sshd").exists()
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    try:
        with running("/usr/sbin/sshd", "-D", "-f", folder / "sshd", name="sshd"):
            until(lambda: listens(port), "sshd does not listen")
            yield f"ssh -n -F {folder}/ssh"
    finally:
        if made:
            Path("/run/sshd").rmdir()


def test_collecting_over_ssh(stamped: Mount, tmp_path: Path) -> None:
    (tmp_path / "hosts" / "nowhere").mkdir(parents=True)
    before = tmp_path / "hosts" / "nowhere" / "sockets.json"
    before.write_text("from before\n")
    with ssh(tmp_path) as command, running("sleep", "661") as pid:
        variables = environment(SSH=command, MOUNT=str(stamped.path))
        script = 'cd "$1" && exec sh "$2" here nowhere there'
        code, out, err = ran(
            "sh", "-c", script, "sh", tmp_path, EXAMPLES / "collect.sh", env=variables
        )
        lines = [line for line in err.splitlines() if line.startswith("collect.sh")]
        one_line = f"for host in here there; do {command} $host grep -l ^sleep {stamped.path}/{pid}/comm; done"
        assert shell(one_line) == (0, f"{stamped.path}/{pid}/comm\n" * 2, "")
    assert (code, out, lines) == (
        1,
        "",
        [f"collect.sh: nowhere: no {stream}" for stream in STREAMS],
    )
    assert before.read_text() == "from before\n"
    for host in ("here", "there"):
        processes = map(
            json.loads, (tmp_path / "hosts" / host / "processes.ndjson").read_text().splitlines()
        )
        assert {record["pid"]: record["cmdline"] for record in processes}[pid] == ["sleep", "661"]
        assert (
            json.loads((tmp_path / "hosts" / host / "sockets.json").read_text())[0]["host"]
            == socket.gethostname()
        )
    assert sorted(path.name for path in tmp_path.glob("hosts/*/*")) == sorted(
        [*STREAMS * 2, "sockets.json"]
    )
