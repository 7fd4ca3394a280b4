"""The README's picture of a terminal.

`python -m tests.picture [PORT]`, as root, prints docs/session.svg.

Two shells on terminals of their own, root's and an ordinary user's, carry out what a reader would
type, over a mirror that is mounted for them at /mnt/proc, in a mount namespace that ends with them.
What the picture shows is what the terminals showed.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.harness import DEADLINE, until
from tests.programs import environment, listens

WIDTH = 100
# The ordinary user needs a number only.
_WES = 1000
# Nobody types it and no program here prints it, so it is where an answer ends.
_PROMPT = "\x1e"
_SHELL = ("bash", "--norc", "--noprofile", "--noediting", "-i")
_APART = ("unshare", "--mount", "--propagation", "private")
# A dark panel of its own, so that the page behind may be light or dark; the fonts are the reader's
# own.
_COLOURS = [0x6E7681, 0xFF7B72, 0x7EE787, 0xD29922, 0x79C0FF, 0xD2A8FF, 0x56D4DD, 0xC9D1D9]
_THEME = TerminalTheme(
    (22, 27, 34), (201, 209, 217), [(one >> 16, one >> 8 & 255, one & 255) for one in _COLOURS]
)
_FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" xml:space="preserve">
<title>TITLE</title>
<style>
text {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: {char_height}px; white-space: pre; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{width}" height="{height}"/></clipPath>{lines}</defs>
<rect x="1" y="1" width="99.8%" height="99.7%" rx="12" fill="#161b22" stroke="#444c56" stroke-width="1.5"/>
<g transform="translate(18 22)">{backgrounds}{matrix}</g>
</svg>
"""
_TITLE = "root's process is closed to another user and open to root: environ.txt, stack.txt, fd.txt and status.json of it"


class Said(NamedTuple):
    """A line that was typed, and what the terminal showed until the next prompt."""

    prompt: str
    line: str
    answer: str


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, prompt: str, terminal: int, pid: int) -> None:
        self.prompt = prompt
        self.pid = pid
        self._terminal = terminal
        self._answer()

    def types(self, line: str) -> Said:
        """Have a line carried out."""
        os.write(self._terminal, line.encode() + b"\n")
        return Said(self.prompt, line, self._answer().removeprefix(line + "\n"))

    def _answer(self) -> str:
        shown = b""
        deadline = time.monotonic() + DEADLINE
        while not shown.endswith(_PROMPT.encode()):
            assert select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))[
                0
            ], shown
            shown += os.read(self._terminal, 4096)
        return shown.decode(errors="replace").replace("\r\n", "\n").removesuffix(_PROMPT)


@contextmanager
def shell(prompt: str, *before: str) -> Iterator[Shell]:
    """A shell, started by the command `before` it; all that runs on its terminal ends with it."""
    ours, theirs = pty.openpty()
    folder = os.path.dirname(sys.executable)
    env = environment(
        PS1=_PROMPT, PATH=f"{folder}:{os.environ['PATH']}", HISTFILE="", COLUMNS=str(WIDTH)
    )
    program = subprocess.Popen(
        ["setsid", "--ctty", *before, *_SHELL],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env,
        cwd="/",
    )
    os.close(theirs)
    try:
        yield Shell(prompt, ours, program.pid)
    finally:
        os.close(ours)
        program.wait(DEADLINE)


def session(port: int) -> list[Said]:
    """What the two say to the mirror, in the order of the picture."""
    with ExitStack() as stack:
        root = stack.enter_context(shell("#", *_APART))
        root.types("mount -t tmpfs none /mnt && mkdir /mnt/proc")
        stack.callback(root.types, "umount /mnt/proc")
        said = [
            root.types("procmirror /mnt/proc"),
            root.types(f"API_KEY=only-root-sees-this nc -l 127.0.0.1 {port} &"),
        ]
        until(lambda: listens(port), "nc does not listen")
        nc = _job(said[-1])
        inside = (
            "nsenter",
            f"--mount=/proc/{root.pid}/ns/mnt",
            "setpriv",
            f"--reuid={_WES}",
            f"--regid={_WES}",
            "--clear-groups",
        )
        wes = stack.enter_context(shell("wes$", *inside))
        said += [wes.types(f"cat /mnt/proc/{nc}/environ.txt"), wes.types("HELLO=world sleep 60 &")]
        sleep = _job(said[-1])
        until(lambda: Path(f"/proc/{sleep}/comm").read_text() == "sleep\n", "sleep does not start")
        said.append(wes.types(f"grep HELLO /mnt/proc/{sleep}/environ.txt"))
        asked = (
            "grep API_KEY {}/environ.txt",
            "head -n 6 {}/stack.txt",
            "head -n 8 {}/fd.txt",
            "jq -c '{{Name, State, VmRSS}}' {}/status.json",
        )
        said += [root.types(one.format(f"/mnt/proc/{nc}")) for one in asked]
        stack.callback(root.types, f"kill {nc}")
        stack.callback(wes.types, f"kill {sleep}")
    return said


def _job(said: Said) -> int:
    found = re.fullmatch(r"\[1\] (\d+)\n", said.answer)
    assert found, said
    return int(found[1])


def picture(said: list[Said]) -> str:
    """The session as an SVG."""
    console = Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        color_system="truecolor",
        force_terminal=True,
        highlight=False,
    )
    for prompt, line, answer in said:
        console.print(
            Text.assemble((prompt, "green"), " ", (line, "bold")), soft_wrap=False, overflow="fold"
        )
        for shown in answer.splitlines():
            console.print(
                Text.from_ansi(shown, style="red" if shown.endswith("Permission denied") else ""),
                overflow="fold",
            )
    drawn = console.export_svg(
        theme=_THEME, code_format=_FORMAT.replace("TITLE", _TITLE), unique_id="session"
    )
    # What is copied out of the picture can be pasted.
    return drawn.replace("&#160;", " ")


def main() -> None:
    """Print the picture."""
    sys.stdout.write(picture(session(int(sys.argv[1]) if sys.argv[1:] else 8080)))


if __name__ == "__main__":
    main()
