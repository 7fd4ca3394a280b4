"""Memory in swap as every view tells it, of a process that really has some."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.decoding.text import size
from tests.harness import until
from tests.mounting import Mount
from tests.programs import ran, running

# Private and shared memory whose pages differ, given to swap (MADV_PAGEOUT); then it rests.
PROGRAM = """
import ctypes, mmap, os, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
for flags, count in ((mmap.MAP_PRIVATE, 8 << 20), (mmap.MAP_SHARED, 4 << 20)):
    flags |= mmap.MAP_ANONYMOUS
    start = libc.mmap(None, ctypes.c_size_t(count), 3, flags, -1, 0)
    for place in range(start, start + count, 4096):
        ctypes.memmove(place, os.urandom(4096), 4096)
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(count), 21)
signal.pause()
"""


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A swap file that is in use."""
    file = tmp_path_factory.mktemp("swap") / "file"
    with file.open("wb") as out:
        os.posix_fallocate(out.fileno(), 0, 64 << 20)
    file.chmod(0o600)
    ran("mkswap", file)
    if (done := ran("swapon", file)).code:
        pytest.skip(f"this machine lets nobody add swap: {done.err}")
    try:
        yield file
    finally:
        ran("swapoff", file)
        file.unlink()


@pytest.fixture
def swapped(swap: Path, wes: int) -> Iterator[int]:
    """A process of wes with 8 MiB of its own and 4 MiB of shared memory in swap."""
    del swap
    with running(sys.executable, "-c", PROGRAM, user=wes, name="python") as pid:
        try:
            until(lambda: kernel(pid, "smaps_rollup", "Swap") >= 11 << 20)
        except AssertionError:
            # The kernel's own file says so: no view was asked yet.
            pytest.skip("a control group gives the processes of this machine no swap")
        yield pid


def kernel(pid: int | str, file: str, key: str) -> int:
    """What the kernel says of a key, in bytes."""
    text = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8")
    found = re.search(rf"^{key}: +(\d+) kB$|^{key}:\t *(\d+) kB$", text, re.MULTILINE)
    assert found, text
    return int(found[1] or found[2]) * 1024


pytestmark = [pytest.mark.root, pytest.mark.mount]


@pytest.mark.parametrize("by", ["root", "wes"])
def test_what_of_a_process_is_in_swap_is_told_with_its_shared_memory(
    mirror: Mount, swapped: int, wes: int, by: str
) -> None:
    def told() -> tuple[int, int, int]:
        own, whole = kernel(swapped, "status", "VmSwap"), kernel(swapped, "smaps_rollup", "Swap")
        return own, whole, kernel(swapped, "smaps_rollup", "SwapPss")

    def read() -> tuple[tuple[int, int, int], list[str]] | None:
        """What the kernel and the files say, if no page comes or goes meanwhile."""
        before = told()
        user = wes if by == "wes" else None
        found = [ran("cat", mirror.path / path, user=user).out for path in paths]
        return (before, found) if told() == before else None

    paths = ["memory.ndjson", "memory.txt"]
    paths += [f"{swapped}/{name}" for name in ("process.txt", "status.txt", "smaps.txt")]
    (own, whole, share), (lines, table, process, status, smaps) = until(read)
    assert own < whole
    (row,) = (one for one in map(json.loads, lines.splitlines()) if one["pid"] == swapped)
    assert (row["VmSwap"], row["Swap"], row["SwapPss"]) == (own, whole, share)
    (line,) = re.findall(rf"^ *{swapped} .*$", table, re.MULTILINE)
    assert line.split()[5] == size(whole)
    assert f"\nswapped      {size(own)} without shared memory\n" in process
    assert f"  swapped-out       {size(own)}\n" in status
    total = smaps.splitlines()[1].split()
    assert (total[3], total[-1]) == (size(whole), "[total]")


def test_areas_of_swap_are_those_that_swapon_shows(mirror: Mount, swap: Path) -> None:
    def shown() -> list[tuple[str, int]]:
        lines = ran("swapon", "--show=NAME,SIZE", "--bytes", "--noheadings").out.splitlines()
        return [(name, int(size)) for name, size in map(str.split, lines)]

    def read() -> tuple[list[tuple[str, int]], str] | None:
        """What both say, if no other program adds swap meanwhile."""
        before = shown()
        found = ran("cat", mirror.path / "swaps.json").out
        return (before, found) if shown() == before else None

    expected, text = until(read)
    found = [(one["Filename"], one["Size"]) for one in json.loads(text)]
    assert str(swap) in dict(found)
    assert found == expected
