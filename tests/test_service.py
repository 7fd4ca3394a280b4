"""The mirror as mount(8), /etc/fstab and a service manager start it."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import DEADLINE, ROOT, until
from tests.programs import PROCMIRROR, Ran, environment, ran, started

pytestmark = pytest.mark.mount

EXAMPLES = ROOT / "examples"
UNIT = (EXAMPLES / "systemd" / "procmirror.service").read_text(encoding="utf-8")
INSTALLED = Path("/usr/local/bin/procmirror")
MOUNT_UNIT = (EXAMPLES / "systemd" / "mnt-proc.mount").read_text(encoding="utf-8")
# What a service may be told without being given a mount namespace of its own, in which nobody else
# would see the mount: each was looked up in systemd.exec(5), systemd.service(5) or
# systemd.resource-control(5); another has to be before it stands here.
_WITHOUT_NAMESPACE = {
    *("CPUWeight", "OOMScoreAdjust"),
    *(
        "Type",
        "ExecStartPre",
        "ExecStart",
        "ExecStop",
        "ExecStopPost",
        "TimeoutStopSec",
        "Restart",
        "RestartSec",
        "KillMode",
    ),
    *(
        "OOMPolicy",
        "WatchdogSec",
        "NoNewPrivileges",
        "UMask",
        "DevicePolicy",
        "DeviceAllow",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
    ),
    *(
        "IPAddressDeny",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "ProtectClock",
    ),
    *(
        "KeyringMode",
        "SystemCallArchitectures",
        "SystemCallFilter",
        "SystemCallErrorNumber",
        "LimitCORE",
    ),
    "CapabilityBoundingSet",
}
# In tenths, as systemd-analyze counts; what is left belongs to what a mirror is: root's, in
# everybody's namespaces, mounting.
_EXPOSURE = 61  # 59 without perf_event_open, which samples running threads


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory, free again at the end whatever was mounted there."""
    path = Path(tempfile.mkdtemp(prefix="procmirror-place-"))
    path.chmod(0o755)
    yield path
    while mounted_at(path):
        assert ran("umount", "-l", path).code == 0
    path.rmdir()


def mounted_at(path: Path) -> list[list[str]]:
    """The mountinfo lines of a place."""
    lines = map(str.split, Path("/proc/self/mountinfo").read_text().splitlines())
    return [fields for fields in lines if fields[4] == str(path)]


@pytest.fixture(scope="module")
def installed() -> Iterator[None]:
    """The command where mount(8) finds it: it takes no PATH from its caller."""
    kept = INSTALLED.with_name("procmirror.kept-by-test")
    if INSTALLED.exists():
        INSTALLED.rename(kept)
    INSTALLED.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m procmirror "$@"\n')
    INSTALLED.chmod(0o755)
    yield
    INSTALLED.unlink()
    if kept.exists():
        kept.rename(INSTALLED)


def unmounted(path: Path) -> None:
    assert ran("umount", path) == Ran(0, "", "")
    assert not mounted_at(path)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("kind", "source", "options"),
    [
        ("fuse.procmirror", "/proc", "defaults"),
        (
            "fuse.procmirror",
            "/proc",
            "rw,suid,dev,exec,relatime,nofail,_netdev,x-systemd.foo,hide=kmsg:PID/mem,timeout=3",
        ),
        ("fuse", "procmirror#/proc", "noatime,nodiratime,user=root,views=txt+json"),
    ],
)
def test_mount_starts_it(place: Path, kind: str, source: str, options: str) -> None:
    answer = ran("mount", "-t", kind, source, place, "-o", options)
    assert answer == Ran(0, "", "")
    (fields,) = mounted_at(place)
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(fields[5].split(","))
    assert fields[fields.index("-") + 1 :][:2] == ["fuse.procmirror", "/proc"]
    assert (place / "self" / "comm.json").exists()
    assert (place / "kmsg").exists() != ("hide" in options)
    unmounted(place)


