"""What a requester does to change something.

Each operation answers as those of `operations`, with what came of it.

Values are the same on both sides, so that two targets of one kind end alike; which is written where
is a matter of the entry.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from tests.permissions.calls import become
from tests.permissions.probes import STRANGER

# For each entry what may be written to it, and what may not, or only by some.
VALUES: dict[str, tuple[bytes, ...]] = {
    "oom_score_adj": (b"700\n", b"words", b"-1000"),
    "oom_adj": (b"10\n", b"1000", b"-17"),
    "coredump_filter": (b"0x31\n", b"words", b"0x33"),
    "clear_refs": (b"1\n", b"9", b"5"),
    "timerslack_ns": (b"60000\n", b"words", b"0"),
    "autogroup": (b"0\n", b"words", b"77"),
    "sched": (b"0\n", b"words", b""),
    "comm": (b"another", b"\n", b"a name of more than 15 bytes"),
    "uid_map": (b"0 0 1\n", b"words", b"0 61001 1\n1 100000 5\n"),
    "gid_map": (b"0 0 1\n", b"words", b"0 61001 1\n1 100000 5\n"),
    "setgroups": (b"deny", b"words", b"allow"),
    "loginuid": (b"0", b"words", b"4294967295"),
    "ip_default_ttl": (b"64", b"77", b"-1"),
    "memory": (b"some 150000 2000000", b"words", b"some 150000 1000000"),
}
# What is written to every other entry; of a sysctl the first is what it is already.
ANY = (b"words of no meaning", b"words", b"\n")


def _native(path: str) -> str:
    return "/proc/" + path.rpartition("/proc/")[2]


def _now(path: str) -> bytes:
    """What the kernel's own entry says."""
    try:
        with open(_native(path), "rb") as entry:
            return entry.read(200)
    except OSError as refused:
        return errno.errorcode[refused.errno or 0].encode()


def _value(path: str, number: int) -> bytes:
    entry = path.rpartition("/")[2]
    if number == 0 and "/sys/" in path:
        return _now(path)
    return VALUES.get(entry, ANY)[number]


def _written(path: str, flags: int, *values: bytes) -> bytes:
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        counts = [_patiently(descriptor, value) for value in values]
    finally:
        os.close(descriptor)
    told = b"" if path.endswith("/sched") else _now(path)
    return f"{counts} ".encode() + told


def _patiently(descriptor: int, value: bytes) -> int:
    """A write to `autogroup` may come too soon after another."""
    for _ in range(8):
        try:
            return os.write(descriptor, value)
        except BlockingIOError:
            time.sleep(0.05)
    return os.write(descriptor, value)


def put(path: str, number: int) -> bytes:
    """As `echo VALUE > FILE` does it."""
    return _written(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, _value(path, number))


def appended(path: str, number: int) -> bytes:
    """As `echo VALUE >> FILE` does it."""
    return _written(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _value(path, number))


def put_twice(path: str, number: int) -> bytes:
    """The second one where the first has ended."""
    return _written(path, os.O_RDWR, _value(path, number), _value(path, number))


def replaced(path: str, number: int) -> bytes:
    """Read, then written from the beginning, by the same descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.read(descriptor, 100)
        os.lseek(descriptor, 0, os.SEEK_SET)
        count = _patiently(descriptor, _value(path, number))
    finally:
        os.close(descriptor)
    return b"%d " % count


def put_large(path: str, size: int) -> bytes:
    """Many bytes in one call."""
    return _written(path, os.O_WRONLY, b"0" * size)


def opened_both_ways(path: str, _: int) -> bytes:
    """Opened to be read and written."""
    os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    return b""


def opened_to_empty(path: str, _: int) -> bytes:
    """Opened to be read, but emptied first."""
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK))
    return b""


def emptied(path: str, size: int) -> bytes:
    """Cut to a size."""
    os.truncate(path, size)
    return b""


def mode_changed(path: str, mode: int) -> bytes:
    """Other permissions."""
    os.chmod(path, mode)
    return b"%o" % os.stat(_native(path)).st_mode


def owner_changed(path: str, uid: int) -> bytes:
    """Another owner; what remains of it."""
    os.chown(path, uid, uid)
    return b"%d" % os.stat(_native(path)).st_uid


def dated(path: str, seconds: int) -> bytes:
    """Other times."""
    os.utime(path, (seconds, seconds))
    return b""


def synced(path: str, _: int) -> bytes:
    """Asked to be kept."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return b""


def removed(path: str, _: int) -> bytes:
    """Without its name."""
    os.unlink(path)
    return b""


def renamed(path: str, _: int) -> bytes:
    """A name that is not there, and one that is."""
    try:
        os.rename(path, f"{path}-absent")
    except FileNotFoundError:
        os.rename(path, os.path.join(os.path.dirname(path), "stat"))
    return b""


def made(path: str, _: int) -> bytes:
    """New names of every kind beside an entry: the errno of each."""
    ways: tuple[Callable[[str], object], ...] = (
        lambda name: os.open(name, os.O_CREAT | os.O_WRONLY | os.O_EXCL),
        os.mkdir,
        os.mkfifo,
        lambda name: os.symlink("x", name),
        lambda name: os.link(path, name),
    )
    told = []
    for way in ways:
        try:
            way(f"{path}-absent")
            told.append("made")
        except OSError as refused:
            told.append(errno.errorcode[refused.errno or 0])
    return " ".join(told).encode()


def handed_on(path: str, number: int) -> bytes:
    """Written by a child, who has it from its parent, who opened it.

    Of the parent's own entry, for example.
    """
    return _by_child(path, number, lambda: None)


def given_away(path: str, number: int) -> bytes:
    """Written by a stranger, who has it from who opened it; asked of root."""
    return _by_child(path, number, lambda: become(STRANGER, STRANGER))


def _by_child(path: str, number: int, step: Callable[[], None]) -> bytes:
    """The errno of the child, or 0."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    child = os.fork()
    if not child:
        try:
            step()
            os.write(descriptor, _value(path, number))
            os._exit(0)
        except OSError as refused:
            os._exit(refused.errno or 255)
        finally:
            os._exit(255)
    os.close(descriptor)
    return b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


CHANGES: dict[str, Callable[[str, int], bytes]] = {
    function.__name__: function
    for function in (
        put,
        appended,
        put_twice,
        replaced,
        put_large,
        opened_both_ways,
        opened_to_empty,
        emptied,
        mode_changed,
        owner_changed,
        dated,
        synced,
        removed,
        renamed,
        made,
        handed_on,
        given_away,
    )
}
