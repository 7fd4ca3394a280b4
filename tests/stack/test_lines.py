"""The file and line of frames by debug information, against addr2line."""

from __future__ import annotations

import itertools
import random
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack import source_lines
from procmirror.stack.debug_sections import Sections
from procmirror.stack.elf import BROKEN, Elf
from procmirror.stack.line_program import Line, Lines
from procmirror.stack.process import FILES
from procmirror.stack.source_lines import Late, SourceLines
from procmirror.stack.target import Blob, MappedFile
from procmirror.stack.thread_stack import Stacks
from procmirror.views.pid import stack
from tests.harness import load
from tests.live_target import LiveTarget
from tests.stack.lines import ELFUTILS, addresses, opened, ours, theirs
from tests.stack.targets import compiled, running

# `make stacks` has more of them, and other compilers.
KINDS = (
    ("-gdwarf-2",),
    ("-gdwarf-4", "-gsplit-dwarf", "-Wl,--compress-debug-sections=zlib-gnu"),
    ("-gdwarf-5", "-gz", "-O2", "-ffunction-sections"),
)
FRAMES = ["leaf", "compare", "main"]


@pytest.mark.parametrize("flags", KINDS, ids=" ".join)
def test_every_line_as_addr2line(flags: tuple[str, ...], tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-g", *flags)
    wanted = addresses(opened(program), 300)
    right = theirs(ELFUTILS, program, wanted)
    assert sum(line is not None for line in right) > 200
    assert ours(opened(program), wanted) == right


@pytest.mark.parametrize("version", [4, 5])
def test_units_without_a_list_of_their_addresses(version: int, tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-g", f"-gdwarf-{version}", "-ffunction-sections")
    wanted = addresses(opened(program), 300)
    right = theirs(ELFUTILS, program, wanted)
    subprocess.run(["objcopy", "--remove-section=.debug_aranges", program], check=True)
    assert ours(opened(program), wanted) == right


def read(target: LiveTarget) -> Stacks:
    """The stacks with the lines, for which the time of one reading may be too short."""
    while True:
        found = stack.join(target, Machine())
        if not any(thread.without_lines for thread in found.threads):
            return found


def lines_of(pid: int) -> list[tuple[str | None, str | None, int | None]]:
    (thread,) = read(LiveTarget(f"/proc/{pid}")).threads
    return [
        (one.function, Path(one.file).name if one.file else None, one.line)
        for one in thread.user or ()
        if one.function in FRAMES
    ]


def test_frames_have_lines_also_from_a_separate_file(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-g")
    with running(program, "qsort") as pid:
        whole = lines_of(pid)
    assert [name for name, _, _ in whole] == FRAMES
    assert {file for _, file, _ in whole} == {"frames.c"}
    debug = f"{program}.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["objcopy", "--strip-debug", program], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", program], check=True)
    with running(program, "qsort") as pid:
        assert lines_of(pid) == whole
        Path(debug).unlink()
        assert {(file, line) for _, file, line in lines_of(pid)} == {(None, None)}


class Refused(LiveTarget):
    """A target whose requester may open no debug file."""

    def debug_links(self, path: bytes, name: bytes) -> Iterator[MappedFile]:
        del path, name
        return iter(())


def test_lines_of_a_file_that_another_may_not_open_stay_unknown(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-g")
    debug = f"{program}.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["objcopy", "--strip-debug", program], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", program], check=True)
    with running(program, "qsort") as pid:
        (first,) = read(LiveTarget(f"/proc/{pid}")).threads
        (second,) = read(Refused(f"/proc/{pid}")).threads
    assert any(one.file and one.module == program for one in first.user or ())
    assert not any(one.file and one.module == program for one in second.user or ())


