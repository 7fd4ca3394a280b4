"""What `--print` and `--explain` do on a terminal: headings, colours, a pager, progress."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from procmirror.cli import colors
from tests.command import answer, run
from tests.harness import DEADLINE, ROOT, load

# What tells of progress after a second, which a busy machine may take for anything.
_PROGRESS = re.compile(r"\r\x1b\[K(reading [^\r\n]*)?")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[mK]")
# Reads nothing and is done with it: the command's own output is what the test is about.
_PLAIN = {"PAGER": "", "TERM": "xterm", "NO_COLOR": ""}
# Waits until progress is told, or for a while where it is not to be.
_UNTIL_TOLD = """
import sys, threading, time
from procmirror.cli import main, printing, terminal
told, line = threading.Event(), terminal._Progress._line
def noted(text):
    line(text)
    told.set()
terminal._Progress._line = staticmethod(noted)
def until_told():
    told.wait(300 if sys.stderr.isatty() else 2)
"""


def _on_terminal(*words: str, both: bool = True, program: str = "", **environment: str) -> str:
    """What a terminal of 60 columns shows of a command; standard error with `both`.

    Without what it says of its progress, unless `program` is about that.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 60, 0, 0))
    start = ["-c", program] if program else ["-m", "procmirror"]
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(
        [sys.executable, *start, *words],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if both else subprocess.DEVNULL,
        env=kept | _PLAIN | environment,
    ) as command:
        os.close(theirs)
        shown = b""
        # EIO is the end of a terminal.
        while piece := _read(ours):
            shown += piece
        command.wait(DEADLINE * load())
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    return text if program else _PROGRESS.sub("", text)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_several_contents_have_headings_on_a_terminal_only() -> None:
    shown = _ESCAPE.sub("", _on_terminal("--print", "loadavg", "self/comm.json"))
    assert re.match(r"==> loadavg <==\n.*\n\n==> self/comm.json <==\n\{", shown)
    assert "==>" not in _on_terminal("--print", "loadavg")
    assert b"==>" not in answer("--print", "loadavg", "self/comm.json")


def test_colours_are_for_terminals() -> None:
    assert "\x1b[34m" in _on_terminal("--print", "self/comm.json")
    assert "\x1b" not in _on_terminal("--print", "self/comm.json", NO_COLOR="1")
    assert "\x1b" not in _on_terminal("--print", "self/comm.json", TERM="dumb")
    assert "\x1b" not in _on_terminal("--print", "self/comm.json", "--color", "never")
    assert b"\x1b" not in answer("--print", "self/comm.json")
    assert b"\x1b" in answer("--print", "self/comm.json", "--color", "always")


@pytest.mark.parametrize("path", ["self/limits.json", "self/fd.txt", "meminfo.txt", "machine.txt"])
def test_colours_change_no_character(path: str) -> None:
    """Without its colours each line is as it was."""
    given = Path("/proc/meminfo").read_bytes()
    lines = given + b'{"a\\"b": "c: d", "e": [null, true, 1.5]}\n A B  C_D\n(not permitted)\n'
    coloring = colors.coloring(path)
    assert coloring
    for line in lines.splitlines(keepends=True):
        assert _ESCAPE.sub("", coloring(line).decode()) == line.decode()


def test_a_long_line_takes_neither_days_nor_a_hundred_times_its_memory() -> None:
    """A process chooses its variables, and may have megabytes of them."""
    program = """
import resource, sys
from procmirror.cli import colors
text, json = colors.coloring("environ.txt"), colors.coloring("environ.json")
line = b"A" + b" 1" * 1_000_000 + b"a\\n"
assert text(line) == line
line = b'"' + b"x\\\\n" * 1_000_000 + b'"\\n'
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert json(line) == b"\\x1b[32m" + line[:-1] + b"\\x1b[0m\\n"
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 20 * len(line))
"""
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT) == b"True\n"


def test_an_entry_is_never_coloured() -> None:
    assert "\x1b" not in _on_terminal("--print", "self/comm")


def test_a_pager_is_used_on_a_terminal_only(tmp_path: Path) -> None:
    pager = f"sed 's/^/paged: /' # {tmp_path}"
    assert _on_terminal("--print", "loadavg", PAGER=pager).startswith("paged: ")
    assert "paged: " in _on_terminal("--print", "loadavg", PROCMIRROR_PAGER=pager, PAGER="cat")
    assert "paged" not in _on_terminal("--print", "loadavg", "--no-pager", PAGER=pager)
    assert "paged" not in _on_terminal("--print", "loadavg", PROCMIRROR_PAGER="", PAGER=pager)


@pytest.mark.parametrize(
    ("pager", "path"),
    [
        ("exec /no/such", "loadavg"),
        ("exec /no/such", "kallsyms"),
        ("cat >/dev/null; no-such", "loadavg"),
    ],
)
def test_a_pager_that_the_shell_cannot_run_loses_nothing(pager: str, path: str) -> None:
    shown = _on_terminal("--print", path, PAGER=pager)
    first, _, rest = shown.partition("\n")
    assert first.endswith(": not found")
    assert rest.count("\n") == Path("/proc", path).read_bytes().count(b"\n")


