"""Requesters with all rights of this process, which are known again by less than their status.

The kernel takes microseconds to print a status. What a thread has given up since shows elsewhere:
its capabilities are a system call, its ids for files are in the header of each request, and its
user namespace is a link. Groups do not show. They can be changed only with CAP_SETGID, and a
thread that has kept that capability can take them back.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from procmirror.identity import thread_calls
from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import Identity
from procmirror.identity.thread_files import ThreadFiles

# For so many seconds a status counts as read.
_SECONDS = 0.1


class _Known(NamedTuple):
    """A header, the identity behind it, and until when it is known."""

    uid: int
    gid: int
    identity: Identity
    until: float


class SameRights:
    """The threads with all rights of this process; `user` is the link of the user namespace."""

    def __init__(self, files: ThreadFiles, credentials: Credentials, user: bytes) -> None:
        self._files = files
        self._credentials = credentials
        self._user = user
        self._known: dict[int, _Known] = {}

    def remember(self, tid: int, uid: int, gid: int, identity: Identity) -> None:
        """Note what the status of a thread in the user namespace of this process has said."""
        if self._credentials.equals(identity) and self._files.directory(tid) >= 0:
            self._known[tid] = _Known(uid, gid, identity, time.monotonic() + _SECONDS)

    def has_still(self, tid: int, uid: int, gid: int) -> bool:
        """Whether a thread is the one that was remembered, and has all its rights.

        A thread that makes a request with this header.
        """
        known = self._known.get(tid)
        if known is None or (known.uid, known.gid) != (uid, gid) or known.until < time.monotonic():
            return False
        capabilities = known.identity.capabilities
        try:
            # By this descriptor the link is found of no later thread with the same number.
            user = os.readlink(b"ns/user", dir_fd=self._files.directory(tid))
            return user == self._user and thread_calls.capabilities_of(tid) == (
                capabilities,
                capabilities,
            )
        except OSError:
            return False

    def forget(self, tid: int) -> None:
        """Forget a thread."""
        self._known.pop(tid, None)
