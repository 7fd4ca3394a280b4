"""Programs of containers: their files are on an overlay, whose layers are the engine's alone."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.stack.frames import NO_FILE
from tests.mounting import Mount
from tests.programs import ran, running
from tests.stack.targets import asleep, compiled


@pytest.fixture
def program() -> Iterator[str]:
    """A program on an overlay that root mounted; its layers are in a folder as Docker has it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        layers = [folder / "docker" / one for one in ("lower", "upper", "work")]
        for layer in layers:
            layer.mkdir(parents=True)
        (folder / "docker").chmod(0o710)
        built = Path(compiled("frames.c", layers[0], "-static"))
        merged = folder / "merged"
        merged.mkdir()
        options = "lowerdir={},upperdir={},workdir={}".format(*layers)
        subprocess.run(["mount", "-t", "overlay", "-o", options, "none", merged], check=True)
        yield str(merged / built.name)
        subprocess.run(["umount", merged], check=True)


def test_a_user_who_may_not_reach_the_layers_has_the_frames(
    mirror: Mount, wes: int, program: str
) -> None:
    with running(program, "recursion", user=wes, name=Path(program).name[:15]) as own:
        asleep(own)
        for user in (None, wes):
            said = ran("cat", mirror.path / str(own) / "stack.txt", user=user).out
            assert "main" in said and "(complete)" in said and NO_FILE not in said
