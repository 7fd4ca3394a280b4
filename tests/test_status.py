"""What the mirror says of itself: README.txt, `--status`, the service manager and the journal."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from procmirror.cli import log as log_handlers
from procmirror.cli.service_manager import ServiceManager
from tests.command import answer, complaint, run
from tests.harness import ROOT, until
from tests.mounting import Mount, mounted
from tests.programs import PROCMIRROR, Ran, ran

STATUS = ".procmirror.json"


def test_a_readme_stands_in_the_root(mirror: Mount, wes: int) -> None:
    readme = mirror.path / "README.txt"
    assert "README.txt" in os.listdir(mirror.path)
    text = readme.read_text(encoding="ascii")
    assert ran("cat", readme, user=wes) == Ran(0, text, "")
    # What it names is there.
    for name in ("machine.txt", "processes.txt", "sockets.txt", "waits.txt", "self/status.json"):
        assert name.rpartition("/")[2] in text or name in text
        assert (mirror.path / name).exists()
    assert os.access(readme, os.R_OK) and not os.access(readme, os.X_OK)
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        readme.write_text("x")


@pytest.mark.parametrize("option", ["views=none", "hide=README.txt"])
def test_it_is_absent_where_nothing_is_added_or_it_is_hidden(option: str) -> None:
    with mounted("-o", option) as mount:
        assert "README.txt" not in os.listdir(mount.path)
        assert not (mount.path / "README.txt").exists()
        assert json.loads(answer("--status", str(mount.path), "--format", "json"))["requests"] > 0


def test_the_state_counts_requests_and_failures(mirror: Mount) -> None:
    def told() -> dict[str, int | dict[str, int]]:
        answered = answer("--status", str(mirror.path), "--format", "json")
        return dict(json.loads(answered))

    before = told()
    for _ in range(20):
        assert not (mirror.path / "there-is-no-such").exists()
    after = told()
    assert isinstance(before["requests"], int) and isinstance(after["requests"], int)
    assert after["requests"] >= before["requests"] + 20
    assert isinstance(before["errors"], dict) and isinstance(after["errors"], dict)
    assert after["errors"]["ENOENT"] >= before["errors"].get("ENOENT", 0) + 20


def test_the_state_has_its_processes_with_their_memory(mirror: Mount) -> None:
    state = json.loads(answer("--status", str(mirror.path), "--format", "json"))
    found = {one["pid"]: one["resident"] for one in state["processes"]}
    assert state["pid"] in found and set(found) <= set(mirror.processes())
    assert all(resident > 1 << 20 for resident in found.values())
    assert state["workers"] >= 1 and state["uptime"] > 0


def test_at_sigusr1_the_state_is_logged_and_nothing_ends(mirror: Mount) -> None:
    before = mirror.processes()
    for pid in before:
        # A worker may end by itself.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)
    line = until(
        lambda: [one for one in mirror.log.read_text().splitlines() if "state {" in one],
        "nothing is logged",
    )[0]
    assert f'"pid":{mirror.daemon},' in line and '"requests":' in line
    assert (mirror.path / "self/status.txt").read_text()
    assert set(before[:3]) <= set(mirror.processes())


def test_the_state_is_told_in_three_forms(mirror: Mount) -> None:
    text = answer("--status", str(mirror.path)).decode()
    for name in ("requests", "errors", "slow targets", "refused accounts", "resident memory"):
        assert f"\n{name} " in text
    metrics = answer("--status", str(mirror.path), "--format", "prometheus").decode()
    assert "\nprocmirror_requests_total " in metrics
    samples = [line for line in metrics.splitlines() if not line.startswith("#")]
    assert all(float(line.rpartition(" ")[2]) >= 0 for line in samples)
    promtool = ran("sh", "-c", "command -v promtool")
    if not promtool.code:
        checked = ran("sh", "-c", 'printf "%s" "$1" | promtool check metrics', "sh", metrics)
        assert checked.code == 0


@pytest.mark.root
def test_nobody_but_root_reads_the_state(mirror: Mount, wes: int) -> None:
    place = mirror.path / STATUS
    assert STATUS not in os.listdir(mirror.path)
    refused = Ran(1, "", f"cat: {place}: Permission denied\n")
    assert ran("cat", place, user=wes) == refused
    # Not even root in a mount namespace of its own, as in a container.
    assert ran("unshare", "-m", "cat", place) == refused
    assert place.stat().st_mode & 0o777 == 0o400


def test_a_place_without_a_mirror_is_one_line(tmp_path: Path) -> None:
    assert complaint("--status", str(tmp_path)) == (
        f"{tmp_path}: no mirror of this version is mounted there"
    )
    (tmp_path / STATUS).write_text("{}")
    assert complaint("--status", str(tmp_path)).endswith("its daemon is of another version")


@pytest.mark.root
def test_who_may_not_ask_is_told_why(mirror: Mount, wes: int, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for place, why in (
        (mirror.path, "only the user who mounted it may ask"),
        (closed / "below", "Permission denied"),
    ):
        done = run("--status", str(place), user=wes)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.decode() == f"procmirror: {place}: {why}\n"


def test_a_mirror_that_does_not_answer_is_one_line_or_ended_by_ctrl_c() -> None:
    with mounted() as mount:
        os.kill(mount.daemon, signal.SIGSTOP)
        try:
            words = [*PROCMIRROR, "--status", str(mount.path)]
            with subprocess.Popen(words, cwd=ROOT, stdout=-1, stderr=-1) as asking:
                try:
                    until(lambda: len(os.listdir(f"/proc/{asking.pid}/task")) > 1, seconds=10)
                    asking.send_signal(signal.SIGINT)
                    assert asking.communicate(timeout=60) == (b"", b"")
                finally:
                    asking.kill()
            assert asking.returncode == -signal.SIGINT
            said = complaint("--status", str(mount.path))
        finally:
            os.kill(mount.daemon, signal.SIGCONT)
    assert said == (f"{mount.path}: what is mounted there does not answer; umount -l takes it away")


def test_a_service_manager_hears_that_the_daemon_lives_and_how_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        with mounted():
            told = [manager.recv(200) for _ in range(4)]
            told += [] if b"READY=1\n" in told else [manager.recv(200)]
            # A daemon may live for a while before its mount answers.
            told.remove(b"READY=1\n")
            for message in told:
                lives, state, end = message.split(b"\n")
                assert (lives, end) == (b"WATCHDOG=1", b"")
                assert state.startswith(b"STATUS=") and b" requests, " in state


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0),
        ({"NOTIFY_SOCKET": "/x"}, 10),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "60000000"}, 30),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, 10),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, 10),
        ({"WATCHDOG_USEC": "60000000"}, 0),
    ],
)
def test_a_sign_of_life_comes_twice_as_often_as_it_has_to(
    environment: dict[str, str], seconds: float
) -> None:
    assert ServiceManager(environment).beat_seconds == seconds


def test_the_journal_gets_fields() -> None:
    fields = dict(_fields(log_handlers._journal_frame(logging.WARNING, "b=c")))
    assert fields["MESSAGE"] == "b=c" and fields["PRIORITY"] == "4"
    assert fields["SYSLOG_IDENTIFIER"] == "procmirror" and fields["PROCMIRROR_LEVEL"] == "WARNING"
    assert fields["SYSLOG_PID"] == str(os.getpid())


def test_the_journal_is_written_to_where_it_takes_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = os.fstat(2)
    monkeypatch.setattr(log_handlers, "to_journal", lambda: "the journal")
    monkeypatch.setattr(log_handlers, "to_stderr", lambda: "standard error")
    for stream, expected in (
        (f"{found.st_dev}:{found.st_ino}", "the journal"),
        ("1:2", "standard error"),
    ):
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        assert str(log_handlers.to_journal_or_stderr()) == expected


def _fields(message: bytes) -> list[tuple[str, str]]:
    pairs = [line.partition("=") for line in message.decode().splitlines()]
    return [(name, value) for name, _, value in pairs]


def test_requests_go_on_being_counted_while_a_state_is_read(mirror: Mount) -> None:
    with open(mirror.path / STATUS, "rb") as first:
        until(lambda: bool(first.read(1)), "nothing is read")
        first.seek(0)
        assert json.loads(first.read())["open_files"] >= 0
