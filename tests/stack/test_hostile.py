"""ELF files and memory that somebody made to hurt.

The answer is "no unwind data", soon and in little memory.
"""

from __future__ import annotations

import lzma
import random
import struct
import subprocess
import time
import tracemalloc
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.stack import cfi, code, golang
from procmirror.stack.cfi_program import REGISTERS, Rule
from procmirror.stack.elf import BROKEN, Elf, Files, MalformedError
from procmirror.stack.expression import evaluate
from procmirror.stack.kernel_stack import frames
from procmirror.stack.perf_map import MOST_BYTES
from procmirror.stack.process import Process
from procmirror.stack.separate import separate
from procmirror.stack.snapshot import Memory, Where
from procmirror.stack.symbols import build_id, symbol
from procmirror.stack.target import Bare, Blob, MappedFile
from procmirror.stack.unwind import MOST_FRAMES, Unwinder
from tests.live_target import LiveTarget
from tests.properties import examples
from tests.stack.crafted import TEXT, Crafted, cie, elf_of, fde, with_program
from tests.stack.targets import built_go, compiled

SLOW = settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("programs")
    flags = (["-O2"], ["-O0", "-static"], ["-O2", "-s"])
    made = [Path(compiled("frames.c", folder, *each)).read_bytes() for each in flags]
    return [*made, Path(built_go(folder)).read_bytes()]


def nothing() -> None:
    """No debug file."""


def asked(content: bytes, addresses: list[int]) -> None:
    """Everything the unwinder asks of a file; whatever it holds, nothing is raised."""
    elf = Files(1 << 20).elf(Blob(content))
    if elf is None:
        return
    build_id(elf)
    for address in addresses:
        row = cfi.row(elf, address)
        golang.frame(elf, address)
        symbol(elf, address, row and row.start, nothing)
    assert elf.weight() > 0


def some_addresses(chance: random.Random) -> list[int]:
    """Addresses in the programs' code, and some elsewhere."""
    return [
        chance.choice(
            [0, 1 << 63, chance.randrange(0x1000, 0x4000), chance.randrange(0x401000, 0x480000)]
        )
        for _ in range(20)
    ]


@SLOW
@given(seed=st.integers(0, 1 << 32), which=st.integers(0, 3), hits=st.integers(1, 40))
def test_a_program_with_some_bytes_changed(
    programs: list[bytes], seed: int, which: int, hits: int
) -> None:
    chance = random.Random(seed)
    content = bytearray(programs[which])
    # Headers, tables and unwind data are what matters: most hits go there.
    places = [(0, 0x400), *interesting(programs[which])]
    for _ in range(hits):
        start, size = chance.choice(places)
        content[min(start + chance.randrange(max(1, size)), len(content) - 1)] = chance.choice(
            [0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)]
        )
    asked(bytes(content), some_addresses(chance))


@cache
def interesting(content: bytes) -> list[tuple[int, int]]:
    elf = Elf(Blob(content))
    names = (
        b".eh_frame",
        b".eh_frame_hdr",
        b".symtab",
        b".dynsym",
        b".gopclntab",
        b".note.gnu.build-id",
    )
    found = [(section.offset, section.size) for name in names if (section := elf.by_name.get(name))]
    return [*found, (len(content) - 64 * len(elf.sections), 64 * len(elf.sections))]


@SLOW
@given(seed=st.integers(0, 1 << 32), which=st.integers(0, 3))
def test_a_program_cut_somewhere(programs: list[bytes], seed: int, which: int) -> None:
    chance = random.Random(seed)
    content = programs[which]
    asked(content[: chance.randrange(len(content))], some_addresses(chance))


@settings(SLOW, max_examples=examples(400))
@given(
    program=st.binary(max_size=60),
    known=st.dictionaries(st.integers(0, 16), st.integers(0, (1 << 64) - 1)),
)
def test_any_expression_ends(program: bytes, known: dict[int, int]) -> None:
    try:
        value = evaluate(program, known, lambda address: address ^ 0xFF)
    except BROKEN:
        return
    assert value is None or 0 <= value < 1 << 64


def test_an_entry_made_by_hand_is_understood() -> None:
    row = cfi.row(with_program(b"\x0c\x07\x08\x90\x01"), TEXT + 5)
    assert row
    assert (row.start, row.register, row.offset, row.rules) == (
        TEXT,
        7,
        8,
        {16: Rule("at", -8)},
    )


