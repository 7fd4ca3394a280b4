"""Running threads on a real mount, asked for by ordinary users."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import comes_true, until
from tests.identity.test_events import told
from tests.mounting import Mount
from tests.programs import ran, running
from tests.stack.targets import compiled

SAMPLED = "one sample while it ran"


@pytest.fixture(scope="module")
def program() -> Iterator[str]:
    """A program that never sleeps, in a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield compiled("busy.c", Path(folder), "-O1")


def test_a_users_own_thread_is_sampled_as_the_kernel_permits_him(
    mirror: Mount, wes: int, program: str
) -> None:
    with running(program, "3", user=wes, name="busy-O1") as own:

        def looked() -> str:
            """A loaded machine may give it no processor in time, or its dynamic linker runs."""
            said = ran("cat", mirror.path / str(own) / "stack.txt", user=wes).out
            begun = "spin" in said or SAMPLED not in said
            return said if "not within" not in said and begun else ""

        said = until(looked)
        permitted = told(wes, own) == 0
    assert (SAMPLED in said) is permitted
    assert ("spin" in said and "complete" in said) is permitted


def test_of_another_users_thread_nothing_is_told(mirror: Mount, wes: int, program: str) -> None:
    with running(program, "3", name="busy-O1") as roots:
        code, out, err = ran("cat", mirror.path / str(roots) / "stack.txt", user=wes)
        assert (code, out, "Permission denied" in err) == (1, "", True)
        path = mirror.path / str(roots) / "stack.txt"
        assert comes_true(lambda: SAMPLED in ran("cat", path).out)
