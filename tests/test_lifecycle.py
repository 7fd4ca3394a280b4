"""The life of a mount: started, refused, asked to end, killed; and where it may be mounted."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.harness import DEADLINE, ROOT, ended, until
from tests.mounting import mounted
from tests.programs import (
    PROCMIRROR,
    Ran,
    children,
    descendants,
    killed,
    ran,
    running,
    shell,
    started,
)

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that everybody may search, free again at the end whatever was mounted there."""
    path = Path(tempfile.mkdtemp(prefix="procmirror-place-"))
    path.chmod(0o755)
    yield path
    while str(path) in mountpoints():
        assert ran("umount", "-l", path).code == 0
    path.rmdir()


def mountpoints() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


class Daemon(NamedTuple):
    """One that went to the background: it and its workers, and what the command said."""

    pid: int
    processes: list[int]
    answer: Ran

    def code(self) -> int:
        """Its exit status, once nothing of it runs any more."""
        until(lambda: all(map(ended, self.processes)), "processes are left")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def adopting() -> Iterator[None]:
    """This process inherits what its children leave behind, as init does."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def spoken(*command: object, **options: Any) -> Ran:
    """A program that has ended, though others may still have its output open."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        program = started(*command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **options)
        code = program.wait(DEADLINE)
        return Ran(code, *(os.pread(file.fileno(), 4096, 0).decode() for file in (out, err)))


@contextmanager
def background(*arguments: object, **options: Any) -> Iterator[Daemon]:
    """The command without -f, and the daemon that it leaves."""
    with adopting():
        before = set(children(os.getpid()))
        answer = spoken(*PROCMIRROR, *arguments, **options)
        assert answer.code == 0, answer
        (pid,) = set(children(os.getpid())) - before
        daemon = Daemon(pid, descendants(pid), answer)
        try:
            yield daemon
        finally:
            killed(*daemon.processes)
            until(lambda: all(map(ended, daemon.processes)), "processes are left")
            for one in daemon.processes:
                with suppress(ChildProcessError):
                    os.waitpid(one, os.WNOHANG)


def test_the_mount_answers_when_the_command_returns(place: Path) -> None:
    with background(place) as daemon:
        assert daemon.answer == (0, "", "")
        assert (place / "self" / "comm.json").exists()
        own = Path(f"/proc/{daemon.pid}")
        assert os.getsid(daemon.pid) == daemon.pid
        assert own.joinpath("cwd").readlink() == Path("/")
        assert {own.joinpath("fd", str(number)).readlink() for number in range(3)} == {
            Path("/dev/null")
        }
        assert own.joinpath("cmdline").read_bytes().split(b"\0")[:-1] == [
            *map(os.fsencode, PROCMIRROR),
            bytes(place),
        ]


def test_nobody_waits_for_the_daemon(place: Path) -> None:
    """Neither for the end of the command's output nor for a lock or pipe that the command was given."""
    given, kept = os.pipe()
    with background("/proc", place, pass_fds=[kept]) as daemon:
        os.close(kept)
        for pid in daemon.processes:
            streams = [Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)]
            assert set(streams) == {Path("/dev/null")}, f"{pid} keeps {streams}"
        assert select.select([given], [], [], DEADLINE)[0], "somebody keeps the pipe"
        os.close(given)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_a_command_without_standard_streams_mounts(place: Path, closed: str) -> None:
    with daemon_of(place, closed):
        assert (place / "self/comm").read_bytes() == Path("/proc/self/comm").read_bytes()


def test_a_mirror_at_a_place_with_a_name_in_another_script_is_not_mounted_twice(
    place: Path,
) -> None:
    named = place / "\u00fc \u4e00"
    named.mkdir()
    with daemon_of(named, ""):
        assert ran(*PROCMIRROR, named) == (
            1,
            "",
            f"procmirror: {named}: already served by procmirror\n",
        )
    named.rmdir()


@contextmanager
def daemon_of(place: Path, redirected: str) -> Iterator[None]:
    """A mirror mounted by a shell that redirects; unmounted at the end."""
    command = " ".join(map(shlex.quote, map(str, [*PROCMIRROR, place])))
    assert (
        subprocess.run(
            ["sh", "-c", f"{command} {redirected}"], cwd=ROOT, timeout=DEADLINE, check=False
        ).returncode
        == 0
    )
    try:
        yield
    finally:
        assert ran("umount", place).code == 0


def test_a_mirror_is_not_mounted_twice(place: Path) -> None:
    with background(place):
        said = f"procmirror: {place}: already served by procmirror\n"
        assert ran(*PROCMIRROR, place) == (1, "", said)
        assert ran(*PROCMIRROR, "-f", f"{place}/../{place.name}/") == (1, "", said)