def test_an_entry_answers_only_for_its_own_function() -> None:
    assert cfi.row(with_program(b"\x0c\x07\x08"), TEXT + 1000) is None
    assert cfi.row(with_program(b"\x0c\x07\x08"), TEXT - 1) is None


@settings(SLOW, max_examples=examples(400))
@given(program=st.binary(max_size=120))
def test_any_program_of_rules_gives_a_row_or_none(program: bytes) -> None:
    row = cfi.row(with_program(program), TEXT + 5)
    assert row is None or set(row.rules) <= set(range(REGISTERS))


def soon(elf: Elf, seconds: float = 1.5) -> None:
    """The file has no unwind data, and that is found out soon and in little memory."""
    tracemalloc.start()
    before = time.process_time()
    try:
        assert cfi.row(elf, TEXT + 5) is None
        symbol(elf, TEXT + 5, None, nothing)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    # Tracing costs a factor of about five.
    assert time.process_time() - before < 5 * seconds


@pytest.mark.parametrize(
    "program",
    [
        b"\x0a" * 60_000,
        b"\x0a\x0b" * 30_000,
        b"\x0b",
        b"\x0f\xff\xff\xff\xff\x0f",
        b"\x05" + b"\xff" * 40,
        b"\xff" * 50,
        b"\x0e" + b"\x80" * 5000,
    ],
    ids=[
        "remember",
        "remember and restore",
        "restore nothing",
        "expression",
        "number",
        "restore",
        "long number",
    ],
)
def test_programs_of_rules_without_measure(program: bytes) -> None:
    before = time.process_time()
    row = cfi.row(with_program(program), TEXT + 5)
    assert row is None or row.rules == {}
    assert time.process_time() - before < 1


def test_entries_without_end() -> None:
    soon(Elf(Blob(elf_of(struct.pack("<II", 4, 0) * (1 << 20)))))
    soon(Elf(Blob(elf_of(b"\0" * (8 << 20)))))


def test_entries_that_point_at_themselves_and_at_each_other() -> None:
    for back in (0, 4, 8, 0xFFFFFFF0):
        soon(Elf(Blob(elf_of(struct.pack("<III", 8, back, back) * 1000))))


def test_each_entry_with_an_authority_of_its_own() -> None:
    pair = cie(b"\0" * 1000)
    soon(
        Elf(Blob(elf_of(b"".join(pair + fde(len(pair) + 4, 1 << 40, 1, b"") for _ in range(6000)))))
    )


def test_a_section_larger_than_the_file() -> None:
    soon(Elf(Blob(elf_of(cie(), claims=1 << 50))))


class Sparse:
    """A file that claims a terabyte and holds zeros."""

    key = "sparse"
    size = 1 << 40

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.read = 0

    def pread(self, size: int, offset: int) -> bytes:
        self.read += size
        return self.head[offset : offset + size].ljust(size, b"\0")


@pytest.mark.parametrize("kind", [2, 11])
def test_counts_without_measure(kind: int) -> None:
    section = struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, 0, 1 << 39, 0, 0, 1, 24)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 64, 0, 64, 56, 0, 64, 4096, 0
    )
    file = Sparse(header + section * 4096)
    elf = Elf(file)
    assert len(elf.sections) == 4096
    soon(elf, 3)
    assert file.read < 256 << 20


def test_headers_without_measure() -> None:
    for segments, sections in ((0xFFFF, 0), (0, 0xFFFF), (257, 4097)):
        header = b"\x7fELF\2\1\1".ljust(16, b"\0")
        header += struct.pack(
            "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 64, 0, 64, 56, segments, 64, sections, 0
        )
        try:
            assert Elf(Sparse(header)).sections == []
        except MalformedError:
            assert segments > 256


