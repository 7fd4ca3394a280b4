"""Every message is decoded to what was encoded."""

from __future__ import annotations

import os
import socket
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procmirror.identity.identity import Identity
from procmirror.workers import operations
from procmirror.workers.file_operations import Write
from procmirror.workers.operation import Operation, Viewer
from procmirror.workers.operations import AnyOperation
from procmirror.workers.protocol import (
    MESSAGE_BYTES,
    Reply,
    Request,
    SpawnRequest,
    decode_reply,
    decode_request,
    decode_spawn_request,
    encode,
    make_room,
    message_room,
)

IDS = st.integers(-1, (1 << 32) - 1)
IDENTITIES = st.builds(
    Identity, IDS, IDS, st.lists(IDS).map(tuple), st.integers(0, (1 << 41) - 1), IDS, IDS
)
VIEWERS = st.builds(Viewer, st.none() | st.binary(), named=st.booleans())
st.register_type_strategy(Viewer, VIEWERS)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
st.register_type_strategy(int, INT64)
KINDS = get_args(AnyOperation)
REQUESTS = st.builds(
    Request,
    st.one_of([st.from_type(kind) for kind in KINDS]),
    IDENTITIES,
    st.integers(0, (1 << 41) - 1),
    st.binary(),
    st.dictionaries(st.sampled_from(["user", "net"]), st.text()),
)


@given(REQUESTS)
def test_a_request_comes_through_as_it_is(request: Request) -> None:
    decoded = decode_request(encode(request))
    assert decoded == request
    assert type(decoded.operation) is type(request.operation)
    assert type(decoded.identity) is Identity


@given(st.builds(Reply, INT64, st.none() | st.binary() | st.lists(INT64), st.booleans()))
def test_a_reply_comes_through_as_it_is(reply: Reply) -> None:
    assert decode_reply(encode(reply)) == reply


@given(st.builds(SpawnRequest, INT64, IDENTITIES, st.lists(st.text()).map(tuple)))
def test_a_spawn_request_comes_through_as_it_is(request: SpawnRequest) -> None:
    assert decode_spawn_request(encode(request)) == request


@given(st.binary())
def test_what_is_no_message_is_refused(garbage: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_request(b"\xc1" + garbage)


def test_workers_know_every_operation() -> None:
    defined = {
        each
        for each in vars(operations).values()
        if isinstance(each, type) and issubclass(each, Operation) and each is not Operation
    }
    assert defined == set(KINDS)


def test_the_largest_requests_fit_into_a_message() -> None:
    identity = Identity(1, 1, tuple(range((1 << 32) - 65536, 1 << 32)), 0)
    request = Request(Write(0, 96 << 10, b"x" * (96 << 10)), identity)
    message = encode(request)
    assert len(message) <= MESSAGE_BYTES
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        make_room(near)
        # Without CAP_NET_ADMIN the system's limit may be lower.
        if near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 4 * MESSAGE_BYTES:
            near.send(message, socket.MSG_DONTWAIT)
            assert decode_request(far.recv(MESSAGE_BYTES)) == request


def test_the_room_for_messages_is_of_one_process_alone() -> None:
    room = message_room()
    assert len(room) == MESSAGE_BYTES
    child = os.fork()
    if child == 0:
        room[0] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert room[0] == 0
