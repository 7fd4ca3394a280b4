"""Programs of containers: their files are on an overlay, whose layers are the engine's alone."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.stack.frames import NO_FILE
from tests.mounting import Mount
from tests.programs import ran, running
from tests.stack.targets import asleep, compiled

# The first process of a PID namespace has the overlay mounted. A daemon beside it has not, as in a
# pod, and its mirror is asked for the program's stack.
BESIDE = """
mount -t overlay -o "$1" none "$2" && mkdir "$3" && exec "$4" recursion < "$5" & program=$!
until grep -q ' S ' /proc/$program/stat && grep -q frames /proc/$program/comm; do sleep 0.1; done
unshare -m --propagation private sh -c 'umount "$1" && "$2" -m procmirror "$3" && cat "$3/$4/stack.txt"
umount "$3"' sh "$2" "$6" "$3" $program
kill $program
"""


@pytest.fixture
def layers() -> Iterator[Path]:
    """A folder of layers as Docker has it, the program in the lowest one, and a place for the rest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for one in ("lower", "upper", "work"):
            (folder / "docker" / one).mkdir(parents=True)
        (folder / "docker").chmod(0o710)
        (folder / "merged").mkdir()
        compiled("frames.c", folder / "docker/lower", "-static")
        yield folder


def options(folder: Path) -> str:
    """What mount(8) is told of the layers."""
    layers = [folder / "docker" / one for one in ("lower", "upper", "work")]
    return "lowerdir={},upperdir={},workdir={}".format(*layers)


def test_a_user_who_may_not_reach_the_layers_has_the_frames(
    mirror: Mount, wes: int, layers: Path
) -> None:
    merged = layers / "merged"
    ran("mount", "-t", "overlay", "-o", options(layers), "none", merged)
    program = next(merged.glob("frames*"))
    try:
        with running(program, "recursion", user=wes, name=program.name[:15]) as own:
            asleep(own)
            for user in (None, wes):
                is_whole(ran("cat", mirror.path / str(own) / "stack.txt", user=user).out)
    finally:
        ran("umount", merged)


@pytest.mark.root
def test_the_overlays_of_the_first_process_are_read_by_a_daemon_beside_it(layers: Path) -> None:
    merged = layers / "merged"
    program = next((layers / "docker/lower").glob("frames*")).name
    apart = ("unshare", "--pid", "--fork", "--mount-proc", "--propagation", "private")
    files = [merged, layers / "proc", merged / program, layers / "docker", sys.executable]
    is_whole(ran(*apart, "sh", "-c", BESIDE, "sh", options(layers), *files).out)


def is_whole(said: str) -> None:
    """These are all the frames of a program."""
    assert "main" in said and "(complete)" in said and NO_FILE not in said, said