def test_a_terminal_that_moves_no_cursor_has_no_pager() -> None:
    for term in ("dumb", ""):
        assert "paged" not in _on_terminal("--print", "loadavg", PAGER="sed s/^/paged/", TERM=term)


def test_without_the_pager_that_was_asked_for_the_content_is_shown() -> None:
    told = "procmirror: pager no-such: not found\n"
    shown = _on_terminal("--print", "loadavg", PAGER="no-such -R")
    assert shown.startswith(told) and shown.removeprefix(told).count(" ") == 4
    shown = _on_terminal("--print", "loadavg", PAGER='"/no such/pager" -R')
    assert shown.startswith("procmirror: pager /no such/pager: not found\n")
    assert shown.count("\n") == 2
    assert _on_terminal("--print", "loadavg", PAGER=" ").count(" ") == 4
    for pager in ("exec cat -n", "(cat)", "A=1 cat -v", '"$NONE"cat -v', "cat '"):
        assert "not found" not in _on_terminal("--print", "loadavg", PAGER=pager)


def test_who_leaves_the_pager_ends_the_command() -> None:
    shown = _on_terminal("--print", "kallsyms.json", PAGER="head -n 1")
    assert _ESCAPE.sub("", shown) == "[\n"


def test_ctrl_c_while_the_pager_is_open_leaves_the_end_to_the_pager(tmp_path: Path) -> None:
    """Ctrl-C reaches the pager too, which goes on; the command ends when the user leaves it."""
    left = tmp_path / "left"
    os.mkfifo(left)
    pager = f"(trap '' INT; cat; echo all was shown; read answer < {left})"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "procmirror", "--print", "loadavg"],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | _PLAIN | {"PAGER": pager},
    ) as command:
        os.close(theirs)
        shown = b""
        while b"all was shown" not in shown:
            piece = _read(ours)
            assert piece, shown
            shown += piece
        for _ in range(5):
            time.sleep(0.1)
            command.send_signal(signal.SIGINT)
        left.write_text("q\n")
        try:
            assert command.wait(DEADLINE / 4 * load()) == 0
        finally:
            command.kill()
    os.close(ours)


def test_what_takes_long_is_told_on_a_terminal() -> None:
    slow = (
        _UNTIL_TOLD
        + """
def slow(self, path):
    until_told()
    yield b"done\\n"
printing.Contents.of = slow
sys.exit(main.main(sys.argv[1:]))
"""
    )
    shown = _on_terminal("--print", "loadavg", program=slow)
    assert "reading loadavg: " in shown
    # The line is cleared before the content comes.
    assert shown.endswith("\r\x1b[Kdone\n")
    assert _on_terminal("--print", "loadavg", program=slow, both=False) == "done\n"


def test_a_complaint_has_a_line_of_its_own_while_progress_is_told() -> None:
    slow = (
        _UNTIL_TOLD
        + """
def refused(self, path):
    until_told()
    raise FileNotFoundError(2, "No such file or directory")
def asked(self, path):
    time.sleep(1)
    return "loadavg"
printing.Contents.of, printing.Contents.suggestion = refused, asked
sys.exit(main.main(sys.argv[1:]))
"""
    )
    shown = _on_terminal("--print", "loadavgg", program=slow)
    assert "reading loadavgg: " in shown
    said = "procmirror: loadavgg: No such file or directory; did you mean loadavg?\n"
    assert shown.endswith("\r\x1b[K" + said)


def test_an_explanation_has_the_width_of_the_terminal() -> None:
    shown = _on_terminal("--explain", "PID/status")
    assert max(map(len, shown.splitlines())) <= 60
    for said in ("\nFields\n", "\nSource\n", "\nExample\n", "VmRSS", "bytes]", "self/status.txt"):
        assert said in shown
    assert "\n  Name " in answer("--explain", "PID/status").decode()


def test_the_list_is_in_groups() -> None:
    groups = answer("--list-views").decode().split("\n\n")
    named = {group.partition("\n")[0]: group for group in groups}
    assert "\nPID/environ " in named["Processes and threads: PID/, PID/task/TID/"]
    assert "\nnet/tcp " in named["Network: net/, PID/net/"]
    assert "\nmeminfo " in named["The whole machine"]


@pytest.mark.parametrize("words", ["--explain PID/stat", "--schema PID/stat.json", "--list-views"])
def test_long_texts_about_views_have_a_pager_on_a_terminal(words: str) -> None:
    pager = "sed s/^/paged:/"
    shown = _on_terminal(*words.split(), PAGER=pager)
    assert shown.count("paged:") == shown.count("\n")
    assert "paged:" not in _on_terminal(*words.split(), "--no-pager", PAGER=pager)
    assert b"paged:" not in run(*words.split()).stdout


def test_a_view_is_explained_where_proc_is_no_procfs() -> None:
    """As where the mirror itself stands at /proc: only the example is missing."""
    program = """
import sys
from procmirror.cli import main, mountpoint
real = mountpoint.open_procfs
mountpoint.open_procfs = lambda path: real("/usr")
sys.exit(main.main(["--explain", "PID/statm"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"self/statm.txt\n  (no example: /usr: not a procfs)\n")