def test_work_goes_on_where_the_time_was_over(tmp_path: Path) -> None:
    elf = opened(compiled("frames.c", tmp_path, "-g"))
    main = next(one for one in addresses(elf, 1000) if SourceLines(lambda: 0.0).at(elf, one))
    elf.memo.clear()
    late = 0
    while late < 100:
        clock = itertools.count(0.0, source_lines.SECONDS * 0.6)
        try:
            found = SourceLines(lambda clock=clock: next(clock)).at(elf, main)  # type: ignore[misc]
        except Late:
            late += 1
            continue
        break
    assert late > 2
    assert found == SourceLines(lambda: 0.0).at(elf, main)
    # Nothing that is kept has the file open.
    known = source_lines._known(elf)
    assert known is not None
    assert known.sections.elf.file.size == 0


def test_frames_that_the_time_was_not_enough_for_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = compiled("frames.c", tmp_path, "-g")
    monkeypatch.setattr(source_lines, "SECONDS", 0.0)
    FILES.forget()
    with running(program, "pause") as pid:
        stacks = stack.join(LiveTarget(f"/proc/{pid}"), Machine())
        (thread,) = stacks.threads
    assert thread.without_lines
    assert all(frame.line is None for frame in thread.user or ())
    late = f"file and line of {thread.without_lines} frames not looked up: time)"
    assert late in "".join(stack.text(stacks, Machine()))


@pytest.mark.parametrize("flags", [("-gdwarf-4",), ("-gz",)], ids=" ".join)
def test_broken_debug_information_does_no_harm(flags: tuple[str, ...], tmp_path: Path) -> None:
    raw = Path(compiled("frames.c", tmp_path, "-g", *flags)).read_bytes()
    begin = min(
        one.offset for name, one in Elf(Blob(raw)).by_name.items() if name.startswith(b".debug_")
    )
    chance = random.Random(7)
    wanted = addresses(Elf(Blob(raw)), 20)
    for _ in range(60):
        broken = bytearray(raw)
        for _ in range(chance.randrange(1, 200)):
            broken[chance.randrange(begin, len(raw))] = chance.choice(
                (0, 255, chance.randrange(256))
            )
        try:
            elf = Elf(Blob(bytes(broken)))
        except ValueError:
            continue
        lines = SourceLines(lambda: 0.0)
        for address in wanted:
            assert isinstance(lines.at(elf, address), Line | None)


def unsigned(value: int) -> bytes:
    """A ULEB128."""
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def program(names: bytes, operands: bytes = bytes(12), steps: bytes = b"") -> bytes:
    """A unit of .debug_line of DWARF 5 with these lists of names and instructions."""
    head = bytes([1, 1, 1, 251, 14, len(operands) + 1]) + operands + names
    body = struct.pack("<HBBI", 5, 8, 0, len(head)) + head + steps
    return struct.pack("<I", len(body)) + body


class Given(Sections):
    """Sections that are only .debug_line."""

    def __init__(self, lines: bytes) -> None:
        self.lines = lines

    def piece(self, name: bytes, offset: int, size: int) -> bytes:
        return self.lines[offset : offset + size] if name == b"line" else b""


PRESENT = b"\x19"  # DW_FORM_flag_present, which takes no bytes
HOSTILE = {
    "names of no bytes": program(bytes([255]) + (b"\x01" + PRESENT) * 255 + unsigned(1 << 16)),
    "more names than there are": program(b"\x01\x01\x08" + unsigned(1 << 15) + b"a\0"),
    "operands without end": program(bytes(4), b"\xff" * 12, b"\x0c" * 4096),
    "a length beyond the section": struct.pack("<IH", 1 << 23, 5),
    "64 bits": struct.pack("<IQH", 0xFFFFFFFF, 1 << 60, 5),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_program_ends_soon(raw: bytes) -> None:
    steps = Lines(b"", lambda _: True).steps(Given(raw), 0)
    before = time.process_time()
    with pytest.raises(BROKEN):
        for _ in zip(range(100), steps, strict=False):
            pass
    assert time.process_time() - before < 2 * load()
