"""Only errnos that end one request, and that user space knows, are sent."""

from __future__ import annotations

import errno

import pytest

from procmirror.fuse.errno_limits import sendable


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ESTALE, errno.ENOMEM, 133, 511])
def test_what_the_kernel_says_goes_on(code: int) -> None:
    assert sendable(code) == code


@pytest.mark.parametrize("code", [errno.ENOSYS, 512, 524, 4095, 0, -1, -errno.EACCES])
def test_what_would_do_more_than_end_this_request_is_an_input_output_error(code: int) -> None:
    """512 is ERESTARTSYS, 524 ENOTSUPP (include/linux/errno.h)."""
    assert sendable(code) == errno.EIO
