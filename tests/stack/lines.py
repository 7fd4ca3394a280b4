"""Lines of addresses against addr2line: `python -m tests.stack.lines [PROGRAM…]`.

1,000 addresses of one program of each compiler and version of DWARF, or of the given programs. The
compilers that are not installed are named at the end; Debian's packages have the names of their
commands (of clang++-14 it is clang-14, of ldc2 ldc, of go golang). The exit status is 1 if more than
one line in a hundred differs.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from procmirror.stack import cfi, golang
from procmirror.stack.elf import Elf
from procmirror.stack.source_lines import Late, SourceLines
from procmirror.stack.target import Blob
from tests.stack.targets import PROGRAMS, built_go

ADDRESSES = 1000
EXECINSTR, NOBITS = 4, 8
RUST = 'fn main() { std::thread::spawn(|| println!("{:?}", std::env::args())).join().unwrap() }'
# The program whose answer is right: addr2line of binutils mistakes files of DWARF 5 by gcc, and
# that of elfutils finds no unit that is not in .debug_aranges, as clang's are not.
BINUTILS, ELFUTILS = "addr2line", "eu-addr2line"
KINDS = (
    *((f"g++ -g -gdwarf-{number}", ELFUTILS) for number in (2, 3, 4, 5)),
    ("g++ -g -O2 -gz", ELFUTILS),
    ("g++ -g -O2 -gsplit-dwarf", ELFUTILS),
    ("g++ -g -O2 -flto", ELFUTILS),
    ("g++ -g -Wl,--compress-debug-sections=zlib-gnu", ELFUTILS),
    ("g++ -g -ffunction-sections -Wl,--gc-sections", ELFUTILS),
    *((f"clang++-14 -g -O2 -gdwarf-{number}", BINUTILS) for number in (2, 4, 5)),
    ("clang++-14 -g -gsplit-dwarf", BINUTILS),
    ("rustc -g", BINUTILS),
    ("rustc -g -O", BINUTILS),
    ("gfortran -g", ELFUTILS),
    ("gfortran -g -O2", ELFUTILS),
    ("gdc -g", ELFUTILS),
    ("gdc -g -O2", ELFUTILS),
    ("ldc2 -g", BINUTILS),
    ("ldc2 -g -O2", BINUTILS),
)
GO = "go"
# The programs that are not those of C++, and how a compiler takes the name of its output.
SOURCES = {"gfortran": "sums.f90", "gdc": "words.d", "ldc2": "words.d"}
OUTPUTS = {"ldc2": ("-of={}",)}
FLAGS = {"g++": ("-w", "-pthread"), "clang++-14": ("-w", "-pthread")}
TRIES = 10_000


def tell(*words: object) -> None:
    """Write one line of the report."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def opened(path: str) -> Elf:
    """A file as the product reads it."""
    return Elf(Blob(Path(path).read_bytes()))


def addresses(elf: Elf, count: int) -> list[int]:
    """Addresses of functions in the largest section of code, always the same ones."""
    code = max((one for one in elf.sections if one.flags & EXECINSTR), key=lambda one: one.size)
    chosen = random.Random(5)
    every = [chosen.randrange(code.address, code.address + code.size) for _ in range(TRIES)]
    # Between functions stands padding, to which eu-addr2line gives the line before it. Some
    # programs have no rules that tell it from functions.
    in_functions = [address for address in every if cfi.row(elf, address)]
    return (in_functions if len(in_functions) >= count else every)[:count]


def theirs(program: str, path: str, wanted: list[int]) -> list[str | None]:
    """The lines by addr2line."""
    said = subprocess.run(
        [program, "-e", path, *map(hex, wanted)], capture_output=True, text=True, check=True
    ).stdout
    found: list[str | None] = []
    for row in said.splitlines():
        words = row.partition(" (")[0].split(":")
        known = len(words) > 1 and words[0] not in {"??", ""} and words[1] not in {"?", "0"}
        found.append(f"{os.path.normpath(words[0])}:{words[1]}" if known else None)
    return found


def ours(elf: Elf, wanted: list[int]) -> list[str | None]:
    """The lines by the product, asked again as long as there is no time."""
    return [_line(elf, address) for address in wanted]


def _line(elf: Elf, address: int) -> str | None:
    go = golang.frame(elf, address)
    if go:
        return f"{os.path.normpath((go.file or b'').decode())}:{go.line}" if go.line else None
    while True:
        try:
            line = SourceLines(time.monotonic).at(elf, address)
        except Late:
            continue
        return f"{os.path.normpath(line.file.decode())}:{line.line}" if line else None


def compared(label: str, oracle: str, path: str) -> bool:
    """Print how many lines are equal; whether they are, but for one in a hundred."""
    elf = opened(path)
    wanted = addresses(elf, ADDRESSES)
    before = time.process_time()
    mine = ours(elf, wanted)
    seconds = time.process_time() - before
    pairs = list(zip(mine, theirs(oracle, path, wanted), strict=True))
    equal = sum(our == their for our, their in pairs)
    known = sum(their is not None for _, their in pairs)
    tell(f"{equal:5} of {len(pairs)} as {oracle} ({known} lines), {seconds:.2f} s: {label}")
    for our, their in [pair for pair in pairs if pair[0] != pair[1]][:3]:
        tell("      ", our, "instead of", their)
    return equal * 100 >= 99 * len(pairs)


def built(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Label, oracle and path of a program of each kind."""
    (folder / "r.rs").write_text(RUST, encoding="utf-8")
    for at, (command, oracle) in enumerate(KINDS):
        compiler, *flags = command.split()
        if shutil.which(compiler):
            path = str(folder / f"program{at}")
            source = PROGRAMS / SOURCES.get(compiler, "threads.cpp")
            output = [one.format(path) for one in OUTPUTS.get(compiler, ("-o", "{}"))]
            given = folder / "r.rs" if compiler == "rustc" else source
            subprocess.run(
                [compiler, *flags, *FLAGS.get(compiler, ()), str(given), *output],
                check=True,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            yield command, oracle, path
    if shutil.which(GO):
        yield "go build", BINUTILS, built_go(folder)
    if missing := missing_compilers():
        tell("  not compared, for it is not installed:", ", ".join(missing))


def missing_compilers() -> list[str]:
    """The compilers whose lines are not compared here."""
    every = dict.fromkeys([*(command.split()[0] for command, _ in KINDS), GO])
    return [one for one in every if not shutil.which(one)]


def main() -> int:
    """Print the counts."""
    given = [(path, ELFUTILS, path) for path in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as name:
        found = [compared(*one) for one in given or built(Path(name))]
    return not all(found)


if __name__ == "__main__":
    sys.exit(main())
