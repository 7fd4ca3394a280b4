"""What zsh and fish really offer at a prompt, asked of the shells themselves.

Bash is asked in test_manual.py.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import DEADLINE, ROOT, Limit, load
from tests.programs import PROCMIRROR, environment, ran, running

Complete = Callable[[str], dict[str, str]]
COMPLETIONS = ROOT / "completions"
HOSTILE = "\x1b[m`>x`$(>y)\n9"
_RC = """
fpath=({completions} $fpath)
autoload -Uz compinit && compinit -u -D
unset zle_bracketed_paste
unsetopt prompt_sp prompt_cr
bindkey '^D' list-choices
LISTMAX=0 PROMPT=@@
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the shells find the command, and zsh its settings."""
    folder = tmp_path_factory.mktemp("shells")
    command = folder / "procmirror"
    # Python starts once, not for every key.
    (folder / "views").write_text(ran(*PROCMIRROR, "--list-views").out)
    command.write_text(f'#!/bin/sh\n[ "$*" = --list-views ] && exec cat {folder}/views\n')
    command.chmod(0o755)
    (folder / ".zshrc").write_text(_RC.format(completions=COMPLETIONS))
    return environment(
        PATH=f"{folder}:{os.environ['PATH']}", ZDOTDIR=str(folder), HOME=str(folder), TERM="dumb"
    )


@pytest.fixture(scope="module", params=["zsh", "fish"])
def complete(request: pytest.FixtureRequest, env: dict[str, str]) -> Complete:
    """What a shell offers for the end of a line: words with their descriptions, if they have any."""
    ask = {"zsh": _zsh, "fish": _fish}[request.param]
    return lambda line: ask(line, env)


def _fish(line: str, env: dict[str, str]) -> dict[str, str]:
    script = f"source {COMPLETIONS}/procmirror.fish; complete -C $argv[1]"
    code, out, err = ran("fish", "--no-config", "--command", script, line, env=env)
    assert (code, err) == (0, "") and "\x1b" not in out
    return {word: meaning for word, _, meaning in (one.partition("\t") for one in out.splitlines())}


def _zsh(line: str, env: dict[str, str]) -> dict[str, str]:
    """On a terminal, as there is no other way to ask.

    The choices are what stands between two copies of the line.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 9999, 200, 0, 0))
    program = subprocess.Popen(
        ["setsid", "--ctty", "zsh", "-d", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    try:
        _shown(ours, r"@@")
        os.write(ours, line.encode() + b"\x04")
        listed = _shown(ours, rf"\n@@{re.escape(line)}")
    finally:
        program.kill()
        program.wait(DEADLINE * load())
        os.close(ours)
    assert "\x1b" not in listed
    rows = listed.splitlines()[1:-1]
    described = [row.partition(" -- ") for row in rows if " -- " in row]
    plain = [word for row in rows if " -- " not in row for word in row.split()]
    return {word.strip(): meaning.strip() for word, _, meaning in described} | dict.fromkeys(
        plain, ""
    )


def _shown(terminal: int, end: str) -> str:
    """What comes from a terminal, until its end looks like this."""
    shown = b""
    limit = Limit(DEADLINE)
    while not re.search(end + r"\s*$", shown.decode(errors="replace")):
        assert limit.left() > 0, shown
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 65536)
    return shown.decode(errors="replace")


@pytest.fixture(scope="module")
def named() -> Iterator[int]:
    """A process whose name is made to be carried out, to colour the terminal and to be two."""
    script = f"open('/proc/self/comm', 'w').write({HOSTILE!r}); import time; time.sleep(600)"
    with running(sys.executable, "-c", script, name=HOSTILE) as pid:
        yield pid


def test_processes_have_their_names(complete: Complete, named: int) -> None:
    found = complete("procmirror --print ")
    assert "meminfo.txt" in found and {"self", "self/"} & set(found)
    assert found["1/"] == Path("/proc/1/comm").read_text().strip()
    assert "`>x`$(>y)" in found[f"{named}/"]
    assert not (ROOT / "x").exists() and not (ROOT / "y").exists()


def test_views_of_a_process_stand_beside_its_files(complete: Complete) -> None:
    found = {word.rpartition("/")[2] for word in complete("procmirror --print self/comm 1/sta")}
    assert found >= {
        "stat",
        "stat.json",
        "stat.txt",
        "status.json",
        "status.txt",
        "stack.json",
        "stack.txt",
    }


def test_threads_are_completed(complete: Complete, named: int) -> None:
    assert {
        word.rstrip("/").rpartition("/")[2]
        for word in complete(f"procmirror --print {named}/task/")
    } == {str(named)}


def test_views_are_completed_where_one_is_asked_for(complete: Complete) -> None:
    for option in ("--schema", "--decode", "--explain"):
        assert set(complete(f"procmirror {option} PID/envi")) == {
            "PID/environ.json",
            "PID/environ.txt",
        }


def test_mount_options_have_their_values(complete: Complete) -> None:
    found = {word.rpartition("=")[2] for word in complete("procmirror -o allow_other,views=")}
    assert found == {"txt+json", "txt", "json", "none"}
    assert all(meaning for meaning in complete("procmirror -o ").values())


def test_options_have_their_meaning(complete: Complete) -> None:
    found = complete("procmirror --")
    assert {"--print", "--decode", "--schema", "--timeout"} <= set(found) and all(found.values())