@pytest.mark.usefixtures("installed")
def test_mount_starts_one_that_takes_writes(place: Path) -> None:
    """What mount(8) adds by itself, rw among it, does not make it one."""
    assert ran("mount", "-t", "fuse.procmirror", "/proc", place, "-o", "write,hide=kmsg") == Ran(
        0, "", ""
    )
    (fields,) = mounted_at(place)
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(fields[5].split(",")) and not (
        place / "kmsg"
    ).exists()
    assert ran(
        "sh", "-c", 'echo 300 > "$0/self/oom_score_adj" && cat /proc/self/oom_score_adj', place
    ) == Ran(0, "300\n", "")
    unmounted(place)
    answer = ran("mount", "-r", "-t", "fuse.procmirror", "/proc", place, "-o", "write")
    assert answer.code != 0 and "procmirror: ro and write contradict each other\n" in answer.err


@pytest.mark.usefixtures("installed")
def test_mount_says_what_is_wrong(place: Path) -> None:
    answer = ran("mount", "-t", "fuse.procmirror", "/proc", place, "-o", "sparkle")
    assert answer.code != 0 and "procmirror: unknown mount option 'sparkle'\n" in answer.err


@pytest.mark.usefixtures("installed")
def test_the_line_of_fstab_mounts_it(place: Path, tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    table.write_text((EXAMPLES / "fstab").read_text().replace("/mnt/proc  fuse", f"{place}  fuse"))
    for _ in range(2):
        assert ran("mount", "--fstab", table, "--all") == Ran(0, "", "")
        assert len(mounted_at(place)) == 1 and not (place / "kmsg").exists()
    unmounted(place)


def settings(name: str, unit: str = UNIT) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


@contextmanager
def served(place: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    """The daemon as the unit starts it, bounded as there, told where to say that it is ready.

    It has said so.
    """
    taken = [
        f"-{name.removeprefix('CAP_').lower()}"
        for line in settings("CapabilityBoundingSet")
        for name in line[1:].split()
    ]
    command = shlex.split(settings("ExecStart")[0].replace("/mnt/proc", str(place)))
    assert command[0] == "procmirror"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1))
        manager.settimeout(DEADLINE)
        limits = ("setpriv", "--no-new-privs", f"--bounding-set={','.join(taken)}")
        env = environment(NOTIFY_SOCKET=address)
        daemon = started(*limits, *PROCMIRROR, *command[1:], env=env, stderr=subprocess.PIPE)
        try:
            assert manager.recv(100).startswith(b"READY=1\n")
            yield daemon
        finally:
            daemon.kill()
            daemon.communicate(timeout=DEADLINE)


def test_the_service_is_ready_when_the_mount_answers(place: Path, tmp_path: Path) -> None:
    for address in (str(tmp_path / "notify"), f"@procmirror-test-{os.getpid()}"):
        with served(place, address) as daemon:
            for name in (
                "self/environ.txt",
                "1/comm.json",
                "net/tcp.txt",
                "sys.json",
                f"{daemon.pid}/status.txt",
            ):
                assert (place / name).read_bytes()
            (command,) = settings("ExecStop")
            assert ran(
                *shlex.split(command.removeprefix("-").replace("/mnt/proc", str(place)))
            ) == Ran(0, "", "")
            assert daemon.wait(DEADLINE) == 0 and not mounted_at(place)
            assert daemon.stderr and "WARNING" not in daemon.stderr.read()


def test_a_restart_leaves_no_dead_mount(place: Path, tmp_path: Path) -> None:
    for attempt in range(3):
        with served(place, str(tmp_path / f"notify{attempt}")) as daemon:
            assert len(mounted_at(place)) == 1 and (place / "self/stat.json").exists()
            daemon.send_signal(signal.SIGKILL if attempt < 2 else signal.SIGTERM)
            assert daemon.wait(DEADLINE) == (-signal.SIGKILL if attempt < 2 else 0)
    until(lambda: not mounted_at(place), "it is mounted still")


