"""The manual page and the completions of shells: they know what the command knows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from procmirror.cli.manual import FILES, QUESTIONS, manual
from procmirror.cli.options import EXAMPLES, MOUNT_OPTIONS, OPTIONS, mount_options
from procmirror.fuse.own_files import STATUS
from tests.harness import ROOT
from tests.programs import PROCMIRROR, ran

PAGE = ROOT / "docs" / "procmirror.8"
COMPLETIONS = ROOT / "completions"
NAMES = {
    name
    for options in OPTIONS.values()
    for names in options
    for name in names
    if name.startswith("-")
}

Complete = Callable[..., list[str]]


def test_the_page_is_what_the_parser_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == manual(), (
        "renew it: python -m procmirror.cli.manual > docs/procmirror.8"
    )


def test_the_page_names_the_files_of_the_mirror_itself() -> None:
    files = {
        word.partition("/")[2] for names in FILES for word in names.split(", ") if "POINT/" in word
    }
    assert {name.encode() for name in files} == {STATUS, b"README.txt"}


def test_the_page_is_set_without_a_warning() -> None:
    command = ["man", "--warnings", "-E", "UTF-8", "-l", str(PAGE)]
    done = subprocess.run(
        command,
        env=os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    text = re.sub(r".\x08", "", done.stdout.decode())
    assert not done.stderr
    # What is copied from the page can be carried out.
    for example, _ in (*EXAMPLES, *QUESTIONS):
        # By five or seven columns, as the version of man wants.
        place = rf"\n {{5,7}}{re.escape(example)}\n"
        assert re.search(place, text.partition("EXAMPLES")[2]), example
    for written in (*NAMES, *(option for option, _ in mount_options())):
        assert re.search(
            rf"^ {{5,7}}(?:-\w, )?{re.escape(written.replace('…', '...'))}(?![\w-])",
            text,
            re.MULTILINE,
        ), written


def test_its_questions_are_those_of_the_cookbook() -> None:
    cookbook = (ROOT / "docs" / "COOKBOOK.md").read_text(encoding="utf-8").replace("$pid", "PID")
    for line, _ in QUESTIONS:
        assert f"\n# {line}\n" in cookbook, line


@pytest.mark.parametrize("file", ["procmirror.bash", "_procmirror", "procmirror.fish"])
def test_completions_know_the_options(file: str) -> None:
    script = (COMPLETIONS / file).read_text(encoding="utf-8")
    if file == "procmirror.fish":
        lines = "".join(line for line in script.splitlines() if line.startswith("complete "))
        known = {f"--{name}" for name in re.findall(r"-l ([\w-]+)", lines)} | set(
            re.findall(r"-s (\w)", lines)
        )
        known = {name if name.startswith("--") else f"-{name}" for name in known}
    elif file == "_procmirror":
        known = set(
            re.findall(r"(?<=['*{,)])--?[a-z-]+(?=[\[},])", script.partition("\n_arguments")[2])
        )
    else:
        listed = re.search(r"words=\$\(printf '%s\\n' (-f [^)]*)\)", script)
        assert listed
        known = set(listed[1].replace("\\\n", " ").split())
    assert known == NAMES
    for name, (value, _) in MOUNT_OPTIONS.items():
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", script), name
        assert "|" not in value or all(one in script for one in value.split("|")), value


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Complete:
    """What bash offers for the last word of a command line."""
    folder = tmp_path_factory.mktemp("command")
    command = folder / "procmirror"
    # Python starts once, not for every key.
    (folder / "views").write_text(ran(*PROCMIRROR, "--list-views").out)
    command.write_text(f'#!/bin/sh\n[ "$*" = --list-views ] && exec cat {folder}/views\n')
    command.chmod(0o755)

    def completed(*words: str) -> list[str]:
        script = f"""
            source {COMPLETIONS / "procmirror.bash"}
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _procmirror procmirror; printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "--norc", "-uc", script, "bash", "procmirror", *words],
            env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert not done.stderr
        return done.stdout.decode().split("\n")[:-1]

    return completed


def test_bash_completes_views(complete: Complete) -> None:
    assert complete("--schema", "PID/environ") == ["PID/environ.json", "PID/environ.txt"]
    assert complete("--decode", "loada") == ["loadavg.json", "loadavg.txt"]
    assert complete("--decode", "conf") == ["config.json", "config.txt"]


@pytest.mark.parametrize(
    "place",
    ["self/", f"{os.getpid()}/", "thread-self/", f"self/task/{os.getpid()}/", ""],
    # The same names in each process that runs a part of the tests.
    ids=["self", "PID", "thread-self", "self/task/TID", "root"],
)
def test_bash_completes_paths(complete: Complete, place: str) -> None:
    process = str(os.getpid())
    if place:
        found = complete("--print", f"{place.replace('self', process).replace('thread-', '')}sta")
        assert {name.rpartition("/")[2] for name in found} >= {
            "stat",
            "stat.json",
            "stat.txt",
            "status.txt",
            "stack.txt",
        }
    else:
        assert set(complete("--print", "self/comm", "me")) >= {
            "meminfo",
            "meminfo.json",
            "meminfo.txt",
        }


def test_bash_completes_processes_with_their_names(complete: Complete) -> None:
    # Others may have numbers that begin with it; then their names stand beside them.
    words = [line.split()[0] for line in complete("--print", str(os.getpid()))]
    assert f"{os.getpid()}/" in words
    assert all(word.startswith(str(os.getpid())) for word in words)
    assert any(re.fullmatch(r"1/  \(.*\)", line) for line in complete("--print", ""))
    assert "self/" in complete("--print", "") and complete("--print", "net/tcp.") == [
        "net/tcp.json",
        "net/tcp.txt",
    ]


def test_bash_completes_options_and_directories(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "mountpoint").mkdir()
    (tmp_path / "file").write_bytes(b"")
    assert complete("--dec") == ["--decode"]
    assert complete(f"{tmp_path}/") == [f"{tmp_path}/mountpoint"]


def test_bash_completes_values_of_mount_options(complete: Complete) -> None:
    values = ["txt+json", "txt", "json", "none"]
    assert complete("-o", "v") == [f"views={value}" for value in values]
    # As bash splits the line: "=" and ":" are words, and what comes after them is what is replaced.
    assert complete("-o", "views", "=") == values and complete("-o", "views", "=", "n") == ["none"]
    assert complete("-o", "views", "=", "txt,ls") == ["txt,lsm=ignore"]
    assert complete("-o", "hide", "=", "kmsg", ":", "PID/mem,allow") == ["PID/mem,allow_other"]
    assert complete("-o", "views", "=", "txt", "/pro") == ["/proc"]


@pytest.mark.root
def test_a_name_is_never_carried_out(complete: Complete, tmp_path: Path) -> None:
    name = "`>x`$(>y)"
    script = f"ip link set lo name '{name}' && cd {tmp_path} && exec sleep 600"
    with subprocess.Popen(["unshare", "--net", "sh", "-c", script]) as process:
        directory = Path(f"/proc/{process.pid}/net/dev_snmp6")
        while not (directory / name).exists() and process.poll() is None:
            pass
        found = complete("--print", f"{process.pid}/net/dev_snmp6/")
        process.kill()
    assert f"{process.pid}/net/dev_snmp6/" + r"\`\>x\`\$\(\>y\)" in found
    assert not list(tmp_path.iterdir()) and not list(ROOT.glob("[xy]"))
