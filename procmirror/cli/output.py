"""The standard streams of the command: bytes, and one line for what cannot be written."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import BinaryIO, TextIO

from procmirror.cli.errors import CommandError
from procmirror.decoding.text import printable


def end_on_signals() -> None:
    """Let SIGPIPE and SIGINT end the command without a message."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def complain(line: str) -> None:
    """Print a line on stderr with control characters escaped, if stderr is there and takes it."""
    # print() takes standard output in place of a missing file.
    if not sys.stderr:
        return
    # Bytes of a name that are not UTF-8 are surrogates here.
    shown = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    try:
        print(f"procmirror: {printable(shown)}", file=sys.stderr)
    except (OSError, ValueError):
        _give_up(2)


def stream(stream: TextIO | None, name: str) -> BinaryIO:
    """Standard input or output for bytes. Raises CommandError if the command has none."""
    if stream is None:
        raise CommandError(f"standard {name}: {os.strerror(errno.EBADF)}")
    return stream.buffer


def write(pieces: Iterable[bytes]) -> None:
    """Write all pieces to standard output, and what of them is buffered."""
    try:
        for piece in pieces:
            to_output(piece)
    finally:
        to_output()


def to_output(*piece: bytes) -> None:
    """Write a piece to standard output; without one, write what is still buffered."""
    buffered = stream(sys.stdout, "output")
    _put(buffered.write if piece else buffered.flush, *piece)


def _put(write: Callable[..., object], *piece: bytes) -> None:
    try:
        write(*piece)
    except OSError as refused:
        _give_up(1)
        raise CommandError(f"standard output: {refused.strerror}") from None


def _give_up(stream: int) -> None:
    """Let a stream take whatever comes: Python writes the rest at exit, and fails once more."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
