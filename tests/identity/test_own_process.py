"""What a process does to itself."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

from procmirror.identity import own_process
from procmirror.identity.raw_calls import libc

# Smaller blocks than those that the allocator maps one by one.
_BLOCK, _COUNT = 64 << 10, 256


def resident() -> int:
    """RSS in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def test_memory_that_is_free_is_given_back() -> None:
    libc.malloc.restype = ctypes.c_void_p
    blocks = [libc.malloc(ctypes.c_size_t(_BLOCK)) for _ in range(_COUNT)]
    for block in blocks:
        ctypes.memset(block, 1, _BLOCK)
    full = resident()
    # The last one keeps the allocator from giving the others back by itself.
    for block in blocks[:-1]:
        libc.free(ctypes.c_void_p(block))
    own_process.give_back_free_memory()
    assert resident() < full - _BLOCK * _COUNT // 2
    libc.free(ctypes.c_void_p(blocks[-1]))
