"""Mounting: the checks before it, the daemon in the background, its log and its readiness."""

from __future__ import annotations

import logging
import os
import re
import select
import socket
from collections.abc import Callable
from contextlib import suppress

from procmirror.cli import log as log_handlers
from procmirror.cli import mountpoint
from procmirror.cli.command_line import Command
from procmirror.cli.errors import CommandError
from procmirror.identity import linux

log = logging.getLogger("procmirror")

_READY_WITHIN_SECONDS = 30


def mount(command: Command) -> int:
    """Mount as the command line asks and return the exit status.

    Returns when the mount answers or, in the foreground, has ended. Raises CommandError.
    """
    _reserve_standard_streams()
    checked = mountpoint.check(command)
    if command.foreground:
        linux.close_all_but({0, 1, 2, checked.own, checked.source})
        logging.basicConfig(level=logging.INFO, handlers=[log_handlers.to_stderr()])
        if command.debug:
            logging.getLogger("procmirror.requests").setLevel(logging.DEBUG)
        return _serve(command, checked, _notifier(os.environ.get("NOTIFY_SOCKET", "")))
    ready, answer = os.pipe()
    if os.fork():
        os.close(answer)
        return _wait_until_ready(ready, checked.path)
    os.close(ready)
    os.setsid()
    _let_go({checked.own, checked.source, answer})
    try:
        code = _serve(command, checked, lambda: _detach(answer))
    except CommandError as error:
        _tell(answer, str(error))
        code = 1
    os._exit(code)


def _reserve_standard_streams() -> None:
    """Fill descriptors 0, 1 and 2 if the command was started without standard streams.

    What is opened later would be taken for one of them.
    """
    while (number := os.open("/", os.O_RDONLY | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(number, True)  # noqa: FBT003
    os.close(number)


def _wait_until_ready(ready: int, path: str) -> int:
    """In the process of the command: wait for the daemon's message, then ask the mount itself."""
    if not select.select([ready], [], [], _READY_WITHIN_SECONDS)[0]:
        raise CommandError("the daemon does not start")
    message = os.read(ready, 4096).decode(errors="replace")
    if message != "ready":
        raise CommandError(message or "the daemon ended while starting")
    try:
        os.stat(path)
    except OSError as silent:
        raise CommandError(f"{path}: does not answer: {silent.strerror}") from None
    return 0


def _tell(answer: int, message: str) -> None:
    if answer >= 0:
        with suppress(OSError):
            os.write(answer, message.encode(errors="replace"))
            os.close(answer)


def _notifier(address: str) -> Callable[[], None]:
    """A function that tells a service manager that the mount answers, as sd_notify(3) does."""

    def notify() -> None:
        if address:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                    manager.sendto(b"READY=1\n", re.sub("^@", "\0", address))
            except OSError as refused:
                log.warning("NOTIFY_SOCKET: %s", refused.strerror)

    return notify


def _let_go(kept: set[int]) -> None:
    """Close every descriptor but those kept, and connect the standard streams to /dev/null.

    A reader of the command's output, or a process that waits for a lock, does not wait for the
    daemon.
    """
    linux.close_all_but(kept)
    null = os.open("/dev/null", os.O_RDWR)
    for number in {0, 1, 2} - {null}:
        os.dup2(null, number)


def _detach(answer: int) -> None:
    """Log to syslog from now on, and tell the waiting command that the mount answers."""
    logging.basicConfig(level=logging.INFO, handlers=[log_handlers.to_syslog()])
    _tell(answer, "ready")


def _serve(command: Command, checked: mountpoint.Checked, ready: Callable[[], None]) -> int:
    # Imported here, so that every error above is reported at once and without libfuse.
    from procmirror.fuse import daemon, writing
    from procmirror.mirror import tree

    options = {"nosuid", "nodev", "noexec", "subtype=procmirror", f"fsname={command.source}"}
    if not command.writes:
        options.add("ro")
    if command.allow_other:
        options.add("allow_other")
    shown = tree.Formats(command.views, command.hidden, command.stamped)
    rules = writing.Rules(command.writes, command.links_to_proc)
    choices = daemon.Choices(command.timeout, shown, command.ignores_modules, rules, command.debug)
    try:
        daemon.serve(checked.own, checked.source, checked.path, options, choices, ready)
    except daemon.NotMounted as refused:
        raise CommandError(str(refused)) from None
    return 0
