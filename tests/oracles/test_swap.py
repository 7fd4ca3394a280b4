"""Memory in swap as every view tells it, of a process that really has some."""

from __future__ import annotations

import json
import os
import re
import subprocess
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
    def read(path: str) -> str:
        return ran("cat", mirror.path / path, user=wes if by == "wes" else None).out

    own, whole = kernel(swapped, "status", "VmSwap"), kernel(swapped, "smaps_rollup", "Swap")
    assert own < whole
    (row,) = (
        one for one in map(json.loads, read("memory.ndjson").splitlines()) if one["pid"] == swapped
    )
    assert (row["VmSwap"], row["Swap"]) == (own, whole)
    assert row["SwapPss"] == kernel(swapped, "smaps_rollup", "SwapPss")
    (line,) = re.findall(rf"^ *{swapped} .*$", read("memory.txt"), re.MULTILINE)
    assert line.split()[5] == size(whole)
    assert f"\nswapped      {size(own)} without shared memory\n" in read(f"{swapped}/process.txt")
    assert f"  swapped-out       {size(own)}\n" in read(f"{swapped}/status.txt")
    total = read(f"{swapped}/smaps.txt").splitlines()[1].split()
    assert (total[3], total[-1]) == (size(whole), "[total]")
    if row_of_smem := re.search(
        rf"^{swapped} +(\d+)$", ran("smem", "-H", "-c", "pid swap").out, re.MULTILINE
    ):
        assert int(row_of_smem[1]) * 1024 == whole


def test_the_swap_of_the_machine_is_that_of_free_and_swapon(
    mirror: Mount, swapped: int, swap: Path
) -> None:
    del swapped
    areas = json.loads((mirror.path / "swaps.json").read_bytes())
    assert sum(one["Used"] for one in areas) >= 11 << 20
    (mine,) = (one for one in areas if one["Filename"] == str(swap))
    told = subprocess.run(
        ["swapon", "--show=NAME,SIZE,USED", "--bytes", "--noheadings"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert f"{swap} {mine['Size']} {mine['Used']}" in re.sub(" +", " ", told)

    def alike() -> bool:
        text = (mirror.path / "machine.json").read_bytes()
        memory = json.loads(text)["memory"]
        free = ran("free", "-b").out
        (total, used) = map(int, re.findall(r"^Swap: +(\d+) +(\d+)", free, re.MULTILINE)[0])
        return (memory["swap_total"], memory["swap_used"]) == (total, used)

    until(alike, "machine.json and free(1) differ")


def test_pages_that_went_to_swap_are_counted(mirror: Mount, swapped: int) -> None:
    del swapped
    told = json.loads((mirror.path / "vmstat.json").read_bytes())["pswpout"]
    assert told * os.sysconf("SC_PAGE_SIZE") >= 11 << 20
