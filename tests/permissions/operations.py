"""What a requester does to an entry, on the kernel's /proc and on the mirror.

Each operation answers bytes or an errno.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Iterable

import msgspec

from tests.permissions.calls import call

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW, AT_EACCESS, AT_STATX_DONT_SYNC = 0x100, 0x200, 0x4000
STATX_BASIC_STATS = 0x7FF
READ_SIZE = 1 << 16
KEPT = 1024
TRIES = 4
DECODED = (".json", ".txt", ".ndjson", ".folded")
# Directories whose names are data: no view may stand there.
PLAIN = {"fd", "task", "ns", "map_files", "attr", "sys", "irq", "stat", "dev_snmp6"}
# How long the kernel took to read its clock twice while it wrote /proc/PID/sched: another number
# each time.
CLOCK = re.compile(rb"^clock-delta .*\n", re.MULTILINE)


class Item(msgspec.Struct, array_like=True, frozen=True):
    """One operation on two paths that should answer alike; `argument` is the offset of a read."""

    native: str
    mirror: str
    operation: str
    argument: int = 0


def some_of(items: Iterable[Item], one_in: int) -> list[Item]:
    """One question of so many, and the first of each kind of operation."""
    seen: set[str] = set()
    chosen = []
    for at, item in enumerate(items):
        if at % one_in == 0 or item.operation not in seen:
            chosen.append(item)
        seen.add(item.operation)
    return chosen


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """What one path answered.

    An errno, or 0 and bytes (those beyond the first kilobyte as a digest).
    """

    errno: int
    data: bytes = b""


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """The mirror's answer between two of the kernel; None repeats the first."""

    before: Answer
    mirror: Answer | None
    after: Answer | None


def lstat(path: str, _: int) -> bytes:
    """All that does not change by itself, but for inode and device numbers, which are the mirror's own."""
    found = os.lstat(path)
    return f"{found.st_mode:o} {found.st_uid}:{found.st_gid} links {found.st_nlink} size {found.st_size}".encode()


def owner(path: str, _: int) -> bytes:
    """What a view has in common with its source.

    Type, mode and owner, of a directory the right to read.
    """
    found = os.stat(path)
    mode = stat.S_IFREG | found.st_mode & 0o444 if stat.S_ISDIR(found.st_mode) else found.st_mode
    return f"{mode:o} {found.st_uid}:{found.st_gid}".encode()


def target(path: str, _: int) -> bytes:
    """What a link leads to that has no path: type, mode and inode number."""
    found = os.stat(path)
    return f"{found.st_mode:o} {found.st_ino} links {found.st_nlink} size {found.st_size}".encode()


def cached(path: str, _: int) -> bytes:
    """A statx that wants no questions asked: what LOOKUP alone gave away."""
    answer = ctypes.create_string_buffer(256)
    call(
        "statx",
        AT_FDCWD,
        path.encode(),
        AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW,
        STATX_BASIC_STATS,
        answer,
    )
    links, uid, gid, mode = struct.unpack_from("IIIH", answer.raw, 16)
    return f"{mode:o} {uid}:{gid} links {links}".encode()


def located(path: str, _: int) -> bytes:
    """A descriptor of the place only: LOOKUPs and nothing else."""
    os.close(os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC))
    return b""


def _accessible(mode: int, flags: int | None) -> Callable[[str, int], bytes]:
    def ask(path: str, _: int) -> bytes:
        if flags is None:
            call("access", path.encode(), mode)
        else:
            call("faccessat2", AT_FDCWD, path.encode(), mode, flags)
        return b""

    return ask


def read(path: str, _: int) -> bytes:
    """The content, of long ones the beginning.

    A seq_file gives less in one read than the mirror, the same in several.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        content = b""
        while len(content) < READ_SIZE and (piece := os.read(descriptor, READ_SIZE - len(content))):
            content += piece
    finally:
        os.close(descriptor)
    return CLOCK.sub(b"", content)


def peek(path: str, offset: int) -> bytes:
    """A few bytes at an address."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, 64, offset)
    finally:
        os.close(descriptor)


def opened(path: str, _: int) -> bytes:
    """Only opened, where reading would take something away."""
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    return b""


def opened_to_write(path: str, _: int) -> bytes:
    """Opened to be written, and left as it is."""
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    return b""


