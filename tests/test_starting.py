"""Every start ends with one clear line and the right code: it answers, or it says why not."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.cli import mounting, startup
from procmirror.cli.errors import CommandError
from tests.harness import ROOT, ended, until
from tests.mounting import mounted
from tests.programs import PROCMIRROR, Ran, children, ran, shell

COMMAND = shlex.join(PROCMIRROR)
PRIVATE = ("unshare", "--mount", "--propagation", "private", "sh", "-c")


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory, unmounted at the end whatever was mounted there."""
    path = Path(tempfile.mkdtemp(prefix="procmirror-starting-"))
    yield path
    while str(path) in mountpoints():
        assert ran("umount", "-l", path).code == 0
    path.rmdir()


def one_line(said: Ran) -> str:
    """The line on stderr of a command that ended with 1 and said nothing else."""
    assert said.code == 1 and not said.out
    (line,) = said.err.splitlines()
    return line


def mountpoints() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line.split()[4] for line in lines]


def within(script: str) -> Ran:
    """A shell script in a mount namespace of its own."""
    return ran(*PRIVATE, script)


def test_an_empty_mountpoint_is_not_the_working_directory() -> None:
    assert one_line(ran(*PROCMIRROR, "")) == "procmirror: MOUNTPOINT is empty"


def test_a_relative_mountpoint_in_a_deleted_directory(place: Path) -> None:
    gone = place / "gone"
    said = shell(f"mkdir {gone}; cd {gone}; rmdir {gone}; {COMMAND} here")
    assert one_line(said) == "procmirror: here: the working directory has been deleted"


def test_a_mountpoint_whose_name_is_no_utf8_is_named_by_its_bytes() -> None:
    said = one_line(ran(*PROCMIRROR, os.fsdecode(b"/nowhere/bad\xff")))
    assert said == "procmirror: /nowhere/bad\\xff: No such file or directory"


def test_without_a_procfs_at_proc(place: Path) -> None:
    said = within(f"mount -t tmpfs tmpfs /proc; {COMMAND} {place}")
    assert one_line(said) == "procmirror: /proc: not a procfs"


@pytest.mark.parametrize("foreground", ["", "-f "])
def test_over_proc_without_room_below_run(foreground: str) -> None:
    full = "mount -t tmpfs -o nr_inodes=1 tmpfs /run"
    said = one_line(within(f"{full}; {COMMAND} {foreground}/proc"))
    assert said.startswith("procmirror: /proc: ") and said.endswith("No space left on device")


def test_without_a_null_device(place: Path) -> None:
    bare = "mount -t tmpfs tmpfs /dev; mknod /dev/fuse c 10 229"
    said = one_line(within(f"{bare}; {COMMAND} {place}"))
    assert said.endswith("/dev/null: No such file or directory")


def test_a_module_that_cannot_be_imported_is_named(place: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "trio.py").write_text("x =", encoding="ascii")
        said = one_line(shell(f"PYTHONPATH={folder}:{ROOT} {COMMAND} {place}"))
    assert "SyntaxError" in said


@pytest.mark.parametrize("name", ["a,b", "a,suid", "a\\b", "a\\,b"])
def test_a_source_with_what_separates_options(place: Path, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, name)
        source.mkdir()
        script = (
            f"mount -t proc proc {shlex.quote(str(source))} && "
            f"{COMMAND} {shlex.quote(str(source))} {place} && "
            f"findmnt --noheadings --output SOURCE,OPTIONS {place}; umount {place}"
        )
        said = within(script)
        source.rmdir()
    shown, options = said.out.split()
    assert shown == str(source)
    assert "nosuid" in options.split(",")


@pytest.mark.parametrize("source", ["", "/proc "])
def test_a_mountpoint_that_begins_with_a_dash(place: Path, source: str) -> None:
    (place / "-m").mkdir()
    said = shell(f"cd {place}; {COMMAND} {source}-- -m && cat ./-m/1/comm && umount ./-m")
    (place / "-m").rmdir()
    assert said.code == 0 and said.out


