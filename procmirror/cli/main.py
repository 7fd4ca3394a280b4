"""The command: checks, mounting, the background, signals, the log.

The only module that prints or exits.
"""

from __future__ import annotations

import errno
import logging
import logging.handlers
import os
import re
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import BinaryIO, TextIO

from procmirror.cli.options import Failure, Options, Said, options_of
from procmirror.decode.text import printable
from procmirror.decode.view import DecodeError
from procmirror.identity import linux
from procmirror.procfs.proc import mount_of

log = logging.getLogger("procmirror")

_READY_WITHIN = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 when the mount answers (in the foreground.

    Has ended), 1 after a line on stderr, 2 for usage.
    """
    try:
        return _done(sys.argv[1:] if arguments is None else arguments)
    except Failure as failure:
        _complain(str(failure))
        return failure.status


def _done(arguments: Sequence[str]) -> int:
    try:
        options = options_of(arguments)
    except Said as said:
        return _answer(str(said).encode())
    return _ACTIONS[options.action](options)


def _complain(line: str) -> None:
    """A line on stderr, whatever is in it; nothing where there is no stderr."""
    print(f"procmirror: {printable(line)}", file=sys.stderr)


def _schema(options: Options) -> int:
    from procmirror.cli import catalogue
    from procmirror.decode import render

    try:
        view = catalogue.find(options.view)
    except LookupError as unknown:
        raise Failure(unknown.args[0]) from None
    return _answer(render.json(render.schema(view)))


def _list_views(_: Options) -> int:
    from procmirror.cli import catalogue

    return _answer(catalogue.listing().encode())


def _answer(content: bytes) -> int:
    _let_signals_end()
    _write([content])
    return 0


def _print(options: Options) -> int:
    from procmirror.cli import printing
    from procmirror.mirror import tree

    _let_signals_end()
    tree.formats = tree.Formats(stamped=options.stamped)
    contents = printing.Contents(_open_procfs("/proc"))
    complete = [_shown(path, partial(contents.of, path)) for path in options.paths]
    return 0 if all(complete) else 1


def _decode(options: Options) -> int:
    from procmirror.cli import printing

    _let_signals_end()
    try:
        complete = _shown(
            options.view,
            lambda: printing.decoded(options.view, _stream(sys.stdin, "input"), options.machine),
        )
    except LookupError as unknown:
        raise Failure(unknown.args[0]) from None
    except printing.NotAlone:
        raise Failure(
            f"{options.view}: made from several files; on the machine itself --print shows it"
        ) from None
    return 0 if complete else 1


def _shown(name: str, content: Callable[[], Iterable[bytes]]) -> bool:
    """Write out a content; whether it was to be had, after a line on stderr if not."""
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


def _let_signals_end() -> None:
    """Whoever closes our output or interrupts has had enough: no words about it."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stream(stream: TextIO | None, name: str) -> BinaryIO:
    """Standard input or output for bytes; Failure where the command was started without."""
    if stream is None:
        raise Failure(f"standard {name}: {os.strerror(errno.EBADF)}")
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
        # What it did not take is not to be tried again, and complained of, at the end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise Failure(f"standard output: {refused.strerror}") from None


