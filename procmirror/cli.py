"""The command: arguments, checks, mounting, the background, signals, the log. The only module that prints or exits."""

from __future__ import annotations

import argparse
import errno
import logging
import logging.handlers
import os
import select
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from procmirror import __version__, linux
from procmirror.proc import mount_of

log = logging.getLogger("procmirror")

# What FUSE programs and mount(8) pass without being asked: true here in any case, or without a meaning for us.
_ACCEPTED = frozenset(
    [
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "async",
        "sync",
        "atime",
        "noatime",
        "relatime",
        "auto",
        "noauto",
        "user",
        "nouser",
        "users",
        "_netdev",
        "nofail",
        "defaults",
        "allow_other",
        "allow_root",
        "default_permissions",
    ]
)
_READY_WITHIN = 30
_EXAMPLES = """examples:
  procmirror /mnt/proc                      mount in the background
  cat /mnt/proc/self/environ.txt            one variable a line
  jq .VmRSS /mnt/proc/1/status.json         bytes, not kB
  umount /mnt/proc"""


class Failure(Exception):
    """What goes to stderr as the one line before exit 1."""


class Options(NamedTuple):
    """What the command line asked for."""

    source: str
    mountpoint: str
    foreground: bool
    timeout: float
    allow_other: bool


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="procmirror",
        description="Mount a mirror of /proc, decoded views beside the originals, every access decided for whoever asks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="?", default="/proc", metavar="SOURCE", help="the procfs to mirror (default: /proc)")
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="an existing directory")
    parser.add_argument("-f", "--foreground", action="store_true", help="stay in the foreground, log to stderr")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="OPT[,OPT…]", help="mount options")
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="longest wait for one answer of the kernel (default: 5)"
    )
    parser.add_argument("--version", action="version", version=f"procmirror {__version__}")
    return parser


def options_of(arguments: Sequence[str]) -> Options:
    """The options of a command line; Failure for a mount option that nobody knows."""
    parsed = _parser().parse_args(arguments)
    timeout = parsed.timeout
    allow_other = os.geteuid() == 0
    for option in ",".join(parsed.options).split(","):
        name, _, value = option.partition("=")
        if name == "timeout":
            try:
                timeout = float(value)
            except ValueError:
                raise Failure(f"timeout: {value!r} is not a number of seconds") from None
        elif name == "allow_other":
            allow_other = True
        elif name and name not in _ACCEPTED:
            raise Failure(f"unknown mount option {option!r}")
    if timeout is not None and not 0 < timeout < 3600:
        raise Failure("timeout: between 0 and 3600 seconds")
    return Options(parsed.source, parsed.mountpoint, parsed.foreground, timeout or 5.0, allow_other)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 when the mount answers (in the foreground: has ended), 1 after a line on stderr, 2 for usage."""
    try:
        return _mount(options_of(sys.argv[1:] if arguments is None else arguments))
    except Failure as failure:
        print(f"procmirror: {failure}", file=sys.stderr)
        return 1


def _mount(options: Options) -> int:
    own, source, mountpoint = _checked(options)
    if options.foreground:
        logging.basicConfig(level=logging.INFO, format="procmirror: %(levelname)s: %(message)s")
        return _serve(options, own, source, mountpoint, _nothing)
    ready, answer = os.pipe()
    if os.fork():
        os.close(answer)
        return _wait_until_ready(ready, mountpoint)
    os.close(ready)
    os.setsid()
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
    if not os.path.isdir(mountpoint):
        exists = os.path.lexists(mountpoint)
        raise Failure(f"{mountpoint}: {os.strerror(errno.ENOTDIR if exists else errno.ENOENT)}")
    # Of the place as it is now and here: the daemon has another /proc/self and another working directory.
    mountpoint = os.path.realpath(mountpoint)
    if _served(mountpoint):
        raise Failure(f"{mountpoint}: already served by procmirror")
    own = _open_procfs("/proc")
    source = own if os.path.abspath(options.source) == "/proc" else _open_procfs(options.source)
    if int(os.readlink("self", dir_fd=own)) != os.getpid():
        raise Failure("/proc belongs to another pid namespace")
    root = os.path.realpath(options.source)
    if mountpoint.startswith(root + "/"):
        raise Failure(f"{mountpoint}: inside {root}, which it would mirror")
    if not os.path.exists("/dev/fuse"):
        raise Failure("/dev/fuse is missing; root can load the module: modprobe fuse")
    if os.geteuid() and not shutil.which("fusermount3"):
        raise Failure("fusermount3 is missing; root can install it: apt-get install fuse3")
    return own, source, mountpoint


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
            if os.spawnlp(os.P_WAIT, "fusermount3", "fusermount3", "-uz", mountpoint):
                raise Failure(f"{mountpoint}: its daemon is gone, and it cannot be unmounted: {refused.strerror}") from None


def _served(mountpoint: str) -> bool:
    """Whether the topmost mount at a mountpoint is a procmirror."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    descriptor = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fields = mount_of(proc, descriptor)
    finally:
        os.close(descriptor)
        os.close(proc)
    return bool(fields) and fields[fields.index("-") + 1] == "fuse.procmirror" and _ends(fields[4], mountpoint)


def _ends(mounted: str, mountpoint: str) -> bool:
    decoded = mounted.encode("ascii", "surrogateescape").decode("unicode_escape") if "\\" in mounted else mounted
    return mountpoint in {decoded, mounted}


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


def _nothing() -> None:
    """What the foreground does when the mount answers."""


def _detach(answer: int) -> None:
    """Leave the terminal, log to syslog, and tell the waiting command that the mount answers."""
    handler: logging.Handler = logging.NullHandler()
    with suppress(OSError):
        handler = logging.handlers.SysLogHandler("/dev/log", facility=logging.handlers.SysLogHandler.LOG_DAEMON)
        handler.setFormatter(logging.Formatter("procmirror[%(process)d]: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    _tell(answer, "ready")


def _serve(options: Options, own: int, source: int, mountpoint: str, ready: Callable[[], None]) -> int:
    # Imported here, so that every error above comes at once and without libfuse.
    from procmirror import daemon

    wanted = {"ro", "nosuid", "nodev", "noexec", "subtype=procmirror", f"fsname={options.source}"}
    if options.allow_other:
        wanted.add("allow_other")
    try:
        daemon.serve(own, source, mountpoint, wanted, options.timeout, ready)
    except daemon.NotMounted as refused:
        raise Failure(str(refused)) from None
    return 0
