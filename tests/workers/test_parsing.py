"""The limit of an exchange with a parser is one for all of it, however it is cut into pieces."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from procmirror.workers.parsing import Channel
from tests.harness import load


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far.settimeout(10 * load())
    with near, far:
        yield Channel(near), far


def test_one_that_takes_a_piece_now_and_then_is_not_sent_to_for_longer(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, far = ends
    stop = threading.Event()

    def take_slowly() -> None:
        while not stop.wait(0.05):
            far.recv(1 << 18)

    taking = threading.Thread(target=take_slowly)
    taking.start()
    try:
        channel.limit(0.3)
        began = time.monotonic()
        with pytest.raises(OSError, match=r"timed out|temporarily"):
            channel.send(b"x" * (8 << 20))
        assert time.monotonic() - began < 2 * load()
    finally:
        stop.set()
        far.close()
        taking.join()


def test_one_that_sends_a_piece_now_and_then_is_not_listened_to_for_longer(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, far = ends
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            far.send(b"\1")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        channel.limit(0.3)
        began = time.monotonic()
        with pytest.raises(OSError, match=r"timed out|temporarily"):
            channel.receive()
        assert time.monotonic() - began < 2 * load()
    finally:
        stop.set()
        dripping.join()
