"""What an inotify(7) or fanotify(7) descriptor watches, by its fdinfo (proc_pid_fdinfo(5)).

The kernel tells inodes, not paths, for a path may lead elsewhere by now. So likely paths are tried
as the requester: words of the command line, descriptors and directories of the process, and places
that programs use to watch. One is shown only if it leads to the inode that is watched.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

from procmirror.decoding.proc_files import MountLine, mount_lines
from procmirror.decoding.text import decoded, printable
from procmirror.kernel.files import device
from procmirror.stack.caller import Caller
from procmirror.stack.target import Inode, Target

PHRASE = "a change in the file system"
DESCRIPTORS = ("anon_inode:inotify", "anon_inode:[fanotify]")
SECONDS = 0.05  # to find paths, for all threads of a request
MOST = 3  # watched files that are named
MOST_LINES = 1000  # of one fdinfo
_MOST_TEXT = 100  # characters of a path
_MOST_ARGUMENTS, _MOST_WORDS, _MOST_DESCRIPTORS = 1 << 16, 64, 64
_WORD = re.compile(rb"\b(wd|ino|sdev|mnt_id):([0-9a-f]{1,16})\b")
_HOME = re.compile(rb"(?:^|\0)HOME=(/[^\0]{0,4095})")
# Where udevd, dbus-daemon, systemd, polkitd, login managers and resolvers look for changes.
_KNOWN = (
    b"/etc /etc/passwd /etc/group /etc/shadow /etc/hosts /etc/resolv.conf /etc/localtime /dev "
    b"/dev/input /dev/snd /dev/dri /tmp /var/tmp /run /var/run /run/user /home /root /srv "
    b"/etc/udev/rules.d /run/udev/rules.d /usr/lib/udev/rules.d /lib/udev/rules.d "
    b"/usr/local/lib/udev/rules.d /run/udev /etc/udev /etc/systemd/system /run/systemd "
    b"/run/systemd/system /run/systemd/ask-password /run/systemd/sessions /run/systemd/seats "
    b"/run/systemd/users /run/systemd/machines /run/systemd/netif /run/systemd/netif/links "
    b"/etc/dbus-1 /etc/dbus-1/system.d /etc/dbus-1/session.d /usr/share/dbus-1 "
    b"/usr/share/dbus-1/system.d /usr/share/dbus-1/session.d /usr/share/dbus-1/services "
    b"/usr/share/dbus-1/system-services /usr/local/share/dbus-1/services "
    b"/usr/share/polkit-1/actions /usr/share/polkit-1/rules.d /etc/polkit-1/rules.d "
    b"/etc/pam.d /etc/cron.d /etc/crontab /var/spool/cron /var/spool/cron/crontabs /var/log "
    b"/var/log/syslog /var/log/journal /run/log/journal /var/lib /var/spool /var/cache "
    b"/usr/share/applications /run/agetty.reload /etc/issue /etc/fonts /usr/share/fonts"
).split()


class _Mark(NamedTuple):
    """One line: a file, a file system (without `inode`), or a mount; `age` grows with its number.

    All are None for what is not known.
    """

    age: int
    inode: int | None
    device: str | None
    mount: int | None


class FileWatches:
    """The watched files of descriptors, for one request."""

    def __init__(self, target: Target, caller: Caller) -> None:
        self._target, self._caller = target, caller
        self._left = SECONDS
        self._known: dict[int, str] = {}
        self._paths: dict[Inode, bytes] = {}
        self._places: list[bytes] | None = None
        self._mounts: list[MountLine] | None = None

    def of(self, number: int) -> str:
        """What the descriptor `number` watches, separated by commas; empty for no such one."""
        if number not in self._known and self._left > 0:
            began = self._target.clock()
            self._known[number] = self._watched_by(number) if self._watches(number) else ""
            self._left -= self._target.clock() - began
        return self._known.get(number, "")

    def paths(self, files: Collection[Inode]) -> Mapping[Inode, bytes]:
        """Paths below the root of the process that lead to these files, as far as they are found.

        `files` are named as fdinfo names them.
        """
        began = self._target.clock()
        if self._left > 0:
            self._find(set(files), began + self._left)
        self._left -= self._target.clock() - began
        return self._paths

    def _watches(self, number: int) -> bool:
        try:
            return self._target.link(f"fd/{number}") in DESCRIPTORS
        except OSError:
            return False

    def _watched_by(self, number: int) -> str:
        deadline = self._target.clock() + self._left
        lines = self._caller.lines(f"fdinfo/{number}")
        marks = filter(None, map(_mark, range(len(lines)), lines))
        oldest = sorted(marks, key=attrgetter("age"))
        self._find(
            {Inode(one.device, one.inode) for one in oldest if one.device and one.inode}, deadline
        )
        named = sorted(oldest, key=self._depth)[:MOST]
        shown, more = [self._shown(one) for one in named], len(oldest) - len(named)
        least = "at least " if len(lines) >= MOST_LINES else ""
        return ", ".join([*shown, *([f"{least}{more} more"] if more else [])])

    def _find(self, files: set[Inode], deadline: float) -> None:
        """Look for the paths of files that were not found yet."""
        if not (wanted := files - self._paths.keys()):
            return
        if self._places is None:
            self._places = list(dict.fromkeys(self._likely()))
        with suppress(OSError):
            self._paths |= self._target.paths_of(wanted, self._places, deadline)

    def _depth(self, mark: _Mark) -> tuple[bool, int]:
        """What orders the marks: a directory before those below it, what has no path last."""
        path = self._path(mark)
        return path is None, (path or b"").count(b"/")

    def _path(self, mark: _Mark) -> bytes | None:
        return self._paths.get(Inode(mark.device or "", mark.inode or 0))

    def _shown(self, mark: _Mark) -> str:
        """A path; else what the kernel tells and on which mount that is."""
        if mark.inode is None:
            where = self._mount_point(mark)
            return f"{'the mount' if mark.device is None else 'the file system at'} {where}"
        path = self._path(mark)
        return _text(path) if path else f"inode {mark.inode} on {self._mount_point(mark)}"

    def _mount_point(self, mark: _Mark) -> str:
        """Where a mount is, or the whole of a file system; its number where that is not known."""
        for one in self._mounted():
            whole = one.device.decode() == mark.device and one.root == b"/"
            if whole or (mark.device is None and one.mount_id == mark.mount):
                return _text(one.mount_point)
        return f"device {mark.device}" if mark.device else str(mark.mount)

    def _mounted(self) -> list[MountLine]:
        if self._mounts is None:
            self._mounts = []
            with suppress(OSError, ValueError):
                self._mounts = mount_lines(self._target.read("mountinfo"))
        return self._mounts

    def _likely(self) -> Iterator[bytes]:
        """Absolute paths below the root of the process, the likeliest first."""
        root = self._link("root")
        here = _below(self._link("cwd"), root)
        words = [_below(one, root) for one in self._opened()]
        words += [posixpath.join(here, one) for one in self._arguments()]
        yield from map(_plain, words)
        yield from _upwards(here)
        yield from (_plain(posixpath.dirname(one)) for one in words)
        if home := _HOME.search(self._part("environ")):
            yield home[1]
        yield from _KNOWN
        yield from (one.mount_point for one in self._mounted()[:_MOST_WORDS])

    def _arguments(self) -> Iterator[bytes]:
        for word in self._part("cmdline").split(b"\0")[:_MOST_WORDS]:
            if word and len(word) < 4096:
                yield word.rpartition(b"=")[2] if word.startswith(b"-") else word

    def _opened(self) -> Iterator[bytes]:
        """The paths of descriptors."""
        with suppress(OSError):
            for name in self._target.names("fd")[:_MOST_DESCRIPTORS]:
                if (path := self._link(f"fd/{name}")).startswith(b"/"):
                    yield path

    def _link(self, name: str) -> bytes:
        with suppress(OSError):
            return self._target.link(name).encode()
        return b"/"

    def _part(self, name: str) -> bytes:
        with suppress(OSError):
            return self._target.part(name, 0, _MOST_ARGUMENTS)
        return b""


def _mark(at: int, line: bytes) -> _Mark | None:
    """The mark of a line; lines of inotify are the newest first, and the first of fanotify none."""
    if not line.startswith((b"inotify ", b"fanotify ")):
        return None
    words = {key: int(value, 16) for key, value in _WORD.findall(line)}
    if not words.keys() & {b"ino", b"sdev", b"mnt_id"}:
        return None
    sdev = words.get(b"sdev")
    where = None if sdev is None else device(sdev)
    return _Mark(words.get(b"wd", at), words.get(b"ino"), where, words.get(b"mnt_id"))


def _below(path: bytes, root: bytes) -> bytes:
    """A path of the kernel's as the process with this root has it."""
    inside = root != b"/" and path.startswith(root + b"/")
    return path[len(root) :] if inside else path


def _upwards(path: bytes) -> Iterator[bytes]:
    """A path and the directories above it, at most `_MOST_WORDS`."""
    for _ in range(_MOST_WORDS):
        yield path
        if path in (b"/", b""):
            return
        path = posixpath.dirname(path)


def _plain(path: bytes) -> bytes:
    """A path without `.` and doubled slashes; one with `..` as it is, for links may be before."""
    return path if b"/.." in path else posixpath.normpath(path)


def _text(path: bytes) -> str:
    text = printable(decoded(path))
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"
