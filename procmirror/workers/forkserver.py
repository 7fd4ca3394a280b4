"""The process that forks the workers.

It starts before /dev/fuse is open, so that no worker can keep a dead mount alive. It ends with the
daemon, and the workers end with it.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
from typing import NoReturn

from procmirror.identity import own_process
from procmirror.identity.credentials import Credentials
from procmirror.procfs import read_note
from procmirror.procfs.machine import host_name
from procmirror.procfs.roots import ProcRoots
from procmirror.workers import late_modules
from procmirror.workers.children import kept_as_zombies
from procmirror.workers.late_modules import LateParsers, Meanwhile
from procmirror.workers.parser_server import ParserServer
from procmirror.workers.process import Worker
from procmirror.workers.protocol import (
    DONE,
    LOAD_VIEWS,
    MESSAGE_BYTES,
    Reply,
    SpawnRequest,
    decode_spawn_request,
    encode,
    make_room,
)

# The memory in bytes that a worker may take for one view; a view that needs more is refused with
# ENOMEM.
_MEMORY_BYTES = 512 << 20
# The kernel kills this process after workers and parsers, and before the daemon.
_SCORE = own_process.FIRST // 2


def serve(channel: socket.socket, roots: ProcRoots) -> NoReturn:
    """Fork a worker for every SpawnRequest that `channel` brings; end when it is closed.

    LOAD_VIEWS says that the mount is used.
    """
    own_process.close_all_but({0, 1, 2, channel.fileno(), roots.root, roots.own})
    _set_signals()
    own_process.die_with_parent()
    own_process.be_ended_early(roots.own, _SCORE)
    parsers, meanwhile = ParserServer(channel, roots.own), Meanwhile()
    gc.freeze()
    while True:
        if not parsers.wait(meanwhile.seconds):
            meanwhile.step()
            continue
        message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 16)
        if not message:
            os._exit(0)
        if message == LOAD_VIEWS:
            meanwhile.begin()
            continue
        _spawn(channel, roots, parsers, decode_spawn_request(message), descriptors)


def _set_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _spawn(
    channel: socket.socket,
    roots: ProcRoots,
    parsers: ParserServer,
    request: SpawnRequest,
    descriptors: list[int],
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    note = read_note.new()
    with ours, theirs, kept_as_zombies():
        try:
            pid = os.fork()
        except OSError as refused:
            channel.send(encode((request.serial, refused.errno or errno.EAGAIN)))
        else:
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)
                channel.close()
                ours.close()
                _run_worker(theirs, roots, parsers.requests_alone(), request, descriptors, note)
            theirs.close()
            _announce(channel, request.serial, pid, [ours.fileno(), note])
    for descriptor in (note, *descriptors):
        os.close(descriptor)


def _announce(channel: socket.socket, serial: int, pid: int, descriptors: list[int]) -> None:
    """Give the daemon a worker: its socket, its pidfd, and the note of what it reads."""
    own, note = descriptors
    try:
        watch = os.pidfd_open(pid)
        socket.send_fds(channel, [encode((serial, -pid))], [own, watch, note])
        os.close(watch)
    except OSError as lost:
        channel.send(encode((serial, lost.errno or errno.EIO)))


def _run_worker(
    channel: socket.socket,
    roots: ProcRoots,
    spawn_requests: socket.socket,
    request: SpawnRequest,
    descriptors: list[int],
    note: int,
) -> NoReturn:
    try:
        own_process.die_with_parent()
        own_process.be_ended_early(roots.own, own_process.FIRST)
        make_room(channel)
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
        # A write to autogroup is judged by this limit of the process that writes, which is the
        # worker and not the requester.
        resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
        credentials = Credentials()
        # A stream is stamped with the daemon's host name; a worker in another uts namespace has
        # that of a container.
        host = host_name() if "uts" in request.kinds else None
        reads = read_note.written_to(note)
        os.close(note)
        # It finds out its own number while no label keeps it from that.
        worker = Worker(channel, roots, credentials, host, reads, LateParsers(spawn_requests))
        _become(channel, credentials, request, descriptors, roots.own)
        if request.label:
            channel.send(encode(Reply(DONE)))
            worker.be_ended_by_the_kernel()
        worker.serve()
    except OSError as refused:
        _report(channel, refused)
    finally:
        os._exit(0)


def _become(
    channel: socket.socket,
    credentials: Credentials,
    request: SpawnRequest,
    descriptors: list[int],
    own: int,
) -> None:
    """Take on the identity of a requester in other namespaces or under another label, for good.

    The first message says that this begins: from then on the requester can stop this process.
    """
    if descriptors or request.label:
        late_modules.load_all()
        channel.send(encode(Reply(DONE)))
        kinds = dict(zip(request.kinds, descriptors, strict=True))
        credentials.become(request.identity, kinds, request.label, own)
        for descriptor in descriptors:
            os.close(descriptor)


def _report(channel: socket.socket, refused: OSError) -> None:
    """Tell the daemon why a worker ends before its first answer."""
    try:
        channel.send(encode(Reply(refused.errno or errno.EIO, str(refused))))
    except OSError:
        return
