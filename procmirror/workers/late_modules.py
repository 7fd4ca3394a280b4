"""Importing the modules that were named late (decoding.late), before they are needed.

A thread that acts as a requester may be unable to read the files of a package, so a worker imports
what an operation needs while it is itself. The fork server imports all when the mount is used for
the first time, so that each worker that it forks from then on has them.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING

from procmirror import stack
from procmirror.mirror.siblings import view_named
from procmirror.views import VIEWS

if TYPE_CHECKING:
    from procmirror.stack.process import Process
    from procmirror.workers.parser_client import Parsers, RemoteParser

# After so many seconds all modules are imported though nobody has used the mount: from then on it
# does not matter to it that the program is replaced.
_UNUSED_SECONDS = 60.0
# With what of a program is parsed what asks a parser is imported as well.
_PARSED = "procmirror.stack.process"
_PARSING = ("procmirror.workers.parser_client", "procmirror.workers.parser_process")
# What names system calls, with tables that are files of packages.
NAMING = (
    "procmirror.stack.syscalls",
    "procmirror.stack.waiting",
    "procmirror.views.pid.seccomp_cache",
)
# The view that needs most modules.
_LONGEST = "PID/stack"


def _installed() -> tuple[int, int]:
    """What tells this version of the program from one that replaces it."""
    found = os.stat(__file__)
    return found.st_ino, found.st_mtime_ns


_STARTED = _installed()


def _check_installed() -> None:
    if _installed() != _STARTED:
        raise ImportError("it was replaced")


@lru_cache(1024)
def load(name: str) -> None:
    """Import the modules of a view; OSError(EIO) if the program is not that which was started."""
    view = view_named(name)
    if not view.is_late:
        return
    try:
        _check_installed()
        view.load()
        if _PARSED in sys.modules:
            for module in _PARSING:
                import_module(module)
        if any(module in sys.modules for module in NAMING):
            from procmirror.stack import calls  # noqa: PLC0415 - with those that name calls

            calls.load(os.uname().machine)
    except (AttributeError, ImportError, OSError) as missing:
        words = f"{name}: mount again, as this program is not complete any more: {missing}"
        raise OSError(errno.EIO, words) from missing


@cache
def load_all() -> None:
    """Import all, before this process becomes somebody who may be unable to read the files.

    What is missing is told when somebody asks for a view that needs it.
    """
    with suppress(OSError):
        for step in _steps():
            step()


class Meanwhile:
    """What the fork server does while it is asked for nothing: it imports, a little at a time.

    A fork server that does not answer for seconds counts as lost, also on a loaded machine.
    """

    def __init__(self) -> None:
        # How long to wait before the next step; None if there is none.
        self.seconds: float | None = _UNUSED_SECONDS
        self._steps = _steps()

    def begin(self) -> None:
        """The mount is used: wait no longer."""
        if self.seconds is not None:
            self.seconds = 0.0

    def step(self) -> None:
        """Import some modules."""
        self.begin()
        try:
            step = next(self._steps, None)
            if step:
                step()
                return
        except OSError:
            # A worker tells it to the daemon when somebody asks for that view.
            pass
        # Each worker that is forked from now on has noted that, too.
        load_all()
        gc.freeze()
        self.seconds = None


def _steps() -> Iterator[Callable[[], object]]:
    """The modules of stacks one by one, as they import each other; then those of each view.

    The first reader of a stack waits for most modules.
    """
    from pkgutil import iter_modules  # noqa: PLC0415 - nothing else needs it

    for module in iter_modules(stack.__path__):
        yield partial(_imported, f"{stack.__name__}.{module.name}")
    for view in sorted(VIEWS, key=lambda view: view.name != _LONGEST):
        yield partial(load, view.name)


def _imported(module: str) -> None:
    """Import a module; OSError as `load`."""
    try:
        _check_installed()
        import_module(module)
    except ImportError as missing:
        raise OSError(errno.EIO, str(missing)) from missing


class LateParsers:
    """The parsers of one worker, which are imported with the first view that needs them.

    `spawn_requests` leads to their server.
    """

    def __init__(self, spawn_requests: socket.socket) -> None:
        self._spawn_requests = spawn_requests
        self._parsers: Parsers | None = None

    def of(self, requester: Hashable) -> Callable[[Process], RemoteParser]:
        """What makes the parser of a process for a requester."""
        return partial(self._parser, requester)

    def _parser(self, requester: Hashable, process: Process) -> RemoteParser:
        if self._parsers is None:
            from procmirror.workers.parser_client import Parsers  # noqa: PLC0415

            self._parsers = Parsers(self._spawn_requests)
        return self._parsers.of(requester)(process)
