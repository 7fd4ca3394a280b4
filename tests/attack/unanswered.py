"""Files whose bytes never come, of a FUSE file system that an unprivileged user serves himself.

As a program: `python -m tests.attack.unanswered KIND USER NODE COUNT`. It makes COUNT processes in a
user and mount namespace of USER's own, whose FUSE device is NODE, and writes their numbers, each
with the address of a page that never comes. KIND is `page` (the page is mapped), `argument` (an
open(2) waits whose path is in the page), `arguments` (the kernel takes the page for their arguments
and environment, by PR_SET_MM_MAP), `watcher` (the same, and they wait for changes of a directory,
inotify(7)), `program` (they are programs of the file system, which answers
nothing from then on) or `overlay` (they run code of an overlay whose lower layer is the file
system; it answers nothing from then on, too).
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from tests.attack import users

# Operations of the FUSE protocol (include/uapi/linux/fuse.h).
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_FLUSH, _INIT, _OPENDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 25, 26, 27, 29, 36, 42
_SILENT = frozenset({_FORGET, _INTERRUPT, _BATCH_FORGET})
_ENOSYS = 38
_LIFE_SECONDS = 100
_NOSUID_NODEV = 6
_READ_AND_EXECUTE = 5
# pause(2) for ever, in the middle of a page of no-ops (x86_64).
_PAUSE = b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"
_CODE = (b"\x90" * 64 + _PAUSE).ljust(4096, b"\x90")
# A program of one segment that does so (elf(5)).
_ADDRESS = 0x400000
_ELF = struct.pack(
    "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, _ADDRESS + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0
) + struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, 4096, 4096, 4096)
_PROGRAM = (_ELF + _PAUSE).ljust(4096, b"\x90")


def _attributes(node: int) -> bytes:
    directory = node == 1
    mode, links = (0o40755, 2) if directory else (0o100755, 1)
    return struct.pack(
        "<QQQQQQIIIIIIIIII", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0
    )


def _answers(operation: int, node: int, files: int, kept: int, page: bytes) -> bytes | None:
    """The body of an answer, None for an operation that this file system does not have."""
    found = _attributes(files if operation == _LOOKUP else node)
    return {
        _INIT: struct.pack("<IIIIHHIIHHI", 7, 31, 65536, 0, 12, 10, 131072, 1, 256, 0, 0)
        + bytes(28),
        _LOOKUP: struct.pack("<QQQQII", files, 0, kept, kept, 0, 0) + found,
        _GETATTR: struct.pack("<QII", kept, 0, 0) + found,
        _OPEN: struct.pack("<QII", 1, 0, 0),
        _OPENDIR: struct.pack("<QII", 1, 0, 0),
        _STATFS: struct.pack("<QQQQQIIII", 0, 0, 0, 0, 0, 4096, 255, 4096, 0) + bytes(24),
        _READ: page,
        _RELEASE: b"",
        _RELEASEDIR: b"",
        _FLUSH: b"",
    }.get(operation)


def _serve(node: str, point: str, ready: int, armed: Path, page: bytes | None) -> NoReturn:
    """The file system: a new file of one page for every name.

    READ is never answered without a page; with one nothing is once the file `armed` exists.
    """
    users.die_with_parent()
    device = os.open(node, os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    users.mount("unanswered", point, "fuse", options, _NOSUID_NODEV)
    os.write(ready, b"m")
    files, kept = 1, 0 if page else 3600
    while True:
        request = os.read(device, 1 << 20)
        _, operation, unique, asked = struct.unpack_from("<IIQQ", request)
        silent = armed.exists() if page else operation == _READ
        if operation in _SILENT or silent:
            continue
        files += operation == _LOOKUP
        body = _answers(operation, asked, files, kept, page or b"")
        code = -_ENOSYS if body is None else 0
        os.write(device, struct.pack("<IiQ", 16 + len(body or b""), code, unique) + (body or b""))


def _mapped(file: str, said: int) -> NoReturn:
    """A process that has mapped a page and waits."""
    address = users.map_page(os.open(file, os.O_RDONLY))
    os.write(said, users.packed(address))
    while True:
        signal.pause()


def _argument(file: str, said: int) -> NoReturn:
    """A process that waits in open(2) for the path, which is in the page."""
    address = users.map_page(os.open(file, os.O_RDONLY))
    os.write(said, users.packed(address))
    users.libc.open(ctypes.c_void_p(address), os.O_RDONLY)
    os._exit(1)


def _arguments(file: str, said: int) -> NoReturn:
    """A process whose arguments and environment are in the page."""
    address = users.map_page(os.open(file, os.O_RDONLY))
    users.move_arguments(address, 4096)
    os.write(said, users.packed(address))
    while True:
        signal.pause()


def _watcher(file: str, said: int) -> NoReturn:
    """A process whose arguments and environment are in the page, and that watches a directory."""
    descriptor = users.check(users.libc.inotify_init())
    users.check(users.libc.inotify_add_watch(descriptor, b"/proc/sys", 2))
    address = users.map_page(os.open(file, os.O_RDONLY))
    users.move_arguments(address, 4096)
    os.write(said, users.packed(address))
    os.read(descriptor, 100)
    os._exit(1)


def _code(file: str, said: int) -> NoReturn:
    """A process that runs code of a file."""
    address = users.map_page(os.open(file, os.O_RDONLY), _READ_AND_EXECUTE)
    # The page is in memory from now on.
    bytes((ctypes.c_char * 16).from_address(address))
    os.write(said, users.packed(address))
    ctypes.CFUNCTYPE(None)(address)()
    os._exit(1)


def _program(file: str, said: int) -> NoReturn:
    """A process that is a program of the file system."""
    os.write(said, users.packed(_ADDRESS))
    os.execv(file, ["program"])


def _main() -> None:
    signal.alarm(_LIFE_SECONDS)
    kind, user, node, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    users.become(user)
    folder = Path(tempfile.mkdtemp(prefix="unanswered-"))
    for name in ("fuse", "lower", "merged"):
        (folder / name).mkdir()
    os.setpgid(0, 0)
    users.enter_namespaces(user)
    ours, theirs = os.pipe()
    if os.fork() == 0:
        try:
            page = {"overlay": _CODE, "program": _PROGRAM}.get(kind)
            _serve(node, str(folder / "fuse"), theirs, folder / "armed", page)
        finally:
            os._exit(1)
    os.read(ours, 1)
    place = folder / "fuse"
    if kind == "overlay":
        place = folder / "merged"
        layers = f"lowerdir={folder / 'fuse'}:{folder / 'lower'},userxattr"
        users.mount("overlay", str(place), "overlay", layers)
    become = {
        "page": _mapped,
        "argument": _argument,
        "arguments": _arguments,
        "watcher": _watcher,
        "program": _program,
        "overlay": _code,
    }[kind]
    made = []
    for number in range(count):
        said, says = os.pipe()
        pid = os.fork()
        if pid == 0:
            users.die_with_parent()
            become(f"{place}/{number}", says)
        made.append((pid, users.unpacked(said)))
    if kind == "program":
        own = os.readlink("/proc/self/exe")
        while any(os.readlink(f"/proc/{pid}/exe") == own for pid, _ in made):
            time.sleep(0.01)
    (folder / "armed").touch()
    users.held(made)
    users.end()


if __name__ == "__main__":
    _main()