def _mount(options: Options) -> int:
    # A command that was started without standard streams must not take what it opens for them.
    while (number := os.open("/", os.O_RDONLY | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(number, True)  # noqa: FBT003
    os.close(number)
    own, source, mountpoint = _checked(options)
    if options.foreground:
        linux.close_all_but({0, 1, 2, own, source})
        logging.basicConfig(level=logging.INFO, format="procmirror: %(levelname)s: %(message)s")
        return _serve(
            options, own, source, mountpoint, _notifier(os.environ.get("NOTIFY_SOCKET", ""))
        )
    ready, answer = os.pipe()
    if os.fork():
        os.close(answer)
        return _wait_until_ready(ready, mountpoint)
    os.close(ready)
    os.setsid()
    _let_go({own, source, answer})
    try:
        code = _serve(options, own, source, mountpoint, lambda: _detach(answer))
    except Failure as failure:
        _tell(answer, str(failure))
        code = 1
    os._exit(code)


def _checked(options: Options) -> tuple[int, int, str]:
    """Descriptors of the daemon's own /proc and of SOURCE, and the mountpoint, free and absolute."""
    mountpoint = os.path.abspath(options.mountpoint)
    _release_dead(mountpoint)
    try:
        os.stat(os.path.join(mountpoint, "."))
    except OSError as refused:
        raise Failure(f"{mountpoint}: {refused.strerror}") from None
    # Of the place as it is now and here: the daemon has another /proc/self and another working
    # directory.
    mountpoint = os.path.realpath(mountpoint)
    if _served(mountpoint):
        raise Failure(f"{mountpoint}: already served by procmirror")
    own = _open_procfs("/proc")
    source = own if os.path.abspath(options.source) == "/proc" else _open_procfs(options.source)
    if int(os.readlink("self", dir_fd=own)) != os.getpid():
        raise Failure("/proc belongs to another pid namespace")
    if options.links_to_proc:
        _check_links(options.source, mountpoint, own, source)
    root = os.path.realpath(options.source)
    if mountpoint.startswith(root + "/"):
        raise Failure(f"{mountpoint}: inside {root}, which it would mirror")
    _check_fuse(mountpoint)
    return own, source, mountpoint


def _check_fuse(mountpoint: str) -> None:
    """What a mount needs of the machine, and a user of root."""
    if not os.path.exists("/dev/fuse"):
        raise Failure(
            "/dev/fuse is missing; root can load the module: modprobe fuse; a container must be given the device"
        )
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise Failure(
            "/dev/fuse: Permission denied; root can open it to users: chmod 666 /dev/fuse"
        )
    if os.geteuid() and not shutil.which("fusermount3"):
        raise Failure("fusermount3 is missing; root can install it: apt-get install fuse3")
    if os.geteuid() and os.path.samefile(mountpoint, "/proc"):
        raise Failure(f"{mountpoint}: only root can mount over it")


def _check_links(path: str, mountpoint: str, own: int, source: int) -> None:
    """Links that lead to /proc need a /proc to lead to.

    The one that is mirrored, and not the mirror.
    """
    if os.fstat(source).st_dev != os.fstat(own).st_dev:
        raise Failure(f"{path}: links=proc needs /proc itself as SOURCE")
    if os.path.samefile(mountpoint, "/proc"):
        raise Failure(f"{mountpoint}: links=proc would lead back into the mirror")


def _open_procfs(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as refused:
        raise Failure(f"{path}: {refused.strerror}") from None
    if linux.filesystem_magic(descriptor) != linux.PROC_SUPER_MAGIC:
        raise Failure(f"{path}: not a procfs")
    if not _has(descriptor, "self"):
        raise Failure(f"{path}: not the root of a procfs")
    return descriptor


def _has(descriptor: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return False
    return True


def _release_dead(mountpoint: str) -> None:
    """Take a mountpoint whose daemon was killed."""
    try:
        os.stat(mountpoint)
    except OSError as dead:
        if dead.errno not in {errno.ENOTCONN, errno.ECONNABORTED}:
            return
        try:
            linux.unmount_lazily(mountpoint)
        except OSError as refused:
            if not _unmounted_by_fusermount(mountpoint):
                raise Failure(
                    f"{mountpoint}: its daemon is gone, and it cannot be unmounted: {refused.strerror}"
                ) from None


def _unmounted_by_fusermount(mountpoint: str) -> bool:
    """Whether fusermount3 unmounts it for a user; what it says itself is less than we know."""
    silent = [(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
    try:
        pid = os.posix_spawnp(
            "fusermount3", ["fusermount3", "-uz", mountpoint], os.environ, file_actions=silent
        )
    except OSError:
        return False
    return os.waitpid(pid, 0)[1] == 0


def _served(mountpoint: str) -> bool:
    """Whether the topmost mount at a mountpoint is a procmirror."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    descriptor = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fields = mount_of(proc, descriptor)
    finally:
        os.close(descriptor)
        os.close(proc)
    return (
        bool(fields)
        and fields[fields.index("-") + 1] == "fuse.procmirror"
        and _ends(fields[4], mountpoint)
    )


def _ends(mounted: str, mountpoint: str) -> bool:
    return mountpoint in {
        re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mounted),
        mounted,
    }


def _wait_until_ready(ready: int, mountpoint: str) -> int:
    """In the command's own process: wait for the daemon's word, then see that the mount answers."""
    if not select.select([ready], [], [], _READY_WITHIN)[0]:
        raise Failure("the daemon does not start")
    message = os.read(ready, 4096).decode(errors="replace")
    if message != "ready":
        raise Failure(message or "the daemon ended while starting")
    try:
        os.stat(mountpoint)
    except OSError as silent:
        raise Failure(f"{mountpoint}: does not answer: {silent.strerror}") from None
    return 0


def _tell(answer: int, message: str) -> None:
    if answer >= 0:
        with suppress(OSError):
            os.write(answer, message.encode(errors="replace"))
            os.close(answer)


def _notifier(address: str) -> Callable[[], None]:
    """What tells a service manager that the mount answers, as sd_notify(3) does."""

    def notify() -> None:
        if address:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                    manager.sendto(b"READY=1\n", re.sub("^@", "\0", address))
            except OSError as refused:
                log.warning("NOTIFY_SOCKET: %s", refused.strerror)

    return notify


def _let_go(kept: set[int]) -> None:
    """Hold nothing of the caller's.

    Whoever waits for the end of our output, or for a lock, must not wait for the daemon.
    """
    linux.close_all_but(kept)
    null = os.open("/dev/null", os.O_RDWR)
    for number in {0, 1, 2} - {null}:
        os.dup2(null, number)


def _detach(answer: int) -> None:
    """Log to syslog from now on, and tell the waiting command that the mount answers."""
    handler: logging.Handler = logging.NullHandler()
    with suppress(OSError):
        handler = logging.handlers.SysLogHandler(
            "/dev/log", facility=logging.handlers.SysLogHandler.LOG_DAEMON
        )
        handler.setFormatter(logging.Formatter("procmirror[%(process)d]: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    _tell(answer, "ready")


def _serve(
    options: Options, own: int, source: int, mountpoint: str, ready: Callable[[], None]
) -> int:
    # Imported here, so that every error above comes at once and without libfuse.
    from procmirror.fuse import daemon, writing
    from procmirror.mirror import tree

    wanted = {"nosuid", "nodev", "noexec", "subtype=procmirror", f"fsname={options.source}"}
    if not options.writes:
        wanted.add("ro")
    if options.allow_other:
        wanted.add("allow_other")
    shown = tree.Formats(options.views, options.hidden, options.stamped)
    rules = writing.Rules(options.writes, options.links_to_proc)
    choices = daemon.Choices(options.timeout, shown, options.ignores_modules, rules)
    try:
        daemon.serve(own, source, mountpoint, wanted, choices, ready)
    except daemon.NotMounted as refused:
        raise Failure(str(refused)) from None
    return 0


_ACTIONS: dict[str, Callable[[Options], int]] = {
    "mount": _mount,
    "print": _print,
    "decode": _decode,
    "schema": _schema,
    "list-views": _list_views,
}
