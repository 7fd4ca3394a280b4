"""A content is whole however it is cut, bounded, and told of while it grows."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procmirror.identity.errors import error
from procmirror.workers.spool import INLINE_BYTES, Spool, spool_or_bytes


def content(spool: Spool) -> bytes:
    with open(spool.number, "rb") as file:
        file.seek(0)
        return file.read()


@given(st.lists(st.binary(max_size=200), max_size=50), st.integers(0, 30))
def test_what_is_added_is_there_in_order(pieces: list[bytes], cut: int) -> None:
    spool = Spool(1 << 20)
    spool.add(pieces[:cut])
    spool.add(pieces[cut:])
    assert spool.size == len(b"".join(pieces))
    assert content(spool) == b"".join(pieces)


def test_more_pieces_than_writev_takes_are_written() -> None:
    pieces = [b"%d " % number for number in range(5000)]
    spool = Spool(1 << 20)
    spool.add(pieces)
    assert content(spool) == b"".join(pieces)


def test_a_short_write_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    def short_writev(descriptor: int, pieces: Sequence[bytes]) -> int:
        return os.write(descriptor, b"".join(pieces)[:7])

    write = os.write

    def short_write(descriptor: int, data: bytes) -> int:
        return write(descriptor, bytes(data[:3]))

    monkeypatch.setattr("procmirror.workers.spool.os.writev", short_writev)
    spool = Spool(1 << 10)
    with monkeypatch.context() as patch:
        patch.setattr("procmirror.workers.spool.os.write", short_write)
        spool.add([b"a long", b" piece", b" of text"])
    assert content(spool) == b"a long piece of text"


def test_a_spool_may_be_full_but_not_fuller() -> None:
    spool = Spool(10)
    spool.add([b"12345", b"67890"])
    with pytest.raises(OSError, match=os.strerror(errno.ENFILE)):
        spool.add([b"1"])
    assert content(spool) == b"1234567890"


@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES])
def test_a_short_content_is_bytes(size: int) -> None:
    assert spool_or_bytes(iter([b"x" * size]), 0) == b"x" * size


def test_a_long_content_is_spooled_whole() -> None:
    pieces = [b"%d" % number * 100 for number in range(1000)]
    made = spool_or_bytes(iter(pieces), 1 << 20)
    assert isinstance(made, Spool)
    assert content(made) == b"".join(pieces)


def test_growth_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("procmirror.workers.spool.time.monotonic", lambda: now[0])
    told: list[int] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(10):
            now[0] += 0.015
            yield b"x" * (INLINE_BYTES + 1)

    made = spool_or_bytes(pieces(), 1 << 24, lambda spool: told.append(spool.size))
    assert isinstance(made, Spool)
    assert told == [2 * at * (INLINE_BYTES + 1) for at in range(1, 6)]
    os.close(made.number)


@pytest.mark.parametrize(("space", "code"), [(INLINE_BYTES, errno.ENFILE), (1 << 24, errno.ESRCH)])
def test_what_fails_leaves_no_descriptor(space: int, code: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * (INLINE_BYTES + 1)
        raise error(errno.ESRCH)

    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=os.strerror(code)):
        spool_or_bytes(pieces(), space)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
