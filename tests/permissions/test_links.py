"""With `-o links=proc` a link leads to the object itself, for who may follow the kernel's.

Without, it is text.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mounting import Mount, mounted
from tests.permissions.sessions import session
from tests.permissions.targets import FILE, PIPE, SOCKET, Target
from tests.programs import PROCMIRROR, Ran, ran, running

LINKS = ("exe", "cwd", "root", f"fd/{FILE}")


class Hidden(NamedTuple):
    """A process whose program and open file are deleted, and whose working directory nobody else has."""

    pid: int
    program: bytes
    content: str


@pytest.fixture(scope="module")
def leading() -> Iterator[Mount]:
    with mounted("-o", "links=proc") as mount:
        yield mount


@pytest.fixture(scope="module")
def hidden() -> Iterator[Hidden]:
    folder = Path(tempfile.mkdtemp(prefix="procmirror-"))
    program = shutil.copy("/bin/sleep", folder / "gone")
    binary = os.open(program, os.O_RDONLY)
    script = f"""
        mount -t tmpfs none {folder} && cd {folder} && touch only-here
        echo secret > deleted && exec 9< deleted && rm deleted && exec /proc/self/fd/{binary} 600
    """
    try:
        command = ("unshare", "-m", "--propagation", "private", "sh", "-c", script)
        with running(*command, name=str(binary), pass_fds=(binary,)) as pid:
            content = Path(program).read_bytes()
            os.unlink(program)
            yield Hidden(pid, content, "secret\n")
    finally:
        os.close(binary)
        shutil.rmtree(folder)


def test_it_leads_to_what_has_no_name(leading: Mount, hidden: Hidden, tmp_path: Path) -> None:
    folder = leading.path / str(hidden.pid)
    assert "(deleted)" in os.readlink(f"/proc/{hidden.pid}/exe")
    assert ran("cp", folder / "exe", tmp_path / "saved") == Ran(0, "", "")
    assert (tmp_path / "saved").read_bytes() == hidden.program
    assert ran("cat", folder / "fd" / "9") == Ran(0, hidden.content, "")
    for place in (folder, folder / "task" / str(hidden.pid)):
        assert ran("ls", place / "cwd") == Ran(0, "only-here\n", "")
        assert os.path.samefile(place / "exe", f"/proc/{hidden.pid}/exe")
    maps = Path(f"/proc/{hidden.pid}/map_files")
    mapping = next(name for name in os.listdir(maps) if "/gone" in os.readlink(maps / name))
    assert os.path.samefile(folder / "map_files" / mapping, f"/proc/{hidden.pid}/exe")


def test_without_it_a_name_leads_nowhere(mirror: Mount, hidden: Hidden) -> None:
    folder = mirror.path / str(hidden.pid)
    assert os.readlink(folder / "exe") == os.readlink(f"/proc/{hidden.pid}/exe")
    assert not (folder / "exe").exists() and not (folder / "fd" / "9").exists()
    with mounted("-o", "links=text") as mount:
        assert os.readlink(mount.path / str(hidden.pid) / "exe") == os.readlink(
            f"/proc/{hidden.pid}/exe"
        )


def test_what_is_no_path_is_told_as_ever(leading: Mount, everybody: list[Target]) -> None:
    pid = next(target.pid for target in everybody if target.name == "ordinary")
    for name in (f"fd/{PIPE}", f"fd/{SOCKET}", "ns/net", "ns/user"):
        assert os.readlink(leading.path / str(pid) / name) == os.readlink(f"/proc/{pid}/{name}")
    for name in ("self", "mounts", "net", "fs/xfs/stat"):
        if os.path.lexists(f"/proc/{name}"):
            assert os.readlink(leading.path / name) == os.readlink(f"/proc/{name}")
    for name in LINKS:
        assert os.readlink(leading.path / str(pid) / name) == f"/proc/{pid}/{name}"
        native, mirrored = os.lstat(f"/proc/{pid}/{name}"), os.lstat(leading.path / str(pid) / name)
        assert (native.st_size, native.st_mode) == (mirrored.st_size, mirrored.st_mode)


@pytest.mark.parametrize(
    "name", ["root", "root without capabilities", "owner", "another", "another with CAP_SYS_PTRACE"]
)
def test_who_may_not_look_may_not_follow(
    leading: Mount, everybody: list[Target], name: str
) -> None:
    with session(name) as requester:
        for target in everybody:
            for entry in LINKS:
                native, mirrored = (
                    f"/proc/{target.pid}/{entry}",
                    f"{leading.path}/{target.pid}/{entry}",
                )
                for operation in ("readlink", "followed"):
                    answers = requester.one(operation, native), requester.one(operation, mirrored)
                    assert answers[0].errno == answers[1].errno, (target.name, entry, operation)


def test_from_another_pid_namespace_it_is_text(leading: Mount, everybody: list[Target]) -> None:
    """His /proc knows other numbers, or the same for others."""
    pid = next(target.pid for target in everybody if target.name == "ordinary")
    with session("root in a child pid namespace") as requester:
        for entry in LINKS:
            mirrored = requester.one("readlink", f"{leading.path}/{pid}/{entry}")
            assert mirrored == requester.one("readlink", f"/proc/{pid}/{entry}") and mirrored.data


def test_where_it_cannot_lead_it_is_refused(tmp_path: Path) -> None:
    point, other = tmp_path / "point", tmp_path / "other"
    point.mkdir()
    other.mkdir()
    command = (*PROCMIRROR, "-o", "links=proc")
    over = ran("unshare", "-m", "--propagation", "private", *command, "/proc")
    assert over == Ran(1, "", "procmirror: /proc: links=proc would lead back into the mirror\n")
    subprocess.run(["mount", "-t", "proc", "proc", other], check=True)
    try:
        assert ran(*command, other, point) == Ran(
            1, "", f"procmirror: {other}: links=proc needs /proc itself as SOURCE\n"
        )
    finally:
        subprocess.run(["umount", other], check=True)
    assert ran(*PROCMIRROR, "-o", "links=magic", point) == Ran(
        2, "", "procmirror: links: text or proc, not 'magic'\n"
    )