def afterwards(place: Path) -> None:
    """What the unit does when its daemon has ended, however."""
    (command,) = settings("ExecStopPost")
    ran(*shlex.split(command.removeprefix("-").replace("/mnt/proc", str(place))))


def test_a_daemon_that_is_not_started_again_leaves_no_dead_mount(
    place: Path, tmp_path: Path
) -> None:
    """Not even while somebody stands in it; but a mount that answers is somebody's, and stays."""
    with served(place, str(tmp_path / "notify")) as daemon:
        inside = os.open(place / "self", os.O_RDONLY)
        daemon.kill()
        daemon.wait(DEADLINE)
        assert ran("ls", place).err.endswith(f"{os.strerror(errno.ENOTCONN)}\n")
        afterwards(place)
        assert not mounted_at(place) and list(place.iterdir()) == []
        os.close(inside)
    afterwards(place)
    with served(place, str(tmp_path / "again")):
        afterwards(place)
        assert (place / "self/stat.json").exists()


def test_the_unit_makes_no_mount_namespace() -> None:
    service = UNIT.partition("\n[Service]\n")[2].partition("\n[")[0]
    assert set(re.findall(r"^(\w+)=", service, re.MULTILINE)) == _WITHOUT_NAMESPACE
    assert settings("Type") == ["notify"] and settings("Restart") == ["on-failure"]
    assert not {"mnt", "pid"} & set(settings("RestrictNamespaces")[0].split())


def test_its_code_is_not_written_while_it_runs(place: Path) -> None:
    """As MemoryDenyWriteExecute= has it, by the kernel's own switch (PR_SET_MDWE, Linux 6.3), which is stricter."""
    assert settings("MemoryDenyWriteExecute") == ["yes"]
    program = "import ctypes; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); from procmirror.cli.main import main; main()"
    daemon = started(sys.executable, "-c", program, "-f", place)
    try:
        until(lambda: mounted_at(place), "it does not start")
        for name in (
            "self/environ.txt",
            f"{daemon.pid}/stack.txt",
            "sockets.txt",
            "processes.ndjson",
            "1/process.json",
        ):
            assert (place / name).read_bytes()
        unmounted(place)
        assert daemon.wait(DEADLINE) == 0
    finally:
        daemon.kill()
        daemon.wait(DEADLINE)


@pytest.mark.usefixtures("installed")
def test_the_mount_unit_mounts_it(place: Path) -> None:
    """By the command that systemd makes of it (systemd.mount(5))."""
    (what,), (where,), (kind,), (options,) = (
        settings(name, MOUNT_UNIT) for name in ("What", "Where", "Type", "Options")
    )
    assert f"{where[1:].replace('/', '-')}.mount" == "mnt-proc.mount"
    assert ran("mount", what, place, "-t", kind, "-o", options) == Ran(0, "", "")
    assert (place / "self/comm.json").exists() and not (place / "kmsg").exists()
    unmounted(place)


@pytest.mark.parametrize("name", ["procmirror.service", "mnt-proc.mount"])
def test_the_units_are_units_to_systemd(tmp_path: Path, name: str) -> None:
    unit = tmp_path / name
    unit.write_text(
        (EXAMPLES / "systemd" / name)
        .read_text()
        .replace("ExecStart=procmirror", "ExecStart=/bin/true")
    )
    assert ran("systemd-analyze", "verify", "--man=no", unit, deadline=60) == Ran(0, "", "")


def test_the_service_is_as_little_exposed_as_it_can_be(tmp_path: Path) -> None:
    unit = tmp_path / "procmirror.service"
    unit.write_text(UNIT)
    answer = ran(
        "systemd-analyze",
        "security",
        "--no-pager",
        "--offline=true",
        f"--threshold={_EXPOSURE}",
        unit,
        deadline=60,
    )
    assert answer.code == 0, answer.out
