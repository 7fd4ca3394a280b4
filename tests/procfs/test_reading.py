"""Sources of views, each read to its end and not beyond its limit."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.procfs import contents, reading
from procmirror.procfs.peer import PeerReader
from procmirror.procfs.reading import Sources
from tests.harness import until


def content(folder: Path | str, name: str) -> bytes:
    """What a view gets of a file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return contents.content(descriptor, name.encode(), lambda: None)
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
    def same() -> bytes | None:
        # The process may still be on its way to sleep, which its status counts.
        whole = Path(waiting, name).read_bytes()
        return whole if content(waiting, name) == whole else None

    whole = until(same)
    # One call of read(2) gives a page of a seq_file at most.
    assert name not in {"maps", "smaps"} or len(whole) > 4096


def test_the_schedstat_of_the_machine_is_whole(
    waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processors are records of their own (show_schedstat), unlike that of a process."""

    def records(_: int, __: bytes) -> int:
        return os.open(f"{waiting}/maps", os.O_RDONLY)

    monkeypatch.setattr(contents, "open_file", records)
    assert content("/proc", "schedstat") == Path(waiting, "maps").read_bytes()


@pytest.mark.parametrize(
    ("name", "most"), [("environ", 8 << 20), ("maps", 32 << 20), ("timers", 64 << 20)]
)
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


def test_a_long_source_is_in_memory_once(tmp_path: Path) -> None:
    size = 16 << 20
    file = tmp_path / "maps"
    file.touch()
    os.truncate(file, size)
    tracemalloc.start()
    try:
        content(tmp_path, "maps")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size


@pytest.mark.parametrize("target", ["/etc/passwd", "/sys/../etc/passwd", "other", "/sys/fsx"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links") as refused:
        content(tmp_path, "link")
    assert refused.value.errno == errno.ELOOP


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    made = Sources(descriptor, b"", None, PeerReader(b"42", lambda _: [b"told"]), lambda: None)
    yield made
    made.close()
    os.close(descriptor)


def test_a_line_has_a_limit_and_a_file_of_lines_has_none(
    tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LIMIT", 1 << 20)
    (tmp_path / "maps").write_bytes(b"line\n" * (1 << 18) + b"last")
    assert sum(1 for _ in sources.lines("maps")) == (1 << 18) + 1
    (tmp_path / "maps").write_bytes(b"line\n" + b"x" * (2 << 20))
    read: list[bytes] = []
    with pytest.raises(OSError, match="File too large"):
        read.extend(sources.lines("maps"))
    assert read == [b"line"]


def test_few_files_stay_open_between_pieces(tmp_path: Path, sources: Sources) -> None:
    for number in range(100):
        (tmp_path / f"file{number}").write_bytes(b"%d" % number)
    before = len(os.listdir("/proc/self/fd"))
    assert all(sources.part(f"file{number}", 0, 9) == b"%d" % number for number in range(100))
    assert len(os.listdir("/proc/self/fd")) - before <= 17
    assert sources.part("file0", 1, 9) == b""
    sources.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_of_this_process_is_read_for_nobody(tmp_path: Path, sources: Sources) -> None:
    for pid in ("42", "420"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "mem").write_bytes(b"memory")
    assert sources.part("420/mem", 0, 3) == b"mem"
    with pytest.raises(PermissionError):
        sources.part("42/mem", 0, 3)
    assert sources.read("42/comm") == b"told"


@pytest.mark.parametrize("offset", [-1, 1 << 63])
def test_an_offset_that_no_file_has_is_an_error(
    tmp_path: Path, sources: Sources, offset: int
) -> None:
    (tmp_path / "mem").write_bytes(b"memory")
    with pytest.raises(OSError, match="Input/output"):
        sources.part("mem", offset, 1)
