"""What the daemon and its workers are themselves: they hold others' secrets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, comes_true, until
from tests.mounting import Mount
from tests.programs import running
from tests.reliability.mirrors import forge_of, living, mirrored, workers_of, zygote_of
from tests.reliability.readers import Job, Readers, ask, read
from tests.reliability.stuck import stuck

STRANGER = 61004
SECRET = "s3cr3t"
# What a careless caller leaves to the command: a descriptor, a variable.
CARELESS = (
    "import os, sys; os.memfd_create('inherited', 0)\n"
    f"os.execve(sys.executable, [sys.executable, *sys.argv[1:]], {{**os.environ, 'TOKEN': '{SECRET}'}})"
)


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored(program=("-c", CARELESS, "-m", "procmirror")) as mount:
        ask(
            [
                Job(
                    [
                        read(mount.path / "self/smaps.txt"),
                        read(mount.path / f"{mount.daemon}/status"),
                    ]
                )
            ]
        )
        yield mount


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_no_process_can_gain_rights_or_pass_them_on(own_mirror: Mount) -> None:
    for pid in living(own_mirror):
        said = status(pid)
        assert said["NoNewPrivs"] == "1"
        assert all(int(said[name], 16) == 0 for name in ("CapInh", "CapAmb", "CapBnd"))
        # What parses others' files has none and is no process of root's.
        own = 0 if said["Uid"].split()[0] != "0" else int(status(os.getpid())["CapPrm"], 16)
        assert int(said["CapPrm"], 16) == own


def test_each_process_has_a_filter_of_system_calls(own_mirror: Mount) -> None:
    assert {status(pid)["Seccomp"] for pid in living(own_mirror)} == {"2"}


def test_the_filter_refuses_what_no_mirror_needs_and_nothing_else() -> None:
    script = """
import ctypes, errno, os, socket
from procmirror.identity import seccomp
numbers = {name: pair[os.uname().machine != "x86_64"] for name, pair in seccomp._FORBIDDEN.items()}
seccomp.forbid_what_nothing_needs(pipes=True)
call = ctypes.CDLL(None, use_errno=True).syscall
for name, number in numbers.items():
    # With arguments that the kernel would find wrong, should the call arrive there.
    ctypes.set_errno(0)
    assert call(number, -1, -1, -1, -1, -1, -1) == -1 and ctypes.get_errno() == errno.EPERM, name
try:
    os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
except PermissionError:
    os.pipe()
else:
    raise AssertionError("libfuse may make a pipe")
os.listdir("/proc"), socket.socket(socket.AF_UNIX), open("/proc/self/status").read(), os.fork() or os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_a_lost_forking_process_is_not_replaced_from_the_daemons_memory() -> None:
    secret = b"KEPT=" + os.urandom(12).hex().encode()
    environment = {**os.environ, "KEPT": secret.partition(b"=")[2].decode()}
    with (
        mirrored() as own_mirror,
        running("sleep", "600", env=environment) as sleeper,
        (own_mirror.path / f"{sleeper}/environ.txt").open("rb") as held,
    ):
        assert held.read(1)
        forge, zygote = forge_of(own_mirror), zygote_of(own_mirror)
        # Workers that rest would go on without it for a while.
        for pid in (forge, *workers_of(own_mirror)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        def another() -> int:
            ask([Job([read(own_mirror.path / "processes.ndjson")])])
            found = forge_of(own_mirror)
            return 0 if found == forge else found

        other = until(another, "no other forking process")
        assert zygote_of(own_mirror) == zygote
        assert knows(own_mirror.daemon, secret)
        assert not knows(other, secret)
        assert not knows(zygote, secret)


def knows(pid: int, text: bytes) -> bool:
    """Whether a text is somewhere in the writable memory of a process."""
    ranges = [
        line.split()[0].split("-")
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="ascii").splitlines()
        if line.split()[1].startswith("rw")
    ]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in ranges:
            memory.seek(int(start, 16))
            with contextlib.suppress(OSError):
                if text in (memory.read(int(end, 16) - int(start, 16)) or b""):
                    return True
    return False


def test_no_process_dumps_core(own_mirror: Mount) -> None:
    for pid in living(own_mirror):
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8").splitlines()
        assert next(
            line.split()[4:6] for line in limits if line.startswith("Max core file size")
        ) == ["0", "0"]


def test_where_memory_is_short_the_kernel_ends_a_worker_before_the_daemon(
    own_mirror: Mount,
) -> None:
    """The kernel ends who has the highest score (proc_pid_oom_score(5))."""

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score").read_text(encoding="ascii"))

    workers, forge = workers_of(own_mirror), score(forge_of(own_mirror))
    kept = [own_mirror.daemon, zygote_of(own_mirror)]
    assert workers and min(map(score, workers)) > forge > max(map(score, kept))


def test_no_process_is_dumpable() -> None:
    # The files of a process that is not belong to root's group, whatever group it runs with.
    become = f"import os, sys; os.setgid({STRANGER}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    with subprocess.Popen(
        [sys.executable, "-c", become, "-c", "input()"], stdin=subprocess.PIPE
    ) as ordinary:
        assert comes_true(lambda: os.stat(f"/proc/{ordinary.pid}/environ").st_gid == STRANGER)
    with mirrored(program=("-c", become, "-m", "procmirror")) as mount:
        ask([Job([read(mount.path / "self/smaps.txt")])])
        assert {os.stat(f"/proc/{pid}/environ").st_gid for pid in living(mount)} == {0}


def test_descriptors_and_environment_of_the_caller_do_not_stay(own_mirror: Mount) -> None:
    for pid in living(own_mirror):
        targets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert not any("inherited" in target for target in targets)
        assert SECRET not in Path(f"/proc/{pid}/environ").read_text(
            encoding="utf-8", errors="replace"
        )


def test_log_lines_are_rate_limited_and_show_nothing_of_other_processes(own_mirror: Mount) -> None:
    before = len(own_mirror.log.read_text(encoding="utf-8").splitlines())
    marker = "m4rker"
    with stuck() as (target,):
        start = time.monotonic()
        steps = [
            read(own_mirror.path / f"{target.pid}/{entry}")
            for entry in ("cmdline", "environ.txt", "smaps.json")
        ]
        environment = {**os.environ, "SHOWN": marker}
        command = ("bash", "-c", f"exec -a {marker} sleep 600")
        with running(*command, name="sleep", env=environment) as sleeper:
            steps += [
                read(own_mirror.path / f"{sleeper}/{entry}") for entry in ("environ.txt", "cmdline")
            ] * 20
            assert None not in Readers([Job(steps)] * 40, 20).answers()
        seconds = time.monotonic() - start
    lines = own_mirror.log.read_text(encoding="utf-8").splitlines()[before:]
    assert len(lines) <= seconds + 2
    assert marker not in "".join(lines)
