"""Mounting: the checks before it, the daemon in the background, its log and its readiness."""

from __future__ import annotations

import gc
import logging
import os
import re
import resource
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn

from procmirror.cli import log as log_handlers
from procmirror.cli import mountpoint, output, startup
from procmirror.cli.command_line import Command
from procmirror.cli.errors import CommandError
from procmirror.cli.service_manager import ServiceManager
from procmirror.cli.spared_imports import import_spared
from procmirror.identity import own_process
from procmirror.mirror.settings import Settings

log = logging.getLogger("procmirror")

# A limit of the size of files that keeps no view from being made, in bytes.
_LARGE = 1 << 30
# The least number of open files with which requesters are served, and what is asked for instead.
_FEWEST_OPEN, _ENOUGH_OPEN = 64, 1024

# What mounting needs beyond the rest, and what helps where it is there but does not load.
_PACKAGES = ("pyfuse3", "trio")
_ANEW = "install it anew: pip install --force-reinstall --no-cache-dir 'procmirror[mount]'"


def mount(command: Command) -> int:
    """Mount as the command line asks and return the exit status.

    Returns when the mount answers or, in the foreground, when it has ended. Raises CommandError,
    and Ended where a signal ends the command before.
    """
    startup.end_on_signals()
    _check_installed()
    try:
        raise_limit_of_open_files()
        _reserve_standard_streams()
        checked = mountpoint.check(command)
    except OSError as refused:
        raise CommandError(startup.reason_of(refused)) from None
    _raise_limit_of_files()
    return (_in_foreground if command.foreground else _forked)(command, checked)


def _forked(command: Command, checked: mountpoint.Checked) -> NoReturn:
    """Fork the daemon, wait until it answers, and exit; CommandError if it does not."""
    ready, answer = os.pipe()
    startup.hold_signals()
    daemon = os.fork()
    if daemon:
        os.close(answer)
        startup.Starting(daemon, ready, checked.own, checked.path).wait()
        # At once: all has been written, and Python takes milliseconds to take down its modules.
        os._exit(0)
    os.close(ready)
    os._exit(_in_background(command, checked, answer))


def raise_limit_of_open_files() -> None:
    """Raise a limit of open files with which nobody is served; CommandError if that is refused."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard >= _FEWEST_OPEN:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_ENOUGH_OPEN, _ENOUGH_OPEN))
    except (ValueError, OSError):
        words = f"no more than {hard} open files are allowed (ulimit -n): {_FEWEST_OPEN} are needed"
        raise CommandError(words) from None


def _raise_limit_of_files() -> None:
    """Raise the limit of the size of files as far as allowed: memory files obey it."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (resource.RLIM_INFINITY, hard):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            break
    if 0 <= limit < _LARGE:
        output.complain(
            f"views larger than {limit} bytes end with EFBIG: the limit of the size of files "
            "(ulimit -f) cannot be raised"
        )


def _in_foreground(command: Command, checked: mountpoint.Checked) -> int:
    own_process.close_all_but({0, 1, 2, checked.own, checked.source, checked.lock})
    logging.basicConfig(level=logging.INFO, handlers=[log_handlers.to_journal_or_stderr()])
    if command.debug:
        logging.getLogger("procmirror.requests").setLevel(logging.DEBUG)
    manager = ServiceManager(os.environ)

    def ready() -> None:
        checked.unlock()
        manager.ready()

    return _serve(command, checked, ready, manager)


def _in_background(command: Command, checked: mountpoint.Checked, answer: int) -> int:
    """Run as the daemon; the waiting command is told every reason for which it does not start."""
    waits = True

    def ready() -> None:
        nonlocal waits
        waits = False
        logging.basicConfig(level=logging.INFO, handlers=[log_handlers.to_syslog()])
        checked.unlock()
        startup.tell_ready(answer)

    def refuse(words: str) -> None:
        if waits:
            # Who hears that it failed may try again before this process has ended.
            checked.give_up()
        startup.tell(answer, words.encode(errors="surrogateescape"))

    try:
        os.setsid()
        startup.die_of_signals()
        _let_go({checked.own, checked.source, checked.lock, answer})
        return _serve(command, checked, ready)
    except CommandError as error:
        refuse(str(error))
    except Exception as error:
        log.exception("the daemon ended")
        refuse(f"the daemon does not start: {startup.reason_of(error)}")
    return 1


