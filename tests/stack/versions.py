"""Python, PHP, Ruby and Java of other systems against themselves: `python -m tests.stack.versions ROOT…`.

A root is a directory with the files of a system, such as debootstrap(8) makes, in which programs
run by chroot(1), as root. Each interpreter there runs a program that tells of its own stacks, and
what the view has must be the same; of Java jstack tells. The exit status is 1 if it is not, or if there is none.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from procmirror.stack.thread_stack import ThreadStack
from tests.harness import until
from tests.stack.targets import PROGRAMS, asleep, seen, started
from tests.stack.test_java import by_jstack, ours, settled, theirs
from tests.stack.test_php import KINDS
from tests.stack.test_ruby import OF_C

OWNER = re.compile(r"\b[A-Z][\w:]*[#.](?=\w)")
INSIDE = "/tmp/frames-of-versions"


class Result(NamedTuple):
    """Stacks that are the same, of how many, and one that is not: theirs and ours."""

    same: int
    stacks: int
    other: tuple[object, object] | None


def by_ruby(threads: dict[int, ThreadStack], told: object) -> Iterator[tuple[object, object]]:
    """Theirs and ours of each thread, as `tests/stack/programs/frames.rb` tells them.

    Since 3.4 Ruby tells the class of a method as well.
    """
    assert isinstance(told, dict)
    for tid, frames in told.items():
        ours = [[one.function, one.file, one.line] for one in threads[int(tid)].interpreted or ()]
        named = [[OWNER.sub("", name), *place] for name, *place in frames]
        yield [one for one in named if one[0] not in OF_C or one[1].startswith("<internal:")], ours


def by_php(threads: dict[int, ThreadStack], told: object) -> Iterator[tuple[object, object]]:
    """Theirs and ours, with the place that calls each function."""
    assert isinstance(told, list)
    (thread,) = threads.values()
    calls = [
        [one.function.replace("->", "::"), caller.file, caller.line]
        for one, caller in pairwise(thread.interpreted or ())
    ]
    names = {"include": "{included}", "eval": "{included}"}
    wanted = [
        ["::".join(filter(None, (owner, names.get(name, name)))), file, line]
        for owner, name, file, line in told
    ]
    yield wanted, calls[1:]


def by_python(threads: dict[int, ThreadStack], told: object) -> Iterator[tuple[object, object]]:
    """Theirs and ours of each thread; one of the files has a name that is not shown whole."""
    assert isinstance(told, dict)
    for tid, frames in told.items():
        ours = [[one.function, one.file[:1000], one.line] for one in threads[int(tid)].python or ()]
        yield [[n, file[:1000], line] for n, file, line in frames if isinstance(file, str)], ours


class Kind(NamedTuple):
    """A language: its program, the words of each run of it, and how many threads that has."""

    script: str
    pairs: Callable[[dict[int, ThreadStack], object], Iterator[tuple[object, object]]]
    runs: Sequence[tuple[str, ...]]
    threads: int


KINDS_OF = {
    "python3.*": Kind("frames.python", by_python, [()], 7),
    "php*": Kind("frames.php", by_php, [(one,) for one in KINDS], 1),
    "ruby*": Kind("frames.rb", by_ruby, [()], 7),
}


def compared(root: Path, program: Path, kind: str) -> Result:
    """All stacks of the programs of one interpreter."""
    script, pairs, runs, threads = KINDS_OF[kind]
    same = stacks = 0
    other: tuple[object, object] | None = None
    for words in runs:
        told = root / INSIDE.lstrip("/") / "told"
        told.unlink(missing_ok=True)
        options = ["-n"] if kind == "php*" else []
        command = ["chroot", str(root), f"/usr/bin/{program.name}", *options]
        with started(*command, f"{INSIDE}/{script}", *words, f"{INSIDE}/told") as pid:
            until(told.exists)
            asleep(pid, threads)
            for theirs, ours in pairs(seen(pid), json.loads(told.read_bytes())):
                stacks += 1
                same += theirs == ours
                other = other if theirs == ours else (theirs, ours)
    return Result(same, stacks, other)


def compared_java(root: Path, home: str) -> Result:
    """All stacks of a program of Java; `home` is below the root."""
    inside = ["chroot", str(root)]
    options = ["-Xmx64m", "-XX:+UseSerialGC", f"{INSIDE}/Frames.java"]
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    try:
        with started(*inside, f"{home}/bin/java", *options) as pid:
            found = until(lambda: settled(pid), seconds=60)
            asked = [*inside, f"{home}/bin/jstack", str(pid)]
            said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    finally:
        subprocess.run(["umount", root / "proc"], check=True)
    pairs = [(theirs(told), ours(found[tid])) for tid, told in by_jstack(said).items() if told]
    other = [pair for pair in pairs if pair[0] != pair[1]]
    return Result(len(pairs) - len(other), len(pairs), other[0] if other else None)


def interpreters(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Each interpreter below a root: its program, its kind and its version."""
    seen_files: set[Path] = set()
    for kind in KINDS_OF:
        for program in sorted((root / "usr/bin").glob(kind)):
            asked = ["chroot", str(root), f"/usr/bin/{program.name}", "--version"]
            with suppress(subprocess.CalledProcessError):
                version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
                if program.is_symlink() or program in seen_files or not version:
                    continue
                seen_files.add(program)
                yield program, kind, version.splitlines()[0]


def told(result: Result, name: str) -> bool:
    """Print a result; whether a stack is not the same."""
    sys.stdout.write(f"{result.same} of {result.stacks} stacks: {name}\n")
    if result.other:
        sys.stdout.write(f"    theirs {result.other[0]}\n    ours   {result.other[1]}\n")
    sys.stdout.flush()
    return result.same < result.stacks


def main(roots: list[str]) -> int:
    """Print how many stacks are the same for each interpreter."""
    wrong, found = 0, 0
    for root in map(Path, roots):
        folder = root / INSIDE.lstrip("/")
        shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)
        for program, kind, version in interpreters(root):
            found += 1
            wrong += told(compared(root, program, kind), f"{version} ({root})")
        for home in sorted((root / "usr/lib/jvm").glob("java-[1-9]*-openjdk-*")):
            if not home.is_symlink():
                found += 1
                wrong += told(compared_java(root, f"/usr/lib/jvm/{home.name}"), str(home))
        shutil.rmtree(folder)
    return bool(wrong) or not found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