def link(path: str, _: int) -> bytes:
    """The text of a symbolic link."""
    return os.readlink(path.encode())


def names(path: str, _: int) -> bytes:
    """What a directory lists, in the order of names, without the views where they may stand and the mirror's indexes."""
    place = os.path.basename(path)
    found = os.listdir(path)
    if place not in PLAIN:
        found = [name for name in found if not name.endswith(DECODED)]
    if place == "proc":
        found = [name for name in found if not name.isdigit() and not name.startswith("by-")]
    return os.fsencode("\n".join(sorted(found)))


def processes(path: str, _: int) -> bytes:
    """The processes that a /proc lists."""
    return "\n".join(sorted(name for name in os.listdir(path) if name.isdigit())).encode()


def entered(path: str, _: int) -> bytes:
    """The directory as working directory."""
    os.chdir(path)
    os.chdir("/")
    return b""


def content(path: str, _: int) -> bytes:
    """Nothing but success.

    A view opens and reads exactly if its source does, or can be listed where it is a directory.
    """
    if os.path.isdir(path):
        os.listdir(path)
    elif path.endswith("/stack") and any(map(_stack_readable, [path[:-5], *_threads(path[:-5])])):
        pass  # the view of the stack shows what there is of three files, of each thread
    else:
        read(path, 0)
    return b""


def _threads(process: str) -> list[str]:
    try:
        return [f"{process}task/{thread}/" for thread in os.listdir(f"{process}task")]
    except OSError:  # a thread's directory has no such
        return []


def _stack_readable(folder: str) -> bool:
    """Whether there is a part of a stack to be read."""
    for name, operation in (("stack", read), ("syscall", read), ("mem", opened)):
        with contextlib.suppress(OSError):
            operation(folder + name, 0)
            return True
    return False


def attribute_names(path: str, _: int) -> bytes:
    """The names of extended attributes."""
    return "\n".join(sorted(os.listxattr(path, follow_symlinks=False))).encode()


def attribute(path: str, _: int) -> bytes:
    """An extended attribute that tools like ls and cp ask for."""
    return os.getxattr(path, "security.capability", follow_symlinks=False)


OPERATIONS: dict[str, Callable[[str, int], bytes]] = {
    "lstat": lstat,
    "owner": owner,
    "target": target,
    "statx DONT_SYNC": cached,
    "open PATH": located,
    "access R": _accessible(os.R_OK, None),
    "access W": _accessible(os.W_OK, None),
    "access X": _accessible(os.X_OK, None),
    "faccessat EACCESS R": _accessible(os.R_OK, AT_EACCESS),
    "faccessat EACCESS X": _accessible(os.X_OK, AT_EACCESS),
    "faccessat NOFOLLOW R": _accessible(os.R_OK, AT_SYMLINK_NOFOLLOW),
    "read": read,
    "peek": peek,
    "open": opened,
    "open W": opened_to_write,
    "readlink": link,
    "listdir": names,
    "processes": processes,
    "content": content,
    "chdir": entered,
    "listxattr": attribute_names,
    "getxattr": attribute,
}


def _answer(operation: Callable[[str, int], bytes], path: str, argument: int) -> Answer:
    try:
        data = operation(path, argument)
    except OSError as refusal:
        return Answer(refusal.errno or -1)
    if len(data) > KEPT and operation not in {names, processes}:
        data = data[:KEPT] + b" ... " + hashlib.blake2b(data, digest_size=16).hexdigest().encode()
    return Answer(0, data)


def outcome(item: Item, operations: dict[str, Callable[[str, int], bytes]] = OPERATIONS) -> Outcome:
    """One item, asked again where both let in but the bytes differ.

    They may have changed in between.

    A refusal is never asked again: what the mirror lets in between two refusals of the kernel is
    let in.
    """
    operation = operations[item.operation]
    for attempt in range(TRIES):
        before = _answer(operation, item.native, item.argument)
        mirror = _answer(operation, item.mirror, item.argument)
        after = _answer(operation, item.native, item.argument)
        if before == mirror == after or before.errno == after.errno != mirror.errno:
            break
        time.sleep(0.005 * attempt)
    return Outcome(before, None if mirror == before else mirror, None if after == before else after)