def test_in_the_foreground_it_stays() -> None:
    with mounted() as mount:
        assert Path(f"/proc/{mount.daemon}/comm").read_text() == Path("/proc/self/comm").read_text()
        assert os.getsid(mount.daemon) == os.getsid(0)
        assert mount.log.read_text() == ""


def signalled(number: signal.Signals) -> Callable[[Daemon, Path], object]:
    return lambda daemon, _: os.kill(daemon.pid, number)


def by(*command: str) -> Callable[[Daemon, Path], object]:
    return lambda _, place: ran(*command, place)


ENDS = {
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGINT": signalled(signal.SIGINT),
    "SIGHUP": signalled(signal.SIGHUP),
    "umount": by("umount"),
    "umount -l": by("umount", "-l"),
    "fusermount3 -u": by("fusermount3", "-u"),
}


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_cleanly(place: Path, end: str) -> None:
    with background(place) as daemon:
        assert ran("cat", place / "self" / "maps.json").code == 0
        ENDS[end](daemon, place)
        assert daemon.code() == 0
        assert str(place) not in mountpoints()
        assert list(place.iterdir()) == []


def test_it_ends_while_files_are_open(place: Path) -> None:
    with background(place) as daemon:
        held = os.open(place / "self" / "status", os.O_RDONLY)
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.code() == 0
        assert str(place) not in mountpoints()
        for use in (lambda: os.read(held, 10), lambda: os.close(held)):
            with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
                use()


def test_the_place_of_a_killed_daemon_is_taken_over(place: Path) -> None:
    with background(place) as daemon:
        os.kill(daemon.pid, signal.SIGKILL)
        assert daemon.code() == -signal.SIGKILL
        assert ran("ls", place) == (
            2,
            "",
            f"ls: cannot access '{place}': {os.strerror(errno.ENOTCONN)}\n",
        )
        with background(place):
            assert (place / "self" / "environ.txt").exists()
            assert mountpoints().count(str(place)) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "ro"],
        ["-o", "rw,dev,suid,exec,async,noatime"],
        ["-onosuid,nodev,noexec,allow_other,default_permissions", "-o", "_netdev"],
        ["-o", "timeout=3"],
        ["--timeout", "0.5"],
    ],
    ids=" ".join,
)
def test_options_of_fuse_programs_are_taken(place: Path, options: list[str]) -> None:
    with background(*options, "/proc", place):
        line = next(
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if line.split()[4] == str(place)
        )
        flags, (kind, source, of_filesystem) = (
            line.split()[5].split(","),
            line.split(" - ")[1].split(" "),
        )
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(flags)
        assert (kind, source) == ("fuse.procmirror", "/proc")
        assert {"user_id=0", "group_id=0", "allow_other"} <= set(of_filesystem.split(","))
        assert "default_permissions" not in of_filesystem
        assert ran("touch", place / "self" / "comm").code == 1
        assert shell('echo 1 > "$1/self/oom_score_adj"', place).err.endswith(
            "Read-only file system\n"
        )


REFUSED = {
    "no mountpoint": (["{place}/none"], "{place}/none: No such file or directory"),
    "a file as mountpoint": (["/etc/passwd"], "/etc/passwd: Not a directory"),
    "SOURCE is no procfs": (["/etc", "{place}"], "/etc: not a procfs"),
    "SOURCE is missing": (["/none", "{place}"], "/none: No such file or directory"),
    "SOURCE inside a procfs": (["/proc/1", "{place}"], "/proc/1: not the root of a procfs"),
    "SOURCE is a part of a procfs": (
        ["/proc/sys", "{place}"],
        "/proc/sys: not the root of a procfs",
    ),
    "a name with an escape sequence and a newline": (
        ["/none\x1b[31m\n"],
        r"/none\x1b[31m\n: No such file or directory",
    ),
    "mountpoint inside SOURCE": (["/proc/fs"], "/proc/fs: inside /proc, which it would mirror"),
}
NONSENSE = {
    "an option that nobody knows": (
        ["-o", "ro,sparkle", "{place}"],
        "unknown mount option 'sparkle'",
    ),
    "to write and not to": (["-o", "write,ro", "{place}"], "ro and write contradict each other"),
    "a timeout in words": (
        ["-o", "timeout=soon", "{place}"],
        "timeout: 'soon' is not a number of seconds",
    ),
    "no time at all": (["-o", "timeout=0", "{place}"], "timeout: between 0 and 3600 seconds"),
    "time without end": (["--timeout", "inf", "{place}"], "timeout: between 0 and 3600 seconds"),
    "mounted once more": (
        ["-o", "remount,rw", "{place}"],
        "remount: unmount it, and mount it again",
    ),
    "for root and oneself": (
        ["-o", "allow_root", "{place}"],
        "allow_root: root's mount serves every user, a user's mount serves that user alone",
    ),
    "a fact of another machine": (["--ticks", "100", "{place}"], "--ticks is for --decode"),
    "a place with an escape sequence in its name": (
        ["-o", "\x1b[31m\n", "{place}"],
        r"unknown mount option '\x1b[31m\n'",
    ),
}


