"""Whether a requester may be told the names of accounts that this process reads.

They are of /etc/passwd and /etc/group here. A requester with another root directory or mount
namespace has perhaps other files there, in which the same numbers have other names or none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from procmirror.identity import file_calls
from procmirror.identity.namespaces import Namespaces
from procmirror.identity.requester import Requester

_FILES = (b"etc/passwd", b"etc/group")
# For so many seconds a thread with the root directory and the mount namespace of this process is
# not asked about again, as it could read the files here itself a moment ago. Of so many threads.
_KNOWN_SECONDS, _MOST_KNOWN = 0.01, 256
_ALONG = file_calls.RESOLVE_IN_ROOT | file_calls.RESOLVE_NO_MAGICLINKS | file_calls.RESOLVE_CACHED


class AccountNames:
    """Compares a requester's own files of names with those here; `proc` names threads as FUSE does.

    Only what the kernel has in its cache is looked at: else a file system would be asked that the
    requester may serve. The daemon's own files are in the cache, as they are read every now and
    then, so a requester that has the same files finds them there. With `asks()` some file systems
    of this machine ask their server for a root directory all the same; then the files of another
    root directory are not looked at.
    """

    def __init__(self, proc: int, namespaces: Namespaces, asks: Callable[[], bool]) -> None:
        self._proc = proc
        self._namespaces = namespaces
        self._asks = asks
        self._root = os.readlink(b"self/root", dir_fd=proc)
        # Until when a thread counts as one that could read the files here, if it is the same.
        self._known: dict[int, tuple[Requester, float]] = {}

    def are_of(self, requester: Requester) -> bool:
        """Whether a requester's files of names are those here."""
        if requester.foreign:
            return False
        known = self._known.get(requester.tid)
        if known and known[0] is requester and known[1] > time.monotonic():
            return True
        try:
            if self._is_here(requester.tid):
                self._could_read(requester)
                return True
            if self._asks():
                return False
            return self._files(b"%d/root" % requester.tid) == self._files(b"self/root")
        except OSError:
            return False

    def _is_here(self, tid: int) -> bool:
        """Whether a thread has the root directory and the mount namespace of this process."""
        root = os.readlink(b"%d/root" % tid, dir_fd=self._proc)
        return root == self._root and self._namespaces.shares(tid, "mnt")

    def _could_read(self, requester: Requester) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[requester.tid] = requester, time.monotonic() + _KNOWN_SECONDS

    def _files(self, root: bytes) -> list[tuple[str, int]]:
        """Device and inode of the files below a root directory; OSError if one is not cached."""
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return [_cached(directory, path) for path in _FILES]
        finally:
            os.close(directory)


def _cached(directory: int, path: bytes) -> tuple[str, int]:
    descriptor = file_calls.open_resolved(directory, path, os.O_PATH, _ALONG)
    try:
        _, device, inode = file_calls.object_of(descriptor)
        return device, inode
    finally:
        os.close(descriptor)
