"""What programs get of a view that copy by sendfile(2) or splice(2), and what to use instead.

Whether the first get anything depends on the kernel: up to Linux 6.4 these calls read like read(2),
later they end at the size of the file, which is 0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.mounting import Mount
from tests.programs import ran, running

COPYFILE = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
COPYFILEOBJ = "import shutil, sys; shutil.copyfileobj(open(sys.argv[1]), open(sys.argv[2], 'w'))"
BY_SIZE: dict[str, Callable[[Path, Path], list[object]]] = {
    "busybox cat": lambda view, copy: ["sh", "-c", f"busybox cat {view} > {copy}"],
    "busybox cp": lambda view, copy: ["busybox", "cp", view, copy],
    "shutil.copyfile": lambda view, copy: [sys.executable, "-c", COPYFILE, view, copy],
}
BY_READING: dict[str, Callable[[Path, Path], list[object]]] = {
    "cat": lambda view, copy: ["sh", "-c", f"cat {view} > {copy}"],
    "cp": lambda view, copy: ["cp", view, copy],
    "busybox head": lambda view, copy: ["sh", "-c", f"busybox head -n 1000 {view} > {copy}"],
    "busybox sed": lambda view, copy: ["sh", "-c", f"busybox sed -n p {view} > {copy}"],
    "busybox dd": lambda view, copy: ["busybox", "dd", f"if={view}", f"of={copy}"],
    "shutil.copyfileobj": lambda view, copy: [sys.executable, "-c", COPYFILEOBJ, view, copy],
}


@pytest.fixture(scope="module")
def view(mirror: Mount) -> Iterator[Path]:
    """A view of a process that sleeps."""
    with running("sleep", "600") as pid:
        yield mirror.path / str(pid) / "environ.txt"


@pytest.mark.parametrize("copied", BY_READING.values(), ids=BY_READING)
def test_what_reads_gets_all(
    view: Path, tmp_path: Path, copied: Callable[[Path, Path], list[object]]
) -> None:
    assert ran(*copied(view, tmp_path / "copy")).code == 0
    assert (tmp_path / "copy").read_bytes() == view.read_bytes() != b""


@pytest.mark.parametrize("copied", BY_SIZE.values(), ids=BY_SIZE)
def test_what_believes_the_size_gets_all_or_nothing(
    view: Path, tmp_path: Path, copied: Callable[[Path, Path], list[object]]
) -> None:
    assert ran(*copied(view, tmp_path / "copy")).code == 0
    assert (tmp_path / "copy").read_bytes() in {b"", view.read_bytes()}
    assert view.stat().st_size == 0


def test_the_test_of_the_kernel_patch_tells_both_apart(view: Path, tmp_path: Path) -> None:
    program = tmp_path / "splice_direct_io"
    source = ROOT / "docs/upstream/splice_direct_io.c"
    assert ran("gcc", "-Wall", "-Werror", "-O2", "-o", program, source).code == 0
    assert ran(program, "/etc/passwd").code == 0
    with (tmp_path / "splice").open("wb") as copy:
        read = os.open(view, os.O_RDONLY)
        whole = os.sendfile(copy.fileno(), read, None, 1 << 20) > 0
        os.close(read)
    assert ran(program, view).code == (0 if whole else 1)
