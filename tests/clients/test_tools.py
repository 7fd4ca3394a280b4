"""The tools of a shell on the mirror.

They do what they do on /proc, on the files of /proc, and read the views beside them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounting import Mount
from tests.programs import Ran, environment, ran, running, shell

SECRET = "clients-of-the-mirror"


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    """A process that changes nothing of itself."""
    with running("sleep", "600", env=environment(API_KEY=SECRET)) as pid:
        yield pid


# $1 is /proc or the mirror, $2 the process, $3 an empty directory.
SAME = {
    "cat": 'cat "$1/$2/environ" "$1/$2/maps" "$1/$2/limits"',
    "cat what nobody has": 'cat "$1/$2/none"',
    "cat a directory": 'cat "$1/$2/task"',
    "cat the small system files": 'cat "$1/version" "$1/filesystems" "$1/cmdline" "$1/devices" "$1/sys/kernel/ostype"',
    "cat a process that is gone": 'sleep 0 & gone=$!; wait; cat "$1/$gone/status" 2>&1 | sed "s/$gone/GONE/"',
    "head": 'head -n 3 "$1/$2/limits"; head -c 20 "$1/$2/environ"',
    "tail": 'tail -n 2 "$1/$2/maps"; tail -c 20 "$1/$2/environ"',
    "tail +": 'tail -n +3 "$1/$2/limits"',
    "tac": 'tac "$1/$2/limits"',
    "less -F": 'less -F "$1/$2/limits"',
    "less in a pipe": 'less "$1/$2/maps" | grep -c sleep',
    "more": 'more "$1/$2/limits" | cat',
    "wc": 'wc "$1/$2/limits" "$1/$2/maps"',
    "grep": 'grep -n "open files" "$1/$2/limits"; grep -a -o API_KEY "$1/$2/environ"; grep -c . "$1/$2/none"',
    "grep -r": 'cd "$1/$2" && grep -rsl --exclude=mem --exclude=pagemap --exclude="*.[tjf][xso][tol]*" "$4" . | sort',
    "rg": 'rg -N "open files" "$1/$2/limits"',
    "rg --no-mmap": 'rg --no-mmap -N "open files" "$1/$2/limits" "$1/$2/status"',
    "rg in a directory": 'cd "$1/$2" && rg -a -uuu -l --no-messages "$4" -g environ . | sort',
    "find": 'cd "$1/$2" && find . -maxdepth 2 ! -name "*.[tjf][xso][tol]*" -printf "%p %M %U %G %l\\n" | sort',
    "find -type": 'cd "$1/$2" && find . -path ./map_files -prune -o -type l -printf "%p %l\\n" | sort',
    "find -exec": 'find "$1/$2" -maxdepth 1 -name comm -exec cat {} +',
    "find -size": 'cd "$1/$2" && find . -maxdepth 1 -type f -size +0 && echo done',
    "cp": 'cp "$1/$2/limits" "$3/copy" && cat "$3/copy" && rm "$3/copy"',
    "cp of much": 'cp "$1/kallsyms" "$3/copy" && md5sum < "$3/copy" && rm "$3/copy"',
    "dd": 'dd if="$1/$2/environ" bs=1 skip=3 count=10 status=none; dd if="$1/$2/auxv" bs=16 count=2 status=none | od -c',
    "readlink": 'readlink "$1/$2/exe" "$1/$2/cwd" "$1/$2/root" "$1/$2/fd/0" "$1/$2/ns/net"',
    "stat": 'cd "$1/$2" && stat -c "%n %A %U %G %s %F" . environ comm mem stat fd/0 ns ns/net task exe fdinfo/0 map_files',
    "ls": 'ls "$1/$2/fd" "$1/$2/ns" "$1/$2/task" "$1/$2/map_files"',
    "ls -l": 'ls -l "$1/$2/fd" "$1/$2/ns" | sed "s/ [A-Z][a-z][a-z] .*:[0-9][0-9]//"',
    "ls -d": 'cd "$1/$2" && ls -d m* [n-p]*s | grep -v "[.]"',
    "test": 'cd "$1/$2" && for f in environ mem fd none; do for t in -r -d -x; do test $t $f; echo $?; done; done',
    "cd and globs": 'cd "$1/$2" && cat comm && echo m[e]* task/*/comm && cd task && cd .. && read -r w < status && echo $w',
    "pwd": 'cd "$1/$2/task/$2" && pwd && cd ../.. && pwd -P',
    "a shell loop": 'while read -r name rest; do case $name in Uid:|State:) echo $name $rest;; esac; done < "$1/$2/status"',
    "sed": 'sed -n "/^Name/p;/^Uid/p" "$1/$2/status"',
    "awk": 'awk "/^VmSize|^Threads/ {print \\$2}" "$1/$2/status"',
    "sort and uniq": 'sort -u "$1/$2/limits" | uniq -c',
    "cmp": 'cmp "$1/$2/maps" "/proc/$2/maps" && echo same',
    "diff": 'diff "$1/$2/environ" "/proc/$2/environ" && diff "$1/$2/limits" "/proc/$2/limits" && echo same',
    "tar": 'tar -C "$1/$2" -cf "$3/archive" limits comm 2>&1; tar -tf "$3/archive"; rm "$3/archive"',
    "tee": 'tee "$3/copy" < "$1/$2/comm"; cat "$3/copy"',
    "touch": 'touch "$1/$2/none" 2>/dev/null || mkdir "$1/$2/none" 2>/dev/null || rm "$1/$2/comm" 2>/dev/null || echo refused',
    "df": 'df --output=size,used,avail,pcent "$1" | tail -n 1',
    "du": 'du -s --exclude=task "$1/$2/ns" | cut -f 1',
    "python": 'python3 -c \'import os, sys; print(sorted(os.listdir(sys.argv[1] + "/ns")))\' "$1/$2"',
    "perl": 'perl -ne "print if /open files/" "$1/$2/limits"',
    "xargs": 'xargs -0 -n 1 echo < "$1/$2/cmdline"',
    "self": 'test "$(readlink "$1/self")" -gt 1 && cat "$1/self/comm" "$1/thread-self/comm"',
}


@pytest.mark.parametrize("case", SAME)
def test_as_on_proc(mirror: Mount, sleeper: int, tmp_path: Path, case: str) -> None:
    def on(proc: Path) -> Ran:
        return shell(SAME[case], proc, sleeper, tmp_path, SECRET).on(mirror.path)

    native = on(Path("/proc"))
    assert on(mirror.path) == native
    assert native.out or native.err


def without_views(listing: str) -> dict[str, list[str]]:
    """What `ls -lR` says of each name, by directory, but for times and sizes."""
    directories = {}
    for part in listing.split("\n\n"):
        first, *rest = part.removeprefix("\n").splitlines()
        fields = [
            re.sub(r" +\d+ [A-Z][a-z]{2} +\d+ +\d\d:\d\d ", " ", line)
            for line in rest
            if not line.startswith("total")
        ]
        directories[first] = [
            line for line in fields if not re.search(r"\.(txt|json|ndjson|folded)( -> .*)?$", line)
        ]
    return directories


def test_ls_lr_of_a_process(mirror: Mount, sleeper: int) -> None:
    native, mirrored = (
        ran("ls", "-lR", f"{proc}/{sleeper}").on(mirror.path) for proc in ("/proc", mirror.path)
    )
    assert (mirrored.code, mirrored.err) == (native.code, native.err)
    assert without_views(mirrored.out) == without_views(native.out)


def test_a_recursive_search_finds_the_views_too(mirror: Mount, sleeper: int) -> None:
    search = (
        'cd "$1/$2" && grep -rl --exclude=mem --exclude=pagemap --exclude-dir=task '
        '--exclude-dir=net "$3" . 2>/dev/null | sort'
    )
    found = shell(search, mirror.path, sleeper, SECRET).out.split()
    assert found == ["./environ", "./environ.json", "./environ.txt"]


def test_a_search_of_all_processes_ends_with_what_it_says_on_proc(
    mirror: Mount, sleeper: int
) -> None:
    """Left out is what has no end in /proc either.

    Memory, page maps, and the wait for the kernel's messages.
    """
    left_out = [
        "mem",
        "pagemap",
        "kcore",
        "kpage*",
        "kmsg",
        "task",
        "net",
        "map_files",
        "*.txt",
        "*json",
    ]

    def said(proc: Path) -> set[str]:
        globs = [f"-g!{one}" for one in left_out]
        answer = ran("rg", "-uuu", "-l", "-a", "--max-depth", "2", *globs, SECRET, proc).on(
            mirror.path
        )
        return set((answer.out + answer.err).splitlines())

    before, mirrored, after = said(Path("/proc")), said(mirror.path), said(Path("/proc"))
    assert before & after <= mirrored
    assert f"/proc/{sleeper}/environ" in mirrored


def test_jq_reads_every_view_of_a_process(mirror: Mount, sleeper: int) -> None:
    views = sorted((mirror.path / str(sleeper)).glob("*.json"))
    assert len(views) > 40
    code, out, err = ran("jq", "-c", "type", *views)
    assert (code, err) == (0, "")
    assert {"object", "array"} >= set(map(json.loads, out.split()))
    assert out.count("\n") == len(views)


def test_jq_computes(mirror: Mount, sleeper: int) -> None:
    pages = int(Path(f"/proc/{sleeper}/statm").read_text().split()[0])
    assert (
        ran("jq", ".VmSize", mirror.path / str(sleeper) / "status.json").out
        == f"{pages * os.sysconf('SC_PAGE_SIZE')}\n"
    )


@pytest.mark.parametrize("name", ["comm", "status.txt"])
def test_watch_shows_a_file(mirror: Mount, sleeper: int, name: str) -> None:
    watch = f"watch -t -n 1 cat {mirror.path}/{sleeper}/{name}"
    # A busy machine may take longer to begin.
    for seconds in (1.5, 15, 60):
        command = f"TERM=xterm timeout --foreground -s INT {seconds} {watch}"
        answer = ran("script", "-qec", command, "/dev/null", deadline=seconds + 20)
        if "sleep" in answer.out:
            break
    assert "sleep" in answer.out and "error" not in answer.out


def test_less_pages_a_view(mirror: Mount, sleeper: int) -> None:
    path = mirror.path / str(sleeper) / "maps.txt"
    assert ran("less", "-F", path).out == path.read_text()


def test_tail_follows_a_view_as_it_follows_a_file_of_proc(mirror: Mount, sleeper: int) -> None:
    for path in (Path(f"/proc/{sleeper}/comm"), mirror.path / str(sleeper) / "comm.json"):
        # A busy machine may take longer to begin.
        for seconds in (1, 15, 60):
            timed = ("timeout", "-s", "INT", seconds)
            code, out, _ = ran(*timed, "tail", "-s", "0.2", "-f", path, deadline=seconds + 20)
            if out:
                break
        assert (code, set(out.splitlines())) == (124, set(path.read_text().splitlines()))
