"""What the daemon gives up depends on the libfuse that it runs with."""

from __future__ import annotations

import pytest

from procmirror.fuse.hardening import looks_again

MAPPING = b"7f6bf4000000-7f6bf4008000 r--p 00000000 fe:00 5921   /usr/lib/%s\n"


@pytest.mark.parametrize(
    ("library", "again"),
    [
        (b"libfuse3.so.3.14.0", False),
        (b"libfuse3.so.3.16.2", False),
        (b"libfuse3.so.3.17.1", True),
        (b"libfuse3.so.4.1.0", True),
        (b"pyfuse3/_pyfuse3.so", True),
    ],
)
def test_only_an_older_libfuse_may_have_a_pipe(library: bytes, again: bool) -> None:
    assert looks_again(MAPPING % b"libc.so.6" + MAPPING % library) is again
