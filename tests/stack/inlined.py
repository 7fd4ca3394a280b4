"""Chains of inlined functions against both addr2line: `python -m tests.stack.inlined`.

1,000 addresses of a C++ program, and of one in Rust where rustc is installed. Both tools make
mistakes: binutils names the innermost function by the symbol, elfutils knows of none in Rust and
takes another function where code of two is mixed. What one of them says counts as right. The exit
status is 1 if a chain is as none of them has it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from procmirror.stack.elf import Elf
from procmirror.stack.source_lines import SourceLines
from tests.stack.lines import ADDRESSES, addresses, opened, tell
from tests.stack.targets import PROGRAMS

# One chain of inlined functions: names innermost first, and where each executes.
Chain = tuple[list[str], list[tuple[str, str]]]
KINDS = (
    ("g++", "-g", "-O2", "-w", "-pthread", str(PROGRAMS / "threads.cpp")),
    ("rustc", "-g", "-O", str(PROGRAMS / "blocked.rs")),
)


def ours(elf: Elf, wanted: list[int]) -> list[Chain | None]:
    """The chain at each address; None where there is no line."""
    lines, found = SourceLines(lambda: 0.0), []
    for address in wanted:
        line = lines.at(elf, address)
        inlined = lines.inlined(elf, address) if line else []
        places = [line, *(one.called for one in inlined)]
        names = [(one.name or b"?").decode() for one in inlined]
        at = [(Path(one.file.decode()).name, str(one.line or "?")) for one in places if one]
        found.append((names, at) if line else None)
    return found


def by(tool: str, program: str, wanted: list[int]) -> Iterator[Chain]:
    """What a tool says; the function around all inlined ones is left out."""
    said = subprocess.run(
        [tool, "-a", "-f", "-i", "-e", program],
        input="\n".join(map(hex, wanted)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for block in re.split(r"^0x[0-9a-f]+\n", said, flags=re.MULTILINE)[1:]:
        rows = block.splitlines()
        names = [row.partition(" inlined at ")[0] for row in rows[::2]]
        places = [re.match(r"(.*?):(\d+|\?)", row) for row in rows[1::2]]
        yield names[:-1], [(Path(one[1]).name, one[2]) for one in places if one]


def differ(mine: Chain, elfutils: Chain, binutils: Chain) -> bool:
    names, places = mine
    by_symbol = names[1:] == binutils[0][1:] and len(names) == len(binutils[0])
    return mine != elfutils and not (by_symbol and places[1:] == binutils[1][1:])


def compared(label: str, program: str) -> bool:
    """Print how many chains are equal; whether all are."""
    wanted = addresses(opened(program), ADDRESSES)
    mine = ours(opened(program), wanted)
    tools = (by("eu-addr2line", program, wanted), by("addr2line", program, wanted))
    both = zip(mine, *tools, strict=True)
    odd = [one for one in both if one[0] and differ(one[0], one[1], one[2])]
    inlined = sum(bool(one and one[0]) for one in mine)
    tell(f"{len(mine) - len(odd):5} of {len(mine)} chains ({inlined} of inlined code): {label}")
    return not odd


def main() -> int:
    """Print the counts."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for at, command in enumerate(KINDS):
            if shutil.which(command[0]):
                program = str(Path(folder) / f"program{at}")
                subprocess.run([*command, "-o", program], check=True, stderr=subprocess.DEVNULL)
                found.append(compared(" ".join(command[:3]), program))
    return not all(found)


if __name__ == "__main__":
    sys.exit(main())
