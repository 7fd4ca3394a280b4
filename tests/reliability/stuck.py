"""A stuck target.

A process whose memory nobody can look at, because two of its threads wait for ever.

A file system of our own answers everything but READ. The process maps a file of it; one thread
reads that page through /proc/self/mem, for which the kernel waits unkillably with the memory lock
held; another calls mmap(2) and queues for the same lock. From then on natively `cat
/proc/PID/cmdline` waits as long as the file system is there.

A lure is a process that has only mapped such a file: who reads that page through its `mem` is stuck
and cannot be killed.

One that is held in execve(2) has opened such a file, too, which is closed by the kernel then; the
file system does not answer FLUSH, and the kernel holds the exec lock of the process meanwhile
(do_close_on_exec, fs/exec.c).

One with asynchronous I/O has let the kernel read such a file while it does something else. Who
takes its memory down after its end waits for that (exit_aio, fs/aio.c): itself, or whoever was
reading a file about its memory. It has all the groups that there may be, as the kernel prints them
for milliseconds.

As a program it makes COUNT of a KIND as USER and lets them go when its stdin ends; it never lives
longer than LIFE.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from tests.harness import ROOT, Limit, load, state_of

LIFE = 600
_READY_WITHIN = 20.0
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
# Operations of the FUSE protocol (linux/fuse.h).
(
    _LOOKUP,
    _FORGET,
    _GETATTR,
    _OPEN,
    _READ,
    _RELEASE,
    _FLUSH,
    _INIT,
    _OPENDIR,
    _RELEASEDIR,
    _BATCH_FORGET,
    _INTERRUPT,
) = (
    1,
    2,
    3,
    14,
    15,
    18,
    25,
    26,
    27,
    29,
    42,
    36,
)
_ASYNC_DIO = 1 << 15
# Their numbers on x86-64, and on all newer architectures.
_IO_SETUP, _IO_SUBMIT = (206, 209) if platform.machine() == "x86_64" else (0, 2)
# struct iocb of linux/aio_abi.h: data, key, flags, operation, priority, descriptor, buffer, length,
# offset.
_IOCB = struct.Struct("=QIIHhIQQq24x")
_MOST_GROUPS = 1 << 16
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)


class Stuck(NamedTuple):
    """A stuck process, and the address of the page that never comes."""

    pid: int
    address: int


@contextlib.contextmanager
def stuck(
    count: int = 1, user: int = 0, *, lure: bool = False, kind: str = "stuck"
) -> Iterator[list[Stuck]]:
    """That many stuck targets of `user`, or lures, for as long as the block.

    `kind` may be exec or aio.

    Afterwards they are gone.
    """
    program = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.reliability.stuck",
            str(count),
            str(user),
            "lure" if lure else kind,
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdin and program.stdout
    try:
        yield [Stuck(*one) for one in json.loads(program.stdout.readline())]
    finally:
        program.stdin.close()
        try:
            program.wait(20 * load())
        finally:
            program.kill()
            program.stdout.close()


def _attributes(node: int) -> bytes:
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack(
        "<QQQQQQIIIIIIIIII", node, 1 << 16, 128, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
    )


def _serve(mountpoint: str, ready: int, kind: str) -> NoReturn:
    """The file system: a new file for every name, whose bytes never come, or its FLUSH.

    Says when it is mounted and when somebody reads.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _libc.mount(b"stall", mountpoint.encode(), b"fuse.stall", ctypes.c_ulong(6), options):
        os._exit(1)
    os.write(ready, b"m")
    files = 1
    while True:
        request = os.read(device, 1 << 20)
        _, operation, unique, node = struct.unpack_from("<IIQQ", request)
        if operation == _LOOKUP:
            files += 1
        elif operation == (_FLUSH if kind == "exec" else _READ):
            os.write(ready, b"r")
        answers = {
            _INIT: struct.pack(
                "<IIIIHHIIHHI", 7, 31, 65536, _ASYNC_DIO, 12, 10, 131072, 1, 256, 0, 0
            )
            + bytes(28),
            _LOOKUP: struct.pack("<QQQQII", files, 0, 3600, 3600, 0, 0) + _attributes(files),
            _GETATTR: struct.pack("<QII", 3600, 0, 0) + _attributes(node),
            _OPEN: struct.pack("<QII", 1, 0, 0),
            _OPENDIR: struct.pack("<QII", 1, 0, 0),
            _RELEASE: b"",
            _RELEASEDIR: b"",
            _FLUSH: b"",
        }
        silent = {_FORGET, _BATCH_FORGET, _INTERRUPT, _FLUSH if kind == "exec" else _READ}
        if operation in silent:
            continue
        answer = answers.get(operation)
        error = -38 if answer is None else 0
        os.write(
            device, struct.pack("<IiQ", 16 + len(answer or b""), error, unique) + (answer or b"")
        )


