"""INIT: the kernel is asked for several LOOKUPs at once in a directory, whatever libfuse asks for."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from procmirror.fuse.init_exchange import InitExchange

# include/uapi/linux/fuse.h
_INIT, _MAJOR, _MINOR = 26, 7, 31
_ASYNC_READ, _PARALLEL_DIROPS = 1 << 0, 1 << 18


@pytest.fixture
def device() -> Iterator[tuple[socket.socket, int]]:
    """The kernel's end of a device, and the descriptor of the other one."""
    kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kernel.settimeout(5)
    with kernel:
        number = device.detach()
        yield kernel, number
        with suppress(OSError):
            os.close(number)


def asked(flags: int) -> bytes:
    """INIT of a kernel."""
    body = struct.pack("=IIII", _MAJOR, _MINOR, 1 << 17, flags)
    return struct.pack("=IIQQIIII", 40 + len(body), _INIT, 1, 0, 0, 0, 0, 0) + body


def answered(flags: int) -> bytes:
    """The answer of libfuse."""
    body = struct.pack(
        "=IIIIHHIIHHIII", _MAJOR, _MINOR, 1 << 17, flags, 12, 9, 4096, 1, 0, 0, 0, 0, 0
    )
    return struct.pack("=IiQ", 16 + len(body), 0, 1) + body


@pytest.mark.parametrize(
    ("offered", "expected"),
    [(_ASYNC_READ | _PARALLEL_DIROPS, _ASYNC_READ | _PARALLEL_DIROPS), (_ASYNC_READ, _ASYNC_READ)],
)
def test_the_bit_is_in_the_answer_where_the_kernel_knows_it(
    device: tuple[socket.socket, int], offered: int, expected: int
) -> None:
    kernel, number = device
    kernel.send(asked(offered))
    exchange = InitExchange(number)
    assert os.read(number, 1 << 17) == asked(offered)
    os.write(number, answered(_ASYNC_READ))
    exchange.finish()
    assert kernel.recv(1 << 17) == answered(expected)
    # From then on it is the device again.
    kernel.send(b"next")
    assert os.read(number, 1 << 17) == b"next"
    os.write(number, b"answer")
    assert kernel.recv(1 << 17) == b"answer"
    assert not os.get_inheritable(number)


def test_an_error_is_passed_on_as_it_is(device: tuple[socket.socket, int]) -> None:
    kernel, number = device
    kernel.send(asked(_PARALLEL_DIROPS))
    exchange = InitExchange(number)
    refused = struct.pack("=IiQ", 16, -71, 1)
    os.write(number, refused)
    exchange.finish()
    assert kernel.recv(1 << 17) == refused


def test_without_an_answer_the_device_is_back(device: tuple[socket.socket, int]) -> None:
    kernel, number = device
    kernel.send(asked(_PARALLEL_DIROPS))
    exchange = InitExchange(number)
    with pytest.raises(BlockingIOError):
        exchange.finish()
    kernel.send(b"next")
    assert os.read(number, 1 << 17) == b"next"
