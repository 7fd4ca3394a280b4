"""What libfuse and fusermount3 say when they refuse a mount, with what a user can do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_NOT_HIS = "not yours to mount at; take a directory that you own and may write to"
# Messages of libfuse and fusermount3 with what a user can do about them; every other message is
# passed on unchanged.
_MEANINGS = {
    "user_allow_other": "allow_other is refused to users; root can allow it: echo user_allow_other "
    ">> /etc/fuse.conf",
    "no write access to mountpoint": _NOT_HIS,
    "not owned by user": _NOT_HIS,
    "mount failed: Operation not permitted": "mounting is not permitted; it takes CAP_SYS_ADMIN "
    "(in a container: in its own "
    "user namespace), or a fusermount3 that is setuid root and not kept from it by "
    "no-new-privileges or nosuid",
}


def meaning(said: list[str]) -> str:
    """The last message, or what a user can do about it."""
    last = said[-1] if said else "cannot be mounted"
    return next((meaning for words, meaning in _MEANINGS.items() if words in last), last)


@contextmanager
def captured_stderr(said: list[str]) -> Iterator[None]:
    """Capture what libfuse and fusermount3 write to stderr, to make one line of it."""
    ear, stderr = os.memfd_create("stderr"), os.dup(2)
    os.dup2(ear, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        said += os.pread(ear, 4096, 0).decode(errors="backslashreplace").splitlines()
        os.close(ear)
        os.close(stderr)
