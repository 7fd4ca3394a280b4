"""Demangled names against c++filt, over all symbols of files: `python -m tests.stack.symbols FILE…`.

Without files: the C++ library, and node, LLVM and a Rust library where they are installed.
"""

from __future__ import annotations

import glob
import random
import re
import subprocess
import sys
from pathlib import Path

from procmirror.stack.demangle import function_name

PLACES = (
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/bin/node",
    "/usr/lib/llvm-*/lib/libLLVM-*.so.1",
    str(Path("~/.rustup/toolchains/*/lib/librustc_driver-*.so").expanduser()),
)
# c++filt adds the hash of a crate, of a legacy name, and the type of a constant; rustfilt does not.
HASHES = re.compile(r"(?<=\w)\[[0-9a-f]{1,16}\]|::h[0-9a-f]{16}")
CONSTANT = re.compile(r"(?<=\d): [iu](?:8|16|32|64|128|size)|(?<=true|alse): bool|(?<='): char")


def mangled(file: str) -> list[str]:
    """The C++ and Rust symbols of a file."""
    found = set()
    for table in ([], ["--dynamic"]):
        said = subprocess.run(
            ["nm", "--no-demangle", *table, file], capture_output=True, text=True, check=False
        ).stdout
        found |= {line.split()[-1].partition("@")[0] for line in said.splitlines() if line}
    return sorted(name for name in found if name.startswith(("_Z", "_R")))


def by_filter(names: list[str]) -> list[str]:
    """What c++filt makes of the names."""
    said = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [CONSTANT.sub("", HASHES.sub("", one)) for one in said]


def differing(names: list[str]) -> list[tuple[str, str, str]]:
    """Names of which c++filt says something else: the symbol, its text, ours."""
    pairs = zip(names, by_filter(names), strict=True)
    return [
        (name, theirs, ours)
        for name, theirs in pairs
        if (ours := function_name(name.encode())) != theirs
    ]


def sample(file: str, most: int) -> list[str]:
    """Some of the symbols of a file, at each call the same."""
    names = mangled(file)
    return names if len(names) <= most else random.Random(1).sample(names, most)


def main(files: list[str]) -> int:
    """Print the share of equal names for each file, and some that differ; 1 below 99 %."""
    worst = 1.0
    found = [Path(one).resolve() for place in PLACES for one in sorted(glob.glob(place))]
    for file in files or map(str, dict.fromkeys(found)):
        names = mangled(file)
        other = differing(names)
        equal = 1 - len(other) / max(len(names), 1)
        worst = min(worst, equal)
        sys.stdout.write(f"{100 * equal:.2f} % of {len(names)} as c++filt: {file}\n")
        for one in random.sample(other, min(3, len(other))):
            sys.stdout.write("".join(f"    {text[:300]}\n" for text in one))
    return worst < 0.99


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
