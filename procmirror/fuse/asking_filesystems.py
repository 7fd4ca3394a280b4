"""Whether the kernel knows file systems that ask their server at a mere look at a file."""

from __future__ import annotations

import time
from contextlib import suppress

from procmirror.identity.files import read_file

_ASKING = frozenset(
    (
        # They ask even for a link that nobody follows, and for a root (d_weak_revalidate).
        *(b"9p", b"nfs", b"nfs4"),
        # They ask also where statx(2) is told to be content with what is known, or wait for a lock
        # that all machines share (cifs_getattr, coda_getattr, gfs2_getattr, ocfs2_getattr,
        # orangefs_getattr).
        *(b"cifs", b"smb3", b"coda", b"gfs2", b"gfs2meta", b"ocfs2", b"pvfs2"),
        # Of these no source is in the kernel's.
        *(b"beegfs", b"gpfs", b"lustre"),
    )
)
# For so many seconds it is known whether the kernel has any of them.
_KNOWN_SECONDS = 1.0


class AskingFilesystems:
    """Looks into the list of file systems; `source` is a descriptor of the procfs."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._known_until = 0.0
        self._asks = True

    def asks(self) -> bool:
        """Whether a look at a file may have to wait for the server of its file system."""
        now = time.monotonic()
        if now > self._known_until:
            self._known_until = now + _KNOWN_SECONDS
            with suppress(OSError):
                known = read_file(self._source, b"filesystems").split()
                self._asks = not _ASKING.isdisjoint(known)
        return self._asks