def _wait_for_page(memory: int, address: int) -> None:
    with contextlib.suppress(OSError):
        os.pread(memory, 16, address)


def _read_meanwhile(file_name: str) -> ctypes.Array[ctypes.c_char]:
    """Have the kernel read a file into the buffer that is given back."""
    buffer = ctypes.create_string_buffer(8192)
    aligned = -ctypes.addressof(buffer) % 4096 + ctypes.addressof(buffer)
    descriptor = os.open(file_name, os.O_RDONLY | os.O_DIRECT)
    context = ctypes.c_ulong(0)
    if _libc.syscall(_IO_SETUP, 1, ctypes.byref(context)):
        os._exit(1)
    block = ctypes.create_string_buffer(_IOCB.pack(0, 0, 0, 0, 0, descriptor, aligned, 4096, 0))
    blocks = (ctypes.c_void_p * 1)(ctypes.addressof(block))
    if _libc.syscall(_IO_SUBMIT, context, ctypes.c_long(1), blocks) != 1:
        os._exit(1)
    return buffer


def _become(kind: str, file_name: str, user: int, served: int, said: int) -> NoReturn:
    if user:
        os.setgroups(range(1000, 1000 + _MOST_GROUPS) if kind == "aio" else [])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        _libc.prctl(_PR_SET_DUMPABLE, 1)
    if kind == "exec":
        os.open(file_name, os.O_RDONLY | os.O_CLOEXEC)
        os.write(said, struct.pack("Q", 0))
        os.execv("/bin/sleep", ["sleep", str(LIFE)])
    if kind == "aio":
        buffer = _read_meanwhile(file_name)
        os.write(said, struct.pack("Q", ctypes.addressof(buffer)))
        signal.pause()
    mapped = mmap.mmap(os.open(file_name, os.O_RDONLY), 4096, prot=mmap.PROT_READ)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    address = next(int(line.split("-")[0], 16) for line in maps if line.endswith(file_name))
    if kind == "lure":
        os.write(said, struct.pack("Q", address))
        signal.pause()
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    threading.Thread(target=_wait_for_page, args=(memory, address), daemon=True).start()
    os.read(served, 1)
    os.write(said, struct.pack("Q", address))
    _libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    del mapped
    os._exit(0)


def _made(kind: str, file_name: str, user: int, served: int) -> Stuck:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(0)
        try:
            _become(kind, file_name, user, served, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    (address,) = struct.unpack("Q", os.read(ours, 8))
    os.close(ours)
    if kind in {"exec", "aio"}:
        # The `stat` of the first may wait for the lock.
        os.read(served, 1)
    limit = Limit(_READY_WITHIN)
    while kind == "stuck" and state_of(pid) != "D":
        assert limit.left() > 0, "it does not get stuck"
        time.sleep(0.01)
    return Stuck(pid, address)


def _main() -> None:
    signal.alarm(LIFE)
    count, user, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    mountpoint = tempfile.mkdtemp(prefix="stall-")
    os.chmod(mountpoint, 0o755)
    ours, theirs = os.pipe()
    server = os.fork()
    if server == 0:
        try:
            _serve(mountpoint, theirs, kind)
        finally:
            os._exit(1)
    os.read(ours, 1)
    targets: list[Stuck] = []
    try:
        targets.extend(_made(kind, f"{mountpoint}/{number}", user, ours) for number in range(count))
        sys.stdout.write(json.dumps(targets) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        os.kill(server, signal.SIGKILL)
        _libc.umount2(mountpoint.encode(), _MNT_DETACH)
        os.rmdir(mountpoint)
        for target in targets:
            os.kill(target.pid, signal.SIGKILL)
            os.waitpid(target.pid, 0)


if __name__ == "__main__":
    _main()
