"""access(2) and its kin by the 32-bit gate of x86_64 (int 0x80), where their numbers are others."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable

# arch/x86/entry/syscalls/syscall_32.tbl
_ACCESS, _FACCESSAT, _FACCESSAT2 = 33, 307, 439
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EACCESS = -100, 0x100, 0x200
# mmap(2): below 2 GiB, where an address fits into a register of 32 bits.
_MAP_32BIT = 0x40
_PAGE = 4096
# long f(long number, long a, long b, long c, long d)
_GATE = bytes.fromhex(
    "53"  # push %rbx
    "89f8"  # mov %edi,%eax
    "89f3"  # mov %esi,%ebx
    "87d1"  # xchg %edx,%ecx
    "4489c6"  # mov %r8d,%esi
    "cd80"  # int $0x80
    "4898"  # cdqe
    "5b"  # pop %rbx
    "c3"  # ret
)


class Gate:
    """The gate, and a page for the paths that go through it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_size_t
        libc.mmap.argtypes = [ctypes.c_size_t] * 6
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        readable = mmap.PROT_READ | mmap.PROT_WRITE
        self._page = libc.mmap(0, _PAGE, readable, private | _MAP_32BIT, (1 << 64) - 1, 0)
        self._code = mmap.mmap(-1, _PAGE, private, readable | mmap.PROT_EXEC)
        self._code.write(_GATE)
        function = ctypes.CFUNCTYPE(*[ctypes.c_long] * 6)
        self._call = function(ctypes.addressof(ctypes.c_char.from_buffer(self._code)))

    def call(self, number: int, path: str, *arguments: int, at: bool) -> bytes:
        """A call with a path, after a directory where `at`; OSError as the kernel's."""
        raw = path.encode() + b"\0"
        assert len(raw) <= _PAGE
        ctypes.memmove(self._page, raw, len(raw))
        passed = [*([_AT_FDCWD] if at else []), self._page, *arguments]
        answer = self._call(number, *[*passed, 0, 0, 0][:4])
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return b""


def operations() -> dict[str, Callable[[str, int], bytes]]:
    """The operations that ask about rights, each by the gate."""
    gate = Gate()

    def access(mode: int) -> Callable[[str, int], bytes]:
        return lambda path, _: gate.call(_ACCESS, path, mode, at=False)

    def faccessat2(mode: int, flags: int) -> Callable[[str, int], bytes]:
        return lambda path, _: gate.call(_FACCESSAT2, path, mode, flags, at=True)

    return {
        "access R": access(os.R_OK),
        "access W": access(os.W_OK),
        "access X": lambda path, _: gate.call(_FACCESSAT, path, os.X_OK, at=True),
        "faccessat EACCESS R": faccessat2(os.R_OK, _AT_EACCESS),
        "faccessat EACCESS X": faccessat2(os.X_OK, _AT_EACCESS),
        "faccessat NOFOLLOW R": faccessat2(os.R_OK, _AT_SYMLINK_NOFOLLOW),
    }
