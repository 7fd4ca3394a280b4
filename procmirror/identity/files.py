"""Whole files of procfs, for callers that know the files to be short."""

from __future__ import annotations

import os

# One page more than the kernel usually produces for a file about one task.
PIECE = 1 << 14


def read_file(directory: int, path: bytes) -> bytes:
    """The content of the file at `path` below a directory descriptor; the kernel's OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return read_to_end(descriptor)
    finally:
        os.close(descriptor)


def read_to_end(descriptor: int) -> bytes:
    """All bytes of a file from the position of its descriptor.

    Procfs fills a read(2) as far as it can, so a piece that is not full is the last one, and no
    second call is needed.
    """
    content = os.read(descriptor, PIECE)
    while len(content) % PIECE == 0 and (more := os.read(descriptor, PIECE)):
        content += more
    return content
