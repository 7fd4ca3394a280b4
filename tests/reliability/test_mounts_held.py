"""An open file about mounts holds no mount namespace in the daemon, which would take it down."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from procmirror.fuse.open_files import REWIND_SECONDS
from tests.harness import until
from tests.mounting import Mount
from tests.reliability.mirrors import mirrored

NAMES = ("mounts", "mountinfo", "mountstats")
_MAKES = 'mount -t tmpfs held "$0" && touch "$0/made" && exec sleep 1000'


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


@pytest.fixture
def target(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a mount namespace of its own, with a mount there."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MAKES, str(tmp_path)]
    with subprocess.Popen(command) as process:
        try:
            made = Path(f"/proc/{process.pid}/root{tmp_path}/made")
            until(lambda: made.exists() and _is_asleep(process.pid), "it does not mount")
            yield process
        finally:
            process.kill()


def _is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text(encoding="ascii") == "sleep\n"


def held_by(mirror: Mount) -> set[str]:
    """What the daemon and its descendants have open."""
    found = set()
    for pid in mirror.processes():
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            try:
                found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
            except FileNotFoundError:
                continue
    return found


@pytest.mark.parametrize("thread", [False, True])
def test_the_daemon_holds_none_and_the_reader_has_all(
    own_mirror: Mount, target: subprocess.Popen[bytes], *, thread: bool
) -> None:
    place = f"{target.pid}/task/{target.pid}" if thread else f"{target.pid}"
    # A thread has no `mountstats`.
    names = NAMES[:2] if thread else NAMES
    native = {name: Path(f"/proc/{place}/{name}").read_bytes() for name in names}
    with ExitStack() as files:
        opened = {
            name: files.enter_context((own_mirror.path / place / name).open("rb")) for name in names
        }
        assert not held_by(own_mirror) & {f"/proc/{place}/{name}" for name in names}
        target.kill()
        target.wait()
        for name, file in opened.items():
            assert file.read() == native[name]
            assert b"held" in native[name]


def test_who_begins_again_has_the_mounts_of_now(own_mirror: Mount, tmp_path: Path) -> None:
    path = str(tmp_path).encode()
    with (own_mirror.path / "self/mountinfo").open("rb", buffering=0) as file:
        assert path not in file.read()
        subprocess.run(["mount", "-t", "tmpfs", "again", tmp_path], check=True)
        try:
            time.sleep(REWIND_SECONDS + 0.1)
            file.seek(0)
            assert path in file.read()
        finally:
            subprocess.run(["umount", tmp_path], check=True)