def _reserve_standard_streams() -> None:
    """Fill descriptors 0, 1 and 2 if the command was started without standard streams.

    A file that is opened later would be taken for one of them.
    """
    while (number := os.open("/", os.O_RDONLY | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(number, True)  # noqa: FBT003
    os.close(number)


def _let_go(kept: set[int]) -> None:
    """Close every descriptor except `kept`, and connect the standard streams to /dev/null.

    A reader of the command's output, or a process that waits for a lock, then does not wait for the
    daemon.
    """
    own_process.close_all_but(kept)
    null = os.open("/dev/null", os.O_RDWR)
    for number in {0, 1, 2} - {null}:
        os.dup2(null, number)


def _daemon() -> ModuleType:
    """The module of the daemon; CommandError where a package that it needs is missing.

    It is imported late, so that every error before is reported at once and without libfuse.
    """
    gc.disable()
    try:
        _check_whole()
        from procmirror.fuse import daemon
    except ImportError as missing:
        raise CommandError(_remedy(missing)) from None
    own_process.give_back_free_memory()
    gc.freeze()
    gc.enable()
    return daemon


def _serve(
    command: Command,
    checked: mountpoint.Checked,
    ready: Callable[[], None],
    manager: ServiceManager | None = None,
) -> int:
    daemon = _daemon()
    answers: list[bool] = []

    def answered() -> None:
        answers.append(True)
        ready()

    try:
        daemon.serve(
            checked.own,
            checked.source,
            checked.path,
            _options(command),
            _settings(command),
            answered,
            manager if manager and manager.beat_seconds else None,
        )
    except daemon.NotMounted as refused:
        raise CommandError(str(refused)) from None
    except (OSError, BaseExceptionGroup) as broken:
        if answers or not startup.is_of_the_system(broken):
            raise
        raise CommandError(f"{checked.path}: {startup.reason_of(broken)}") from None
    return 0


def _options(command: Command) -> set[str]:
    """What libfuse is told."""
    # libfuse separates options by commas, and takes what follows a backslash as it is.
    name = re.sub(r"([\\,])", r"\\\1", command.source)
    options = {"nosuid", "nodev", "noexec", "subtype=procmirror", f"fsname={name}"}
    if not command.writes:
        options.add("ro")
    if command.allow_other:
        options.add("allow_other")
    return options


def _settings(command: Command) -> Settings:
    return Settings(
        command.timeout,
        command.views,
        command.hidden,
        stamped=command.stamped,
        writes=command.writes,
        leads_to_proc=command.links_to_proc,
        ignores_modules=command.ignores_modules,
        debug=command.debug,
    )


def _remedy(missing: ImportError) -> str:
    """What to do about a package or a library that mounting needs and that cannot be loaded."""
    if missing.name in _PACKAGES and isinstance(missing, ModuleNotFoundError):
        return f"mounting needs {missing.name}; install it: pip install 'procmirror[mount]'"
    if "libfuse3" in str(missing):
        return (
            f"{missing}; root can install it (Debian: apt-get install libfuse3-3); "
            f"where libfuse is another, {_ANEW}"
        )
    return f"what mounting needs does not load: {missing}; {_ANEW}"


def _check_installed() -> None:
    """Raise CommandError for a package that is not there.

    This is told first, before what is wrong with /dev/fuse.
    """
    try:
        for name in _PACKAGES:
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)
    except ImportError as missing:
        raise CommandError(_remedy(missing)) from None


def _check_whole() -> None:
    """Import the packages; ImportError for one of which only a directory is left."""
    for name in reversed(_PACKAGES):
        if import_spared(name).__file__ is None:
            raise ImportError(f"{name} has no files", name=name)
