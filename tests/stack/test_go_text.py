"""Where Go's functions begin, with a table that does not tell it: against the symbols of ld."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procmirror.stack import golang
from procmirror.stack.elf import Elf
from procmirror.stack.target import Blob
from tests.stack.targets import PROGRAMS, built_go

NAMES = {b"main.one": "one", b"main.two": "two", b"_rt0_amd64_linux": "_rt0_amd64_linux"}
MODULE = ("--defsym", "module=1")
HEADER = ("--defsym", "header=1")
PIE = ("-pie", "--no-dynamic-linker")
C = "_start: .skip 100, 0x90"


def linked(folder: Path, assembled: tuple[str, ...], flags: tuple[str, ...], before: str) -> Path:
    """A program of code of C, if there is some, before that of Go."""
    (folder / "c.s").write_text(f"\t.globl _start\n{before}\n", encoding="ascii")
    subprocess.run(["as", "-o", folder / "c.o", folder / "c.s"], check=True)
    source = PROGRAMS / "go_table.s"
    subprocess.run(["as", *assembled, "-o", folder / "go.o", source], check=True)
    entry = "_start" if before else "_rt0_amd64_linux"
    program = folder / "program"
    objects = [folder / "c.o", folder / "go.o"]
    subprocess.run(["ld", *flags, "-e", entry, "-o", program, *objects], check=True)
    without_values(program)
    return program


def without_values(program: Path) -> None:
    """Leave 0 where there is a relocation: other linkers than ld write no value there."""
    content = bytearray(program.read_bytes())
    elf = Elf(Blob(bytes(content)))
    said = subprocess.run(["readelf", "-rW", program], capture_output=True, text=True, check=True)
    for line in said.stdout.splitlines():
        if "R_X86_64_RELATIVE" in line:
            place = elf.offset(int(line.split()[0], 16))
            content[place : place + 8] = bytes(8)
    program.write_bytes(content)


def symbols(program: Path) -> dict[str, int]:
    """The symbols of code."""
    said = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines()]
    return {row[2]: int(row[0], 16) for row in rows if row[-2] in {"T", "t"}}


def stripped(program: Path) -> Elf:
    subprocess.run(["strip", program], check=True)
    return Elf(Blob(program.read_bytes()))


def found(elf: Elf, addresses: dict[str, int]) -> dict[bytes, int]:
    """The functions that the table has at these addresses, with their beginnings."""
    frames = [golang.frame(elf, address + 1) for address in addresses.values()]
    return {frame.name: frame.start for frame in frames if frame}


@pytest.mark.parametrize("flags", [(), PIE], ids=["fixed", "pie"])
@pytest.mark.parametrize(
    "assembled", [(), MODULE, HEADER], ids=["no module", "module", "as before Go 1.26"]
)
def test_code_of_c_comes_before_that_of_go(
    tmp_path: Path, assembled: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    program = linked(tmp_path, assembled, flags, C)
    there = symbols(program)
    wanted = {name: there[symbol] for name, symbol in NAMES.items()}
    assert found(Elf(Blob(program.read_bytes())), there) == wanted
    elf = stripped(program)
    assert found(elf, there) == (wanted if assembled else {})
    assert golang.is_go(elf) is bool(assembled)


@pytest.mark.parametrize("flags", [(), PIE], ids=["fixed", "pie"])
def test_without_code_of_c_go_begins_with_the_section(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    program = linked(tmp_path, (), flags, "")
    there = symbols(program)
    assert found(stripped(program), there) == {name: there[one] for name, one in NAMES.items()}


def test_a_module_of_another_table_tells_nothing(tmp_path: Path) -> None:
    program = linked(tmp_path, MODULE, (), C)
    there = symbols(program)
    elf = stripped(program)
    content = bytearray(program.read_bytes())
    module = elf.by_name[b".go.module"].offset
    content[module : module + 8] = b"\x11" * 8
    assert found(Elf(Blob(bytes(content))), there) == {}


@pytest.mark.parametrize("cgo", [False, True])
def test_programs_of_go_whose_table_does_not_tell_it(tmp_path: Path, *, cgo: bool) -> None:
    program = Path(built_go(tmp_path, "cgo.go" if cgo else "blocked.go", cgo=cgo))
    there = symbols(program)
    content = bytearray(program.read_bytes())
    table = Elf(Blob(bytes(content))).by_name[b".gopclntab"].offset
    assert int.from_bytes(content[table + 24 : table + 32], "little") == there["runtime.text"]
    content[table + 24 : table + 32] = bytes(8)
    elf = Elf(Blob(bytes(content)))
    functions = [name for name in there if name.startswith(("main.main", "runtime.go"))]
    assert len(functions) > 20
    for name in functions:
        frame = golang.frame(elf, there[name])
        assert frame and frame.start == there[name]
        assert frame.name.decode() == name.removesuffix(".abi0")
    program.write_bytes(content)
    assert golang.is_go(stripped(program)) is not cgo