def test_packed_symbols_that_expand_without_measure(tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(lzma.compress(b"\0" * (256 << 20), preset=0))
    program = compiled("frames.c", tmp_path, "-O2", "-s")
    bomb = str(tmp_path / "bomb")
    subprocess.run(
        ["objcopy", "--add-section", f".gnu_debugdata={packed}", program, bomb], check=True
    )
    elf = Elf(Blob(Path(bomb).read_bytes()))
    tracemalloc.start()
    try:
        assert symbol(elf, TEXT + 5, None, nothing) is None
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


def test_packed_symbols_are_read(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2")
    full = Elf(Blob(Path(program).read_bytes()))
    address = next(line.split() for line in names_of(program) if line.endswith(" recursion"))[0]
    packed = tmp_path / "packed"
    packed.write_bytes(lzma.compress(Path(program).read_bytes()))
    stripped = str(tmp_path / "stripped")
    subprocess.run(
        ["objcopy", "--strip-all", "--add-section", f".gnu_debugdata={packed}", program, stripped],
        check=True,
    )
    small = Elf(Blob(Path(stripped).read_bytes()))
    start = int(address, 16)
    assert (
        symbol(full, start + 3, None, nothing)
        == symbol(small, start + 3, None, nothing)
        == (b"recursion", start)
    )


def names_of(program: str) -> list[str]:
    return subprocess.run(
        ["nm", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_debug_file_must_have_the_same_build_id(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2", "-Wl,--build-id")
    other = compiled("frames.c", tmp_path, "-O1", "-Wl,--build-id")
    stripped = str(tmp_path / "stripped")
    subprocess.run(["strip", "-o", stripped, program], check=True)
    start = int(
        next(line.split() for line in names_of(program) if line.endswith(" recursion"))[0], 16
    )

    class Found(Bare):
        """A process whose debug file is `debug`."""

        def debug_file(self, build_id: str) -> MappedFile:
            assert len(build_id) == 40
            return Blob(Path(debug).read_bytes())

    def named() -> object:
        elf = Elf(Blob(Path(stripped).read_bytes()))
        target = Found(LiveTarget("/proc/self"))
        return symbol(elf, start, None, lambda: separate(elf, b"/x", target))

    debug = program
    assert named() == (b"recursion", start)
    debug = other
    assert named() is None


def test_a_name_is_never_the_nearest_one(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2")
    elf = Elf(Blob(Path(program).read_bytes()))
    start = int(next(line.split() for line in names_of(program) if line.endswith(" _start"))[0], 16)
    assert symbol(elf, start, None, nothing) == (b"_start", start)
    assert symbol(elf, start + 0x26, None, nothing) is None


def test_files_are_forgotten_beyond_the_limit(programs: list[bytes]) -> None:
    files = Files(100_000)
    for number in range(20):
        elf = files.elf(Blob(programs[0] + bytes([number])))
        assert elf
        cfi.row(elf, 0x1300)
        files.settle()
        assert files.weight <= 100_000
    assert 0 < len(files._known) < 20


class Listed(Crafted):
    """A process with code of its own and an endless list of its names."""

    class Endless:
        key, size = "list", 1 << 40

        def pread(self, size: int, offset: int) -> bytes:
            assert (size, offset) == (MOST_BYTES, self.size - MOST_BYTES)
            return b"10000 1000 name\n".rjust(size, b"\n")

    def perf_map(self) -> MappedFile | None:
        return self.Endless()


def test_a_list_of_names_is_read_to_a_limit() -> None:
    process = Process(Listed(b"10000-11000 r-xp 00000000 00:00 0 \n", b"", 0x10000))
    assert process.name(0x10010, innermost=True).symbol == b"name"


@SLOW
@given(
    words=st.lists(st.integers(0x10000 - 8, 0x12100), min_size=1, max_size=400),
    rbp=st.integers(0x11000, 0x12000),
)
def test_any_stack_ends_without_data(words: list[int], rbp: int) -> None:
    memory = struct.pack(f"<{len(words)}Q", *words)
    maps = b"10000-11000 r-xp 00000000 00:00 0 \n11000-20000 rw-p 00000000 00:00 0 \n"
    target = Crafted(maps, memory, 0x11000)
    process = Process(target)
    unwinder = Unwinder(process, Memory(process, 0x11000), 2.0)
    found = unwinder.stack(Where(0, (rbp,) * 6, 0x11000, 0x10010))
    assert len(found.frames) <= MOST_FRAMES
    assert found.reason


@SLOW
@given(st.binary(max_size=80))
def test_any_code_is_looked_at_without_harm(raw: bytes) -> None:
    code.call_before(raw, 1 << 40)
    code.stub_slot(raw, 1 << 40)
    code.frame_size(raw, 16)
    list(code.jumps(raw, 0))
    code.moves_sp(raw)
    frames(raw)
