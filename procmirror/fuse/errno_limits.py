"""Which errno may go to the kernel as the answer of a request."""

from __future__ import annotations

import errno

# The first errno that is the kernel's own and none for user space (include/linux/errno.h).
_FIRST_INTERNAL = 512


def sendable(code: int) -> int:
    """An errno that costs this request and nothing else; EIO instead of any other.

    With ENOSYS the kernel would never ask for the operation again, and of access(2) then allow
    everything. What is no errno for user space it does not take, so that the requester would wait
    for ever (fuse_dev_do_write, fs/fuse/dev.c).
    """
    if code == errno.ENOSYS or not 0 < code < _FIRST_INTERNAL:
        return errno.EIO
    return code
