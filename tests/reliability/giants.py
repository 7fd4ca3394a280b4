"""Processes at the limits of what the kernel allows, each waiting on its stdin once it is as large as asked.

As a program: `python -m tests.reliability.giants KIND NUMBER`.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

from tests.harness import ROOT, load, stat_of

_READY_WITHIN = 60
_PR_SET_MM, _PR_SET_MM_MAP, _PR_SET_PDEATHSIG = 35, 14, 1
_PROT_NONE, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_NORESERVE = 0, 2, 0x20, 0x4000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)


@contextlib.contextmanager
def giant(
    kind: str, number: int, environment: dict[str, str] | None = None, *more: str
) -> Iterator[int]:
    """The pid of a process that has `number` of something, for as long as the block."""
    with _large_stack():
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.giants", kind, str(number), *more],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
    assert program.stdin and program.stdout
    try:
        assert program.stdout.readline() == b"ready\n"
        yield program.pid
    finally:
        program.stdin.close()
        try:
            program.wait(20 * load())
        finally:
            program.kill()
            program.stdout.close()


@contextlib.contextmanager
def _large_stack() -> Iterator[None]:
    """A quarter of the limit of the stack is what arguments and environment may take."""
    before = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (64 << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, before)


def _threads(number: int) -> None:
    threading.stack_size(32768)
    ended = threading.Event()
    for _ in range(number - 1):
        threading.Thread(target=ended.wait, daemon=True).start()


def _mappings(number: int) -> None:
    """Pages of alternating rights are mappings of their own."""
    page = mmap.PAGESIZE
    start = _libc.mmap(None, number * page, mmap.PROT_READ, _MAP_PRIVATE | _MAP_ANONYMOUS, -1, 0)
    for at in range(0, number, 2):
        assert _libc.mprotect(ctypes.c_void_p(start + at * page), page, _PROT_NONE) == 0


def _descriptors(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft <= hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    null = os.open("/dev/null", os.O_RDONLY)
    with contextlib.suppress(OSError):
        while null < number:
            null = os.dup(null)


def _endless(size: int) -> None:
    """An environment of untouched memory (prctl(2), PR_SET_MM_MAP)."""
    start = _libc.mmap(
        None, size, mmap.PROT_READ, _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_NORESERVE, -1, 0
    )
    fields = [int(field) for field in stat_of(os.getpid())[23:]]
    # From field 26: start and end of code; 45: of data, of brk; 48: of arguments.
    code, stack, (data_start, data_end, brk, arg_start, arg_end) = (
        fields[:2],
        fields[2],
        fields[19:24],
    )
    table = (
        *code,
        data_start,
        data_end,
        brk,
        _libc.sbrk(0),
        stack,
        arg_start,
        arg_end,
        start,
        start + size,
        0,
    )
    layout = struct.pack("12QIi", *table, 0, -1)
    if _libc.prctl(
        _PR_SET_MM, _PR_SET_MM_MAP, ctypes.c_char_p(layout), ctypes.c_ulong(len(layout)), 0
    ):
        code_number = ctypes.get_errno()
        raise OSError(code_number, os.strerror(code_number))


def _crowd(number: int) -> None:
    for _ in range(number):
        if os.fork() == 0:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.pause()


_KINDS: dict[str, Callable[[int], None]] = {
    "threads": _threads,
    "mappings": _mappings,
    "descriptors": _descriptors,
    "endless": _endless,
    "crowd": _crowd,
    "plain": lambda _: None,
}


def _main() -> None:
    _libc.sbrk.restype = ctypes.c_void_p
    _KINDS[sys.argv[1]](int(sys.argv[2]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _main()
