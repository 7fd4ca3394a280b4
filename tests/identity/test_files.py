"""Whole files of procfs: as many pieces as the kernel makes of them, up to a limit."""

from __future__ import annotations

import errno
import os

import pytest

from procmirror.identity.files import PIECE, read_to_end


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What read(2) gives, piece by piece, and nothing from then on."""
    given: list[bytes] = []
    monkeypatch.setattr(os, "read", lambda *_: given.pop(0) if given else b"")
    return given


@pytest.mark.parametrize("sizes", [(), (5,), (4064, 2591), (PIECE, 7), (PIECE, PIECE)])
def test_only_an_empty_piece_is_the_end(pieces: list[bytes], sizes: tuple[int, ...]) -> None:
    pieces += [bytes(size) for size in sizes]
    assert len(read_to_end(-1)) == sum(sizes)


def test_a_file_beyond_the_limit_is_refused(pieces: list[bytes]) -> None:
    pieces += [bytes(4000)] * 3
    with pytest.raises(OSError, match="large") as refused:
        read_to_end(-1, 8_000)
    assert refused.value.errno == errno.EFBIG
