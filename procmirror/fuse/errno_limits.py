"""The errnos that may be sent to the kernel as the answer of a request."""

from __future__ import annotations

import errno

# The first errno that is internal to the kernel (include/linux/errno.h).
_FIRST_INTERNAL = 512


def sendable(code: int) -> int:
    """The errno if it affects this request only, else EIO.

    After ENOSYS the kernel would never send the operation again, and would then allow every
    access(2). It does not accept an errno that user space cannot have, so the requester would wait
    for ever (fuse_dev_do_write, fs/fuse/dev.c).
    """
    if code == errno.ENOSYS or not 0 < code < _FIRST_INTERNAL:
        return errno.EIO
    return code