def test_of_two_at_once_one_mounts(place: Path) -> None:
    both = [
        subprocess.Popen([*PROCMIRROR, place], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [one.communicate()[1].splitlines() for one in both]
    assert sorted(one.returncode for one in both) == [0, 1]
    assert len(said[0] + said[1]) == 1
    assert mountpoints().count(str(place)) == 1


def test_the_callers_limit_of_the_size_of_files_is_not_the_mirrors(place: Path) -> None:
    said = shell(f"(ulimit -f 0; {COMMAND} {place}); cat {place}/kallsyms | wc -c")
    assert int(said.out) > 100_000


def test_a_limit_of_the_size_of_files_that_stays_is_told(place: Path) -> None:
    without = "setpriv --bounding-set=-sys_resource"
    said = shell(f"ulimit -f 0; {without} {COMMAND} {place}")
    assert "views larger than 0 bytes end with EFBIG" in said.err


def test_a_limit_of_open_files_with_which_nobody_is_served_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = [(63, 63)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    mounting.raise_limit_of_open_files()
    mounting.raise_limit_of_open_files()
    assert limits == [(63, 63), (1024, 1024)]


@pytest.mark.parametrize("limit", [9, 12, 20, 63])
def test_with_few_descriptors_who_may_have_no_more_is_told(place: Path, limit: int) -> None:
    without = "setpriv --bounding-set=-sys_resource"
    said = one_line(shell(f"ulimit -n {limit}; {without} {COMMAND} {place}"))
    assert f"no more than {limit} open files are allowed" in said
    assert str(place) not in mountpoints()


@pytest.mark.parametrize("limit", [64, 80])
def test_with_the_fewest_descriptors_it_serves(place: Path, limit: int) -> None:
    assert shell(f"ulimit -n {limit}; {COMMAND} {place}").code == 0
    assert (place / "1/status.txt").read_text() and (place / "processes.txt").read_text()


def test_a_mirror_whose_daemon_is_stopped_keeps_no_second_one_waiting() -> None:
    with mounted() as mount:
        os.kill(mount.daemon, signal.SIGSTOP)
        try:
            said = one_line(ran(*PROCMIRROR, mount.path))
        finally:
            os.kill(mount.daemon, signal.SIGCONT)
    assert "does not answer" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_is_being_mounted(place: Path, number: signal.Signals) -> None:
    with subprocess.Popen([*PROCMIRROR, place], cwd=ROOT, stderr=-1, text=True) as command:
        (daemon, *_) = until(lambda: children(command.pid))
        command.send_signal(number)
        _, said = command.communicate(timeout=60)
    assert (command.returncode, said) == (1, f"procmirror: ended by {number.name}\n")
    until(lambda: ended(daemon), "the daemon is left")
    assert str(place) not in mountpoints()


def test_a_signal_before_the_daemon_is_there_is_one_line(place: Path) -> None:
    program = f"""
import os, signal, sys
from procmirror.cli import main, mountpoint
mountpoint.check = lambda _: os.kill(os.getpid(), signal.SIGINT)
sys.exit(main.main([{str(place)!r}, "-f"]))
"""
    said = one_line(ran(sys.executable, "-c", program))
    assert said == "procmirror: ended by SIGINT"


def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_IDLE_SECONDS", 0.5)
    monkeypatch.setattr(startup, "_TO_END_SECONDS", 0.5)


def starting(program: str, place: Path) -> tuple[subprocess.Popen[bytes], startup.Starting]:
    """A daemon that is a Python program, which finds the pipe to the command as standard output."""
    daemon = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    proc = os.open("/proc", os.O_RDONLY)
    return daemon, startup.Starting(daemon.pid, daemon.stdout.fileno(), proc, str(place))


def test_a_daemon_that_works_on_is_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _slow(monkeypatch)
    busy = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: pass\nprint(end='ready')"
    daemon, starts = starting(busy, place)
    with daemon:
        starts.wait()


def test_a_daemon_that_does_nothing_is_ended(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _slow(monkeypatch)
    stuck = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"
    )
    daemon, starts = starting(stuck, place)
    with daemon:
        with pytest.raises(CommandError, match="was ended"):
            starts.wait()
        until(lambda: daemon.poll() is not None)
    assert daemon.returncode == -signal.SIGKILL
