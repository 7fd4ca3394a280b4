"""A reader of a growing content gets what is there, waits for what is not, and hears of a failure."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from procmirror.identity.errors import error
from procmirror.workers.stream import Stream
from tests.workers.fakes import run


def growing(data: bytes, size: int) -> Stream:
    descriptor = os.memfd_create("test")
    os.write(descriptor, data)
    return Stream(descriptor, size)


def test_only_what_has_been_told_of_is_read() -> None:
    async def test() -> None:
        stream = growing(b"0123456789", 4)
        assert stream.read(0, 10) == b"0123"
        assert stream.read(4, 10) == b""
        assert not stream.has(0, 5)
        stream.grow(10)
        assert stream.has(0, 10)
        assert stream.read(2, 5) == b"23456"
        os.close(stream.descriptor)

    run(test)


def test_a_reader_waits_until_there_is_enough_or_no_more_to_come() -> None:
    async def test() -> None:
        stream = growing(b"0123456789", 0)
        times: list[float] = []

        async def read(size: int) -> None:
            await stream.wait_for(0, size)
            times.append(trio.current_time() - began)

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for size in (3, 8, 100):
                nursery.start_soon(read, size)
            await trio.sleep(1)
            stream.grow(5)
            await trio.sleep(1)
            stream.grow(10)
            await trio.sleep(1)
            stream.end(failed=False)
        assert times == [pytest.approx(1), pytest.approx(2), pytest.approx(3)]
        assert stream.read(10, 10) == b""
        os.close(stream.descriptor)

    run(test)


def test_what_was_never_finished_ends_with_an_error_and_not_before() -> None:
    async def test() -> None:
        stream = growing(b"01234", 5)
        stream.end(failed=True)
        assert stream.read(0, 100) == b"01234"
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            stream.read(5, 100)
        os.close(stream.descriptor)

    run(test)


def test_growth_is_charged_until_nobody_wants_it() -> None:
    async def test() -> None:
        stream = growing(b"", 10)
        charged: list[int] = []
        stream.charge = charged.append
        stream.grow(15)
        stream.grow(40)
        stream.abandon()
        assert stream.scope.cancel_called
        stream.grow(50)
        assert charged == [5, 25]
        os.close(stream.descriptor)

    run(test)


def test_what_is_not_charged_is_not_there() -> None:
    async def test() -> None:
        stream = growing(b"0123456789", 5)

        def refuse(_: int) -> None:
            raise error(errno.ENFILE)

        stream.charge = refuse
        with pytest.raises(OSError, match=os.strerror(errno.ENFILE)):
            stream.grow(10)
        assert stream.read(0, 10) == b"01234"
        os.close(stream.descriptor)

    run(test)
