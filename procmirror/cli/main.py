"""The command: what it prints, and how it ends.

Nothing outside this folder prints or exits.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from procmirror.cli import command_line, output
from procmirror.cli.command_line import Command
from procmirror.cli.errors import CommandError, Ended, HelpRequested
from procmirror.decoding.view import DecodeError, View

if TYPE_CHECKING:
    from procmirror.cli.printing import Contents

# What a path and the name of a process say that is not there, or not any more.
_ENDED = {errno.ENOENT, errno.ESRCH}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0 when it is done, when the mount answers or, in the foreground, when it has ended as told; 1
    after a failure and 2 for a command line without a meaning, both after one line on stderr.
    """
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except (CommandError, Ended) as error:
        output.complain(str(error))
        return error.status
    finally:
        # The process ends: Python is not to look for garbage in all that it has imported.
        gc.freeze()


def _run(arguments: Sequence[str]) -> int:
    try:
        command = command_line.parse(arguments)
    except HelpRequested as help_text:
        output.end_on_signals()
        return _answer(str(help_text).encode())
    if command.action != "mount":
        output.end_on_signals()
    return _ACTIONS[command.action](command)


def _mount(command: Command) -> int:
    from procmirror.cli import mounting

    return mounting.mount(command)


def _schema(command: Command) -> int:
    from procmirror.decoding.json_content import json
    from procmirror.decoding.render import schema

    return _page(json(schema(_view(command))), command)


def _view(command: Command) -> View:
    from procmirror.mirror.find import find

    try:
        return find(command.view)
    except LookupError as unknown:
        raise CommandError(unknown.args[0]) from None


def _status(command: Command) -> int:
    from procmirror.cli.status import status

    return _answer(status(command.mountpoint, command.form))


def _list_views(command: Command) -> int:
    from procmirror.cli import catalogue

    return _page(catalogue.listing().encode(), command)


def _answer(content: bytes) -> int:
    output.write([content])
    return 0


def _page(content: bytes, command: Command) -> int:
    """Show a text about the views: on a terminal in the user's pager, if it is long."""
    from procmirror.cli import terminal

    screen = terminal.Screen(output.to_output, color="never", paged=command.paged, several=False)
    with screen:
        screen.show(command.view, lambda _: [content])
    output.to_output()
    return 0


def _explain(command: Command) -> int:
    from procmirror.cli import explaining

    explained = explaining.explained(_view(command), _example)
    return _page(explained.encode("utf-8", "backslashreplace"), command)


def _example(path: str) -> Iterator[bytes]:
    """The content of a path on this machine. Raises OSError also where /proc is no procfs."""
    from procmirror.cli import mountpoint, printing

    try:
        root = mountpoint.open_procfs("/proc")
    except CommandError as missing:
        raise OSError(errno.ENOENT, f"no example: {missing}") from None
    return printing.Contents(root).of(path)


def _print(command: Command) -> int:
    from procmirror.cli import mountpoint, printing, terminal
    from procmirror.mirror.settings import Settings
    from procmirror.mirror.traits import show

    show(Settings(stamped=command.stamped))
    contents = printing.Contents(mountpoint.open_procfs("/proc"))
    paths, complete = _paths(command, contents)
    screen = terminal.Screen(
        output.to_output, color=command.color, paged=command.paged, several=len(paths) > 1
    )
    with screen:
        for path, matched in paths:
            failed = _failure(partial(screen.show, path, contents.of))
            if failed and not (matched and failed.errno in _ENDED):
                complete = False
                nearly = "" if matched else _nearly(failed, contents, path)
                screen.aside(partial(output.complain, f"{path}: {failed}{nearly}"))
    output.to_output()
    return 0 if complete else 1


def _watch(command: Command) -> int:
    from procmirror.cli import mountpoint, printing, watching

    contents = printing.Contents(mountpoint.open_procfs("/proc"))
    paths, complete = _paths(command, contents)
    if not complete:
        return 1
    for path, matched in paths:
        failed = None if matched else _failure(partial(_read_once, contents, path))
        if failed:
            raise CommandError(f"{path}: {failed}{_nearly(failed, contents, path)}")

    def now() -> list[str]:
        contents.forget()
        return [found for path in command.paths for found in _there(contents, path)]

    watching.watch(
        watching.Watched(contents.of, now),
        command.interval,
        command.times,
        lambda text: output.write([text.encode("utf-8", "backslashreplace")]),
    )
    return 0


def _there(contents: Contents, path: str) -> list[str]:
    """The paths that a path stands for now; none for a pattern that nothing matches any more."""
    try:
        return contents.paths(path)
    except OSError:
        return []


def _read_once(contents: Contents, path: str) -> None:
    for _ in contents.of(path):
        pass


def _diff(command: Command) -> int:
    from procmirror.cli import watching

    try:
        return _answer(watching.differing(*command.paths).encode("utf-8", "backslashreplace"))
    except OSError as refused:
        raise CommandError(f"{refused.filename}: {refused.strerror}") from None


def _paths(command: Command, contents: Contents) -> tuple[list[tuple[str, bool]], bool]:
    """The paths to print, whether a pattern matched each; and whether all patterns matched any."""
    paths: list[tuple[str, bool]] = []
    complete = True
    for path in command.paths:
        try:
            found = contents.paths(path)
        except OSError as refused:
            complete = False
            output.complain(f"{path}: {refused.strerror}{_nearly(refused, contents, path)}")
        else:
            paths.extend((one, found != [path]) for one in found)
    return paths, complete


def _decode(command: Command) -> int:
    from procmirror.cli import captured

    view = command.view

    def show() -> None:
        output.write(captured.decoded(view, output.stream(sys.stdin, "input"), command.machine))

    try:
        failed = _failure(show)
    except LookupError as unknown:
        raise CommandError(unknown.args[0]) from None
    except captured.NotAlone:
        raise CommandError(
            f"{view}: made from several files; on the machine itself --print shows it"
        ) from None
    if failed:
        output.complain(f"{view}: {failed}")
    return 1 if failed else 0


class _Failure(NamedTuple):
    """Why a content could not be shown; `errno` is 0 for what is no error of the system."""

    errno: int
    reason: str

    def __str__(self) -> str:
        return self.reason


def _failure(show: Callable[[], None]) -> _Failure | None:
    """Show a content. Returns why it could not be read, None if it was."""
    try:
        show()
    except OSError as refused:
        return _Failure(refused.errno or errno.EIO, refused.strerror or str(refused))
    except MemoryError:
        return _Failure(errno.ENOMEM, os.strerror(errno.ENOMEM))
    except DecodeError as unknown:
        words = str(unknown).removeprefix(f"{unknown.path}: ")
        return _Failure(0, f"not as the kernel writes it ({words})")
    return None


def _nearly(failed: _Failure | OSError, contents: Contents, path: str) -> str:
    """What was probably meant by a path that is not there, as a question; else ""."""
    meant = contents.suggestion(path) if failed.errno in _ENDED else ""
    return f"; did you mean {meant}?" if meant else ""


_ACTIONS: dict[str, Callable[[Command], int]] = {
    "mount": _mount,
    "print": _print,
    "watch": _watch,
    "diff": _diff,
    "decode": _decode,
    "explain": _explain,
    "schema": _schema,
    "status": _status,
    "list-views": _list_views,
}
