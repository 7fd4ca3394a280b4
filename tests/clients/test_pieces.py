"""A file of /proc read piece by piece while its process changes.

The kernel goes on where it was, and so must the mirror.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import DEADLINE
from tests.mounting import Mount
from tests.programs import started

# Mappings that do not grow together; each line on its input takes the one at the lowest address
# away.
SHRINKS = """if True:
    import mmap, sys
    maps = [mmap.mmap(-1, 4096 * (1 + at % 7), prot=1 if at % 2 else 3) for at in range(400)]
    print(flush=True)
    for line in sys.stdin:
        maps.pop().close()
        print(flush=True)
"""
LINE = re.compile(rb"[0-9a-f]+-[0-9a-f]+ .*|[A-Za-z_]+: +[0-9]+( kB)?|VmFlags: .*")


@pytest.fixture
def shrinking() -> Iterator[subprocess.Popen[str]]:
    program = started(
        sys.executable, "-S", "-c", SHRINKS, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    shrink(program, "")
    yield program
    program.communicate(timeout=DEADLINE)


def shrink(program: subprocess.Popen[str], order: str = "\n") -> None:
    assert program.stdin and program.stdout
    program.stdin.write(order)
    program.stdin.flush()
    assert program.stdout.readline() == "\n"


@pytest.mark.parametrize("where", ["proc", "mirror"])
@pytest.mark.parametrize("name", ["smaps", "maps", "numa_maps"])
@pytest.mark.parametrize("piece", [4096, 32768, 131072])
def test_no_line_is_torn_or_lost(
    mirror: Mount, shrinking: subprocess.Popen[str], name: str, piece: int, where: str
) -> None:
    directory = (Path("/proc") if where == "proc" else mirror.path) / str(shrinking.pid)
    content = b""
    with (directory / name).open("rb", buffering=0) as file:
        while read := file.read(piece):
            content += read
            shrink(shrinking)
    if name == "smaps":
        assert [line for line in content.splitlines() if not LINE.fullmatch(line)] == []
    kept = {
        line.split(b"-")[0]
        for line in Path(f"/proc/{shrinking.pid}/maps").read_bytes().splitlines()
    }
    shown = {re.split(b"[- ]", line, maxsplit=1)[0] for line in content.splitlines()}
    assert kept <= shown | {b"ffffffffff600000"}
