"""Whole files of procfs, for callers that know the files to be short."""

from __future__ import annotations

import errno
import os

# Without O_NONBLOCK, open(2) waits for fs.lease-break-time, 45 seconds, where the owner of a file
# has a lease on it (F_SETLEASE of fcntl(2)): of its own process's files in /proc, too.
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# One page more than the kernel usually produces for a file about one task.
PIECE = 1 << 14


# More than this of a file is not read by the daemon: somebody may have 100,000 mounts.
MOST = 1 << 20


def read_file(directory: int, path: bytes, most: int = MOST) -> bytes:
    """The content of the file at `path` below a directory descriptor.

    The kernel's OSError, EAGAIN where a lease is in the way, and EFBIG beyond `most` bytes.
    """
    descriptor = os.open(path, READ, dir_fd=directory)
    try:
        return read_to_end(descriptor, most)
    finally:
        os.close(descriptor)


def read_to_end(descriptor: int, most: int = MOST) -> bytes:
    """All bytes of a file from the position of its descriptor; OSError(EFBIG) beyond `most` bytes.

    A file of several records, such as mountinfo, gives about a page a read(2), however much is
    asked for (seq_read_iter, fs/seq_file.c). Only an empty piece is its end.
    """
    content = piece = os.read(descriptor, PIECE)
    while piece:
        piece = os.read(descriptor, PIECE)
        content += piece
        if len(content) > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content
