"""How files behind memory are found.

By the mapping or by the path, in any namespace, and never a wrong one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.procfs import local_files
from procmirror.stack.frames import NO_FILE
from procmirror.stack.maps import Maps
from procmirror.stack.user_side import UserFrame
from procmirror.views.pid import stack
from tests.harness import until
from tests.live_target import LiveTarget
from tests.stack.targets import asleep, available, compiled, named, running, seen, started

SCRIPT = "function inner(n) { return n ? inner(n - 1) : fs.readSync(0, Buffer.alloc(1)) }; inner(5)"
USER = 1001


@pytest.fixture
def perf_map() -> Iterator[Callable[[int], Path]]:
    made: list[Path] = []

    def name(pid: int) -> Path:
        made.append(Path(f"/tmp/perf-{pid}.map"))
        return made[-1]

    yield name
    for one in made:
        one.unlink(missing_ok=True)


def test_jit_code_is_named_by_its_compiler(tmp_path: Path, perf_map: Callable[[int], Path]) -> None:
    flags = "--perf-basic-prof --interpreted-frames-native-stack"
    with running(
        "sh", "-c", f"cd {tmp_path} && exec {available('node')} {flags} -e '{SCRIPT}'"
    ) as pid:
        perf_map(pid)

        def inner_frames() -> list[UserFrame]:
            user = seen(pid)[pid].user or ()
            return [frame for frame in user if "~inner " in (frame.symbol or "")]

        # It has its list of names before it has run the last line of its script.
        inner = until(lambda: frames if len(frames := inner_frames()) == 6 else None)
        assert seen(pid)[pid].complete
    assert {(frame.module, frame.mark) for frame in inner} == {(None, "repaired")}


TURNS = """function even(n) { return n < 2 ? n : odd(n - 1) + odd(n - 2) }
function odd(n) { return n < 2 ? n : even(n - 1) + even(n - 2) }
while (1) even(25)"""


def test_no_caller_is_passed_over_where_generated_code_has_no_frame(
    perf_map: Callable[[int], Path],
) -> None:
    """In its first and last instructions the frame pointer is the caller's, and leads past it."""
    flags = ["--perf-basic-prof", "--no-turbo-inlining"]
    with started(available("node"), *flags, "-e", TURNS) as pid:
        perf_map(pid)
        until(lambda: len(turns(pid)) > 3, "it does not begin")
        found = [one for _ in range(100) if len(one := turns(pid)) > 3]
    assert len(found) > 30
    for one in found:
        outer_first = list(reversed(one))
        assert outer_first == [("even", "odd")[at % 2] for at in range(len(one))]


def turns(pid: int) -> list[str]:
    """The functions of a complete sample of the main thread."""
    (thread,) = stack.join(LiveTarget(f"/proc/{pid}/task/{pid}"), Machine()).threads
    names = [frame.symbol or "" for frame in thread.user or () if thread.complete]
    matches = [re.search(r"^JS:\*(even|odd) ", name) for name in names]
    return [match[1] for match in matches if match]


@pytest.mark.root
def test_a_list_of_names_must_be_the_users_own_file(perf_map: Callable[[int], Path]) -> None:
    with running(available("sleep"), "1000") as pid:
        target = LiveTarget(f"/proc/{pid}")
        assert target.perf_map() is None
        file = perf_map(pid)
        file.write_bytes(b"1000 10 name\n")
        names = target.perf_map()
        assert names
        assert names.pread(100, 0) == b"1000 10 name\n"
        os.chown(file, USER, USER)
        assert target.perf_map() is None
        file.unlink()
        file.symlink_to("/etc/hostname")
        assert target.perf_map() is None
        file.unlink()
        os.mkfifo(file)
        assert target.perf_map() is None


