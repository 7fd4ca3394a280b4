"""The user ids of a process, which the kernel tells without holding its memory.

Source: PIDFD_GET_INFO in include/uapi/linux/pidfd.h and fs/pidfs.c, since Linux 6.13.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_MASK_CREDS = 1 << 1
# struct pidfd_info of 64 bytes: a mask, the cgroup, the numbers of process, group and parent, the
# ids of user and group in turn, the exit code.
_SIZE, _MASK = 64, struct.Struct("=Q")
_UIDS, _UIDS_AT = struct.Struct("=I4xI4xI4xI"), 28
_GET_INFO = 3 << 30 | _SIZE << 16 | 0xFF << 8 | 11
_ASKED = _MASK.pack(_MASK_CREDS).ljust(_SIZE, b"\0")
# What kernels without it answer.
NOT_TOLD = frozenset((errno.ENOTTY, errno.EINVAL, errno.ENOSYS))


def user_ids(pid: int) -> tuple[int, ...]:
    """Real, effective, saved and file-system user id of a process of this pid namespace.

    In the numbers of this user namespace; what that does not map is 65534 there. OSError as the
    kernel raises it: ESRCH or EINVAL if there is no such process, one of NOT_TOLD on older kernels.
    """
    process = os.pidfd_open(pid)
    info = bytearray(_ASKED)
    try:
        fcntl.ioctl(process, _GET_INFO, info)
    finally:
        os.close(process)
    if not _MASK.unpack_from(info)[0] & _MASK_CREDS:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return _UIDS.unpack_from(info, _UIDS_AT)