@pytest.mark.parametrize("flags", [[], ["-f"]], ids=["background", "foreground"])
@pytest.mark.parametrize("case", REFUSED | NONSENSE)
def test_what_is_refused_is_said_in_one_line(place: Path, case: str, flags: list[str]) -> None:
    arguments, said = (REFUSED | NONSENSE)[case]
    command = [*PROCMIRROR, *flags, *(one.format(place=place) for one in arguments)]
    assert ran(*command) == (
        1 if case in REFUSED else 2,
        "",
        f"procmirror: {said.format(place=place)}\n",
    )


def test_a_place_means_what_it_means_to_the_caller(place: Path) -> None:
    """The daemon has another /proc/self and another working directory than the command."""
    script = """
        cd "$1" && PYTHONPATH="$2" "$3" -m procmirror /proc/self/cwd && cat "$1/self/comm.json"
        grep -c ' / / .* fuse.procmirror ' /proc/self/mountinfo
        cd / && umount "$1"
    """
    with adopting():
        before = set(children(os.getpid()))
        alone = (
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
            place,
            ROOT,
            sys.executable,
        )
        answer = spoken(*alone)
        killed(
            *[pid for child in set(children(os.getpid())) - before for pid in descendants(child)]
        )
    assert answer == (0, '{\n  "comm": "cat"\n}\n0\n', "")


# What needs a world of its own


def test_over_proc_itself_and_back() -> None:
    script = """
        "$1" -m procmirror /proc && grep -c ' /proc .* fuse.procmirror ' /proc/self/mountinfo && cat /proc/self/comm.json
        "$1" -m procmirror /proc
        umount /proc && ls /proc/self/comm* && stat -f -c %T /proc
    """
    code, out, err = spoken(
        "unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", sys.executable
    )
    assert out == '1\n{\n  "comm": "cat"\n}\n/proc/self/comm\nproc\n'
    assert err == "procmirror: /proc: already served by procmirror\n"
    assert code == 0


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """The first process of a new pid namespace, which has mounted its own /proc."""
    with running("unshare", "-pf", "--mount-proc", "--kill-child", "sleep", "600") as pid:
        until(lambda: children(pid), "no child")
        (first,) = children(pid)
        until(lambda: Path(f"/proc/{first}/comm").read_text() == "sleep\n", "no sleep")
        yield first


def test_the_procfs_of_another_pid_namespace(place: Path, elsewhere: int) -> None:
    with background(f"/proc/{elsewhere}/root/proc", place):
        assert [name for name in os.listdir(place) if name.isdigit()] == ["1"]
        assert (place / "1" / "cmdline.txt").read_text() == "sleep 600\n"
        assert (place / "1" / "environ").read_bytes() == Path(
            f"/proc/{elsewhere}/environ"
        ).read_bytes()
        assert place.joinpath("mounts").is_symlink()
        for name in ("self", "thread-self"):
            assert place.joinpath(name).is_symlink()
            for use in (os.readlink, os.stat):
                with pytest.raises(FileNotFoundError):
                    use(place / name)
        assert (
            ran("ls", "-l", place, deadline=20).code
            == ran("ls", "-l", f"/proc/{elsewhere}/root/proc").code
        )


def test_who_is_in_that_namespace_has_a_self_there(place: Path, elsewhere: int) -> None:
    with background(f"/proc/{elsewhere}/root/proc", place):
        script = 'readlink "$1/self"; cat "$1/self/comm"; readlink "$1/thread-self"; ls "$1" | grep -c "^[0-9]*$"'
        code, out, err = ran("nsenter", "-t", elsewhere, "-p", "sh", "-c", script, "sh", place)
        own, comm, thread, processes = out.splitlines()
        assert (code, err, comm) == (0, "", "cat")
        assert 1 < int(own) < 20
        assert int(thread.split("/task/")[1]) - 1 < 20
        assert int(processes) == 4
