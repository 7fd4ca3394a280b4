"""Names of code of hand-written assembler, as elfutils finds them."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from procmirror.stack import symbol_table
from procmirror.stack.elf import Elf
from procmirror.stack.symbols import Symbol, symbol
from procmirror.stack.target import Blob
from tests.stack.targets import available


def nothing() -> None:
    """No debug file."""


def assembled(folder: Path, source: str) -> str:
    """A program of assembler code; all of it is one section."""
    (folder / "names.s").write_text(f"\t.globl _start\n_start:\n{source}", encoding="ascii")
    subprocess.run(["as", "-o", folder / "names.o", folder / "names.s"], check=True)
    program = folder / "names"
    subprocess.run(["ld", "-o", program, folder / "names.o"], check=True)
    return str(program)


def by_elfutils(program: str, address: int) -> str:
    """The symbol, with how far the address is in it."""
    command = [available("eu-addr2line"), "-S", "-e", program, hex(address)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.split()[0]


def ours(elf: Elf, address: int, function: int | None) -> str:
    found = symbol(elf, address, function, nothing)
    if found is None:
        return ""
    distance = address - found.start
    return found.name.decode() + (f"+{distance:#x}" if distance else "")


LABELS = """\t.skip 16, 0x90
\t.globl outer
\t.type outer, @function
outer:
\t.skip 4, 0x90
inner:
\t.skip 4, 0x90
\t.globl innermost
innermost:
\t.skip 4, 0x90
\t.size outer, . - outer
after:
\t.skip 4, 0x90
"""


def test_a_label_is_no_name_of_code_that_a_function_holds(tmp_path: Path) -> None:
    program = assembled(tmp_path, LABELS)
    elf = Elf(Blob(Path(program).read_bytes()))
    outer = elf.by_name[b".text"].address + 16
    for address in range(outer, outer + 12):
        for function in (None, outer, outer + 4):
            assert ours(elf, address, function) == by_elfutils(program, address)
    assert symbol(elf, outer + 13, outer + 12, nothing) == (b"after", outer + 12)
    assert symbol(elf, outer + 14, None, nothing) is None


@pytest.mark.parametrize("mark", ["$x", "$d", "$x.12", "$d.realdata"])
def test_what_tells_code_from_data_is_no_name(tmp_path: Path, mark: str) -> None:
    program = assembled(tmp_path, f'"{mark}":\n\t.skip 8, 0x90\n"$xylem":\n\t.skip 8, 0x90\n')
    elf = Elf(Blob(Path(program).read_bytes()))
    start = elf.by_name[b".text"].address
    assert symbol(elf, start + 9, start + 8, nothing) == Symbol(b"$xylem", start + 8)
    assert symbol(elf, start, start, nothing) == Symbol(b"_start", start)
    elf = Elf(Blob(Path(program).read_bytes().replace(b"_start", b"$x.abc")))
    assert symbol(elf, start, start, nothing) is None


def test_many_labels_leave_a_function_its_name(tmp_path: Path) -> None:
    labels = "".join(f"inner{number}:\n\t.skip 1, 0x90\n" for number in range(100))
    source = LABELS.replace("inner:\n", labels)
    program = assembled(tmp_path, source)
    elf = Elf(Blob(Path(program).read_bytes()))
    outer = elf.by_name[b".text"].address + 16
    for address in range(outer, outer + 112):
        assert ours(elf, address, outer) == by_elfutils(program, address)


def test_a_table_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbol_table, "_PART", 2)
    program = assembled(tmp_path, LABELS)
    elf = Elf(Blob(Path(program).read_bytes()))
    outer = elf.by_name[b".text"].address + 16
    for address in range(outer, outer + 12):
        assert ours(elf, address, outer) == by_elfutils(program, address)


def test_of_a_table_that_is_too_large_the_global_symbols_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = "\t.type {0}, @function\n{0}:\n\t.skip 2, 0x90\n\t.size {0}, 2\n"
    locals_ = "".join(function.format(f"local{number}") for number in range(50))
    program = assembled(tmp_path, f"{locals_}\t.globl shared\n{function.format('shared')}")
    monkeypatch.setattr(symbol_table, "MOST_SYMBOLS", 20)
    elf = Elf(Blob(Path(program).read_bytes()))
    start = elf.by_name[b".text"].address
    assert ours(elf, start + 101, None) == by_elfutils(program, start + 101) == "shared+0x1"
    assert symbol(elf, start + 3, None, nothing) is None


def with_symbols(count: int, last: bytes) -> bytes:
    """A file with so many symbols, all of one function, and then one more of another name."""
    at, size = 64 + 3 * 64, 24 * (count + 1)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64, 0, 64, 56, 0, 64, 3, 0
    )
    sections = b"".join(
        struct.pack("<IIQQQQIIQQ", *section)
        for section in (
            (0,) * 10,
            (0, 2, 0, 0, at, size, 2, count, 8, 24),
            (0, 3, 0, 0, at + size, len(last) + 2, 0, 0, 1, 0),
        )
    )
    entry = struct.Struct("<IBBHQQ")
    symbols = entry.pack(0, 2, 0, 1, 0x1000, 16) * count + entry.pack(1, 18, 0, 1, 0x2000, 16)
    return header + sections + symbols + b"\0" + last + b"\0"


def test_a_table_of_more_than_a_million_symbols_is_read_whole() -> None:
    elf = Elf(Blob(with_symbols(1 << 20, b"shared")))
    assert symbol(elf, 0x2008, None, nothing) == Symbol(b"shared", 0x2000)
    assert symbol(elf, 0x1008, None, nothing) == Symbol(b"", 0x1000)
    assert elf.weight() < 64 << 20
