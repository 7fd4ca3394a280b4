"""Standard output of `--print`: as it is in a file or pipe, made readable on a terminal.

A terminal gets a heading above each of several contents, colours, and a pager; what takes longer
than a second is told on standard error, if that is a terminal.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from procmirror.cli import colors, output
from procmirror.decoding.text import printable, size

# What fits into a pipe (pipe(7)), and how a shell ends that cannot run a program.
_PIPE_BYTES, _NOT_RUN = 1 << 16, {126, 127}
_QUIET_SECONDS, _STEP_SECONDS = 1.0, 0.2
# What may name the program of a command line; what is no program but a word of the shell.
_PROGRAM = re.compile(r"[\w./+ -]+")
_OF_THE_SHELL = frozenset(("exec", "command", "eval", "if", "while", "for", "case", "until"))


class Screen:
    """Where contents are shown, one after the other.

    `put` writes to standard output. `color` is auto, always or never; `paged`: whether a pager may
    be used; `several`: whether more than one content is shown.
    """

    def __init__(
        self, put: Callable[[bytes], None], *, color: str, paged: bool, several: bool
    ) -> None:
        self._put = put
        self._is_terminal = _is_terminal(1)
        self._colored = colors.are_wanted(color, terminal=self._is_terminal)
        pager = _runnable_pager() if paged and self._is_terminal and not _is_dumb() else ""
        self._pager = _Pager(pager, put) if pager else None
        self._several = several
        self._shown = 0
        self._progress = _Progress()

    def __enter__(self) -> Self:
        """Show contents in a with statement; at its end the pager is waited for."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop telling of progress, and wait until the user leaves the pager."""
        self._progress.stop()
        if self._pager:
            self._pager.close()

    def show(self, path: str, content_of: Callable[[str], Iterable[bytes]]) -> None:
        """Show the content of a path. Raises whatever making the content raises."""
        self._progress.begin(path)
        coloring = colors.coloring(path) if self._colored else None
        content = content_of(path)
        pieces = _by_line(content, coloring) if coloring else content
        heading = self._heading(path)
        for piece in pieces:
            self._progress.count(len(piece))
            if self._is_terminal:
                self._progress.stop()
            self._write(heading + piece)
            heading = b""

    def aside(self, say: Callable[[], None]) -> None:
        """Write a message in the place of the line of progress."""
        self._progress.aside(say)

    def _heading(self, path: str) -> bytes:
        if not self._several or not self._is_terminal:
            return b""
        line = f"==> {printable(path)} <==".encode("utf-8", "backslashreplace")
        before = b"\n" if self._shown else b""
        self._shown += 1
        return before + (colors.styled("heading", line) if self._colored else line) + b"\n"

    def _write(self, piece: bytes) -> None:
        if self._pager:
            self._pager.write(piece)
        else:
            self._put(piece)


def _is_terminal(descriptor: int) -> bool:
    with suppress(OSError):
        return os.isatty(descriptor)
    return False


def _is_dumb() -> bool:
    """Whether the terminal moves no cursor, or nobody has said what it is."""
    return os.environ.get("TERM", "") in {"", "dumb"}


def _by_line(content: Iterable[bytes], coloring: Callable[[bytes], bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in content:
        *lines, rest = (rest + piece).split(b"\n")
        yield b"".join(coloring(line + b"\n") for line in lines)
    if rest:
        yield coloring(rest)


def _pager_command() -> str:
    """The user's pager, as git finds it; "" for none."""
    for name in ("PROCMIRROR_PAGER", "PAGER"):
        command = os.environ.get(name)
        if command is not None:
            return "" if command.strip() in {"", "cat"} else command
    return "less" if shutil.which("less") else ""


def _runnable_pager() -> str:
    """The user's pager; "" for none, and for a program that is not there, which is told."""
    command = _pager_command()
    program = _program(command)
    if program and not shutil.which(program):
        output.complain(f"pager {program}: not found")
        return ""
    return command


def _program(command: str) -> str:
    """The program that a command line begins with, without its quotes; "" where it is not known."""
    try:
        word = shlex.split(command)[:1]
    except ValueError:
        return ""
    known = word and _PROGRAM.fullmatch(word[0]) and word[0] not in _OF_THE_SHELL
    return word[0] if known else ""


class _Pager:
    """The user's pager, a command line of the shell, started with the first piece.

    `put` writes to standard output, where the shell cannot run the pager.
    """

    def __init__(self, command: str, put: Callable[[bytes], None]) -> None:
        self._command = command
        self._put = put
        self._program: subprocess.Popen[bytes] | None = None
        self._unread: list[bytes] = []
        self._written = 0
        self._plain = False

    def write(self, piece: bytes) -> None:
        if self._plain:
            self._put(piece)
            return
        program = self._program or self._start()
        # A pager that was never run has read nothing: no more than this fits into the pipe.
        self._unread = [*self._unread, piece] if self._written <= _PIPE_BYTES else []
        self._written += len(piece)
        assert program.stdin
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[program.stdin.write(rest) or 0 :]
        except BrokenPipeError:
            self.close()
            if not self._plain:
                # The user has left the pager.
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGPIPE)

    def _start(self) -> subprocess.Popen[bytes]:
        # less ends at once if all fits on the screen, shows colours, and leaves the text there.
        chosen = {"LESS": os.environ.get("LESS", "FRX"), "LV": os.environ.get("LV", "-c")}
        self._program = subprocess.Popen(  # noqa: S602 - a command line of the user's
            self._command, shell=True, stdin=-1, bufsize=0, env=os.environ | chosen
        )
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        return self._program

    def close(self) -> None:
        if self._plain or not self._program:
            return
        assert self._program.stdin
        # A handler that waits for the pager within this wait would never end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with suppress(OSError):
            self._program.stdin.close()
        if self._program.wait() in _NOT_RUN and self._unread:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            self._plain = True
            for piece in self._unread:
                self._put(piece)

    def _interrupted(self, *_: object) -> None:
        """Make no more, and leave the terminal to the pager until the user leaves it."""
        self.close()
        os._exit(128 + signal.SIGINT)


class _Progress:
    """A line on standard error that says what takes long, if that is a terminal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path, self._bytes, self._written = "", 0, False
        self._since = time.monotonic()
        self._stopped = threading.Event()
        if not _is_terminal(2) or _is_dumb():
            self._stopped.set()
            return
        threading.Thread(target=self._tell, daemon=True).start()

    def begin(self, path: str) -> None:
        self._path = path

    def count(self, more: int) -> None:
        self._bytes += more

    def stop(self) -> None:
        self._stopped.set()
        self.clear()

    def clear(self) -> None:
        self.aside(lambda: None)

    def aside(self, say: Callable[[], None]) -> None:
        with self._lock:
            if self._written:
                self._written = False
                self._line("")
            say()

    def _tell(self) -> None:
        wait = _QUIET_SECONDS
        while not self._stopped.wait(wait):
            wait = _STEP_SECONDS
            with self._lock:
                if self._stopped.is_set():
                    return
                self._written = True
                took = time.monotonic() - self._since
                path = printable(self._path)
                self._line(f"reading {path}: {took:.0f} s, {size(self._bytes)} printed")

    @staticmethod
    def _line(text: str) -> None:
        """Write over the line of the cursor."""
        width = shutil.get_terminal_size().columns - 1
        shown = text[:width].encode("utf-8", "backslashreplace")
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno() if sys.stderr else 2, b"\r\x1b[K" + shown)
