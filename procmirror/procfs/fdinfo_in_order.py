"""Several files of `fdinfo` at a time, of those whose content cannot be waited for.

Besides position, flags and locks such a file has what its driver prints, which may take a lock that
somebody holds for long (seq_show in the kernel's fs/proc/fd.c, show_fdinfo of struct
file_operations).
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress

from procmirror.identity import file_calls
from procmirror.procfs import proc

# A longer content is read with its own OPEN only.
_MOST_BYTES = 1024
# No more is read ahead after so many numbers that are no descriptors, and after so many seconds:
# one of the files may have a long list of locks.
MOST_MISSING, _SECONDS = 8, 0.002
# The kinds of files of which no file system or protocol prints anything that it waits for.
_PROMPT = frozenset((stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK))
# The driver of /dev/null and its like, with the major number of its devices.
_MEMORY = "1:"
_PROMPT_TEXTS = (b"socket:[", b"pipe:[")


def contents(
    directory: int, path: bytes, first: int, most: int, *, looks: bool
) -> list[tuple[int, bytes]]:
    """The contents of a descriptor and of those that follow, by number, at most `most` in all.

    `path` is that of `fdinfo`. The first one is read whatever it is. With `looks` the files behind
    the descriptors may be looked at. OSError as the kernel raises it for the first.
    """
    found = [(first, _content(directory, b"%s/%d" % (path, first)))]
    end = time.monotonic() + _SECONDS
    number, missing = first, 0
    while len(found) < most and missing < MOST_MISSING and time.monotonic() < end:
        number += 1
        try:
            if _is_prompt(directory, b"%s/%d" % (path.removesuffix(b"info"), number), looks=looks):
                found.append((number, _content(directory, b"%s/%d" % (path, number))))
        except FileNotFoundError:
            missing += 1
        except OSError:
            break
    return [one for one in found if len(one[1]) <= _MOST_BYTES]


def _content(directory: int, path: bytes) -> bytes:
    descriptor = proc.open_file(directory, path)
    try:
        return os.pread(descriptor, _MOST_BYTES + 1, 0)
    finally:
        os.close(descriptor)


def _is_prompt(directory: int, path: bytes, *, looks: bool) -> bool:
    """Whether nothing that the file behind a descriptor prints is waited for."""
    text = os.readlink(path, dir_fd=directory)
    if text.startswith(_PROMPT_TEXTS):
        return True
    if not (looks and text.startswith(b"/")):
        return False
    with suppress(OSError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=directory)
        try:
            mode, *_, device, _, _ = file_calls.status_of(descriptor)
        finally:
            os.close(descriptor)
        kind = stat.S_IFMT(mode)
        return kind in _PROMPT or (kind == stat.S_IFCHR and device.startswith(_MEMORY))
    return False
