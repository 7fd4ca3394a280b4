"""Sources of views, each read to its end and not beyond its limit."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.procfs import reading


def content(folder: Path | str, name: str) -> bytes:
    """What a view gets of a file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return reading.content(descriptor, name.encode(), lambda: None)
    finally:
        os.close(descriptor)


@pytest.fixture
def waiting() -> Iterator[str]:
    """The directory of a process with many mappings, which waits."""
    program = "import ssl; print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()
        yield f"/proc/{process.pid}"
        process.stdin.close()


@pytest.mark.parametrize("name", ["maps", "smaps", "status", "environ", "cmdline"])
def test_a_file_of_which_the_kernel_gives_pieces_is_whole(waiting: str, name: str) -> None:
    whole = Path(waiting, name).read_bytes()
    assert content(waiting, name) == whole
    # One call of read(2) gives a page of a seq_file at most.
    assert name not in {"maps", "smaps"} or len(whole) > 4096


@pytest.mark.parametrize(("name", "most"), [("environ", 8 << 20), ("maps", 64 << 20)])
def test_a_source_has_a_limit(tmp_path: Path, name: str, most: int) -> None:
    """A process can make its environment a terabyte long."""
    file = tmp_path / name
    file.touch()
    os.truncate(file, most)
    assert len(content(tmp_path, name)) == most
    os.truncate(file, most + 1)
    with pytest.raises(OSError, match="File too large") as refused:
        content(tmp_path, name)
    assert refused.value.errno == errno.EFBIG


@pytest.mark.parametrize("target", ["/etc/passwd", "/sys/../etc/passwd", "other", "/sys/fsx"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links") as refused:
        content(tmp_path, "link")
    assert refused.value.errno == errno.ELOOP
