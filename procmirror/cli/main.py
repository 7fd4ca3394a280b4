"""The command: what it prints, and how it ends.

Nothing outside this folder prints or exits.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import BinaryIO, TextIO

from procmirror.cli import command_line
from procmirror.cli.command_line import Command
from procmirror.cli.errors import CommandError, HelpRequested
from procmirror.decoding.text import printable
from procmirror.decoding.view import DecodeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0 when it is done, when the mount answers or, in the foreground, has ended as it was told to;
    1 or, for a command line that makes no sense, 2 after one line on stderr.
    """
    try:
        return _done(sys.argv[1:] if arguments is None else arguments)
    except CommandError as error:
        _complain(str(error))
        return error.status


def _done(arguments: Sequence[str]) -> int:
    try:
        command = command_line.parse(arguments)
    except HelpRequested as help_text:
        return _answer(str(help_text).encode())
    return _ACTIONS[command.action](command)


def _complain(line: str) -> None:
    """Print a line on stderr, its control characters escaped; nothing if there is no stderr."""
    # A name that is no UTF-8 came with surrogates, for which nobody knows the bytes.
    shown = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    print(f"procmirror: {printable(shown)}", file=sys.stderr)


def _mount(command: Command) -> int:
    from procmirror.cli import mounting

    return mounting.mount(command)


def _schema(command: Command) -> int:
    from procmirror.decoding import render
    from procmirror.mirror.find import find

    try:
        view = find(command.view)
    except LookupError as unknown:
        raise CommandError(unknown.args[0]) from None
    return _answer(render.json(render.schema(view)))


def _list_views(_: Command) -> int:
    from procmirror.cli import catalogue

    return _answer(catalogue.listing().encode())


def _answer(content: bytes) -> int:
    _end_on_signals()
    _write([content])
    return 0


def _print(command: Command) -> int:
    from procmirror.cli import mountpoint, printing
    from procmirror.mirror import tree

    _end_on_signals()
    tree.show(tree.Formats(stamped=command.stamped))
    contents = printing.Contents(mountpoint.open_procfs("/proc"))
    complete = [_shown(path, partial(contents.of, path)) for path in command.paths]
    return 0 if all(complete) else 1


def _decode(command: Command) -> int:
    from procmirror.cli import printing

    _end_on_signals()
    view = command.view
    try:
        complete = _shown(
            view, lambda: printing.decoded(view, _stream(sys.stdin, "input"), command.machine)
        )
    except LookupError as unknown:
        raise CommandError(unknown.args[0]) from None
    except printing.NotAlone:
        raise CommandError(
            f"{view}: made from several files; on the machine itself --print shows it"
        ) from None
    return 0 if complete else 1


def _shown(name: str, content: Callable[[], Iterable[bytes]]) -> bool:
    """Write a content to stdout. False, after a line on stderr, if it could not be read."""
    try:
        _write(content())
    except OSError as refused:
        reason = refused.strerror
    except MemoryError:
        reason = os.strerror(errno.ENOMEM)
    except DecodeError as unknown:
        reason = f"not as the kernel writes it ({str(unknown).removeprefix(f'{unknown.path}: ')})"
    else:
        return True
    _complain(f"{name}: {reason}")
    return False


def _end_on_signals() -> None:
    """Let SIGPIPE and SIGINT end the command without a message."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stream(stream: TextIO | None, name: str) -> BinaryIO:
    """Standard input or output for bytes. Raises CommandError if the command has none."""
    if stream is None:
        raise CommandError(f"standard {name}: {os.strerror(errno.EBADF)}")
    return stream.buffer


def _write(pieces: Iterable[bytes]) -> None:
    output = _stream(sys.stdout, "output")
    try:
        for piece in pieces:
            _put(output.write, piece)
    finally:
        _put(output.flush)


def _put(write: Callable[..., object], *piece: bytes) -> None:
    try:
        write(*piece)
    except OSError as refused:
        # Python would try to write the rest, and complain again, when it exits.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise CommandError(f"standard output: {refused.strerror}") from None


_ACTIONS: dict[str, Callable[[Command], int]] = {
    "mount": _mount,
    "print": _print,
    "decode": _decode,
    "schema": _schema,
    "list-views": _list_views,
}
