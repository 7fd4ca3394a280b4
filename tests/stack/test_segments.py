"""Programs whose code is in two segments that meet inside a page, against the kernel's mappings."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from procmirror.stack.elf import Elf
from procmirror.stack.process import Process
from procmirror.stack.target import Blob
from tests.live_target import LiveTarget
from tests.stack.targets import PROGRAMS, running
from tests.stack.test_go_text import symbols

SIZES = [(0x1800, 0x1000), (0x300, 0x2000), (0x2000, 0x300), (0x4000, 0x4000)]


def linked(folder: Path, sizes: tuple[int, int]) -> Path:
    """The program with segments of these sizes."""
    values = [f"--defsym={name}={size}" for name, size in zip(("ONE", "TWO"), sizes, strict=True)]
    source, script = PROGRAMS / "two_segments.s", PROGRAMS / "two_segments.ld"
    subprocess.run(["as", *values, "-o", folder / "object", source], check=True)
    program = folder / "two"
    link = ["ld", "-e", "_start", "-z", "max-page-size=4096", "-T", str(script), "-o", str(program)]
    subprocess.run([*link, folder / "object"], check=True)
    return program


@pytest.mark.parametrize("sizes", SIZES)
def test_each_segment_has_its_own_names(tmp_path: Path, sizes: tuple[int, int]) -> None:
    program = linked(tmp_path, sizes)
    there = symbols(program)
    with running(str(program)) as pid:
        process = Process(LiveTarget(f"/proc/{pid}"))
        for name in ("one", "two"):
            for distance in (0, 0x2FF):
                found = process.name(there[name] + distance, innermost=True)
                assert (found.symbol, found.offset) == (name.encode(), distance)


def test_a_part_of_a_mapping_belongs_to_the_last_segment_that_has_it(tmp_path: Path) -> None:
    program = linked(tmp_path, (0x1800, 0x4000))
    elf, two = Elf(Blob(program.read_bytes())), symbols(program)["two"]
    start = two & -4096
    for part in range(0, 0x4000, 0x1000):
        assert elf.bias(start + part, 0x2000 + part, 0x1000) == 0


def test_segments_inside_a_page_of_64_kib_on_a_kernel_with_small_pages() -> None:
    # An aarch64 file, of which a kernel maps pages of 4 or 64 KiB.
    rows = (0x12340, 0x412340, 0x8000), (0x1A340, 0x42A340, 0x8000)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 183, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0
    )
    segments = [
        struct.pack("<IIQQQQQQ", 1, 5, at, address, 0, size, size, 65536)
        for at, address, size in rows
    ]
    elf = Elf(Blob(header + b"".join(segments)))
    assert elf.bias(0x412000, 0x12000, 0x9000) == 0
    assert elf.bias(0x42A000, 0x1A000, 0x9000) == 0
    assert elf.bias(0x410000, 0x10000, 0x10000) == 0
    assert elf.bias(0x420000, 0x10000, 0x20000) == 0
