"""Standard input and output of the command: bytes, and one line for what cannot be written."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import BinaryIO, TextIO

from procmirror.cli.errors import CommandError


def end_on_signals() -> None:
    """Let SIGPIPE and SIGINT end the command without a message."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
        # Python would try to write the rest at exit, and complain again.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise CommandError(f"standard output: {refused.strerror}") from None