def as_user(action: Callable[[], bool]) -> bool:
    """What `action` says in a process without any privilege."""
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            os._exit(0 if action() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.root
def test_a_user_sees_the_user_frames_of_his_own_process_by_the_paths(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2")
    tmp_path.chmod(0o755)
    shutil.copy(program, "/tmp/frames-of-a-user")

    def sees() -> bool:
        (thread,) = seen(pid).values()
        symbols = [frame.symbol for frame in thread.user or ()]
        return thread.complete and thread.kernel is None and symbols.count("recursion") == 21

    def sees_foreign() -> bool:
        try:
            seen(os.getppid())
        except PermissionError:
            return True
        return False

    try:
        with subprocess.Popen(
            ["/tmp/frames-of-a-user", "recursion"], user=USER, group=USER, extra_groups=[]
        ) as process:
            pid = process.pid
            try:
                asleep(pid)
                assert as_user(sees)
                assert as_user(sees_foreign)
            finally:
                process.kill()
    finally:
        Path("/tmp/frames-of-a-user").unlink()


@pytest.mark.root
def test_a_path_that_leads_to_another_file_by_now_is_not_read(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2")
    with running(program, "pause") as pid:
        mapping = next(
            line
            for line in Path(f"/proc/{pid}/maps").read_bytes().splitlines()
            if b" r-xp " in line and b"frames" in line
        )
        found = Maps(mapping).holding(int(mapping.partition(b"-")[0], 16))
        assert found
        target = LiveTarget(f"/proc/{pid}")
        # No mapping begins there, so only the path is left.
        assert target.mapped(1, 2, found.path, found.device, found.inode)
        assert target.mapped(1, 2, found.path, found.device, found.inode + 1) is None
        assert target.mapped(1, 2, found.path, "ff:ff", found.inode) is None
        assert target.mapped(1, 2, b"/proc/self/exe", found.device, found.inode) is None
        Path(program).rename(program + ".old")
        Path(program).write_bytes(b"\x7fELF")
        assert target.mapped(1, 2, found.path, found.device, found.inode) is None
        assert target.mapped(found.start, found.end, found.path, found.device, found.inode)


@pytest.mark.root
def test_code_in_a_file_that_was_never_on_a_disk(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2", "-static")
    script = (
        "import os, sys\nfile = os.memfd_create('hidden', 0)\n"
        "os.write(file, open(sys.argv[1], 'rb').read())\nos.execve(file, ['hidden', 'recursion'], {})"
    )
    with running(sys.executable, "-c", script, program) as pid:
        (thread,) = seen(pid).values()
    assert thread.complete
    assert [frame.symbol for frame in thread.user or ()].count("recursion") == 21


def test_names_of_mappings_may_hold_newlines(tmp_path: Path) -> None:
    program = str(tmp_path / "a\nb")
    shutil.copy(compiled("frames.c", tmp_path, "-O2"), program)
    with running(program, "recursion") as pid:
        (thread,) = seen(pid).values()
    assert thread.complete
    assert program in {frame.module for frame in thread.user or ()}


@pytest.mark.root
def test_a_user_s_program_below_chroot(tmp_path: Path) -> None:
    """The kernel tells its paths with the directory that is its root; users have no map_files."""
    program = compiled("frames.c", tmp_path, "-O2", "-static")
    tmp_path.chmod(0o755)
    top = ["unshare", f"--root={tmp_path}", f"--setuid={USER}", f"--setgid={USER}"]

    def sees() -> bool:
        (thread,) = seen(pid).values()
        return thread.complete and named(thread).count("recursion") == 21

    with running(*top, f"/{Path(program).name}", "recursion") as pid:
        assert os.readlink(f"/proc/{pid}/root") == str(tmp_path)
        assert as_user(sees)


@pytest.mark.root
def test_what_may_not_be_read_is_not_said_to_lack_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files.Mounts, "is_local", lambda *_: False)
    with running(compiled("frames.c", tmp_path, "-O2"), "pause") as pid:
        (thread,) = seen(pid).values()
    assert (thread.complete, thread.reason) == (False, NO_FILE)
