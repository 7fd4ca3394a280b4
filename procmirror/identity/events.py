"""Opening a performance event of a thread with the rights of a requester.

The kernel asks for CAP_PERFMON or CAP_SYS_ADMIN, else whether the real ids may read the thread as a
debugger may (perf_check_permission in kernel/events/core.c). The real user id of a process that
acts as others is root's. So a child that is the requester in all ids, without a right of this
process, opens the event and passes it on.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from procmirror.identity import file_calls, own_process, thread_calls
from procmirror.identity.credentials import Credentials, take_on
from procmirror.identity.identity import CAP_KILL, CAP_PERFMON, CAP_SYS_ADMIN, Identity

# The requester may stop the child, which has the same ids.
_SECONDS = 0.5


def perf_event(credentials: Credentials, identity: Identity, attributes: bytes, tid: int) -> int:
    """A descriptor of a performance event of a thread (perf_event_open(2)), for a requester.

    The calling thread acts as `identity`. `attributes` is a struct perf_event_attr, `tid` the
    number of the thread in this process's PID namespace. OSError as the kernel's; OSError(EAGAIN)
    if the child does not answer, or cannot be made because this process has other threads.
    """
    if not credentials.privileged or identity.capabilities & (CAP_PERFMON | CAP_SYS_ADMIN):
        return file_calls.perf_event_open(attributes, tid)
    if threading.active_count() > 1:
        raise OSError(errno.EAGAIN, "other threads are at work")
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there, _reaped_by_hand():
        child = os.fork()
        if child == 0:
            _open_in_child(credentials, identity, attributes, tid, there)
        try:
            there.close()
            return _received(here)
        finally:
            _end(child)


@contextmanager
def _reaped_by_hand() -> Iterator[None]:
    """A scope in which an ended child keeps its number until it is waited for."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _received(here: socket.socket) -> int:
    """The descriptor that the child sends, or its errno."""
    if not select.select([here], [], [], _SECONDS)[0]:
        raise OSError(errno.EAGAIN, "the child does not answer")
    message, descriptors, _, _ = socket.recv_fds(here, 4, 1)
    if descriptors:
        return descriptors[0]
    code = int.from_bytes(message, "little") or errno.EIO
    raise OSError(code, os.strerror(code))


def _end(child: int) -> None:
    """Kill the child, which may be stopped, and wait for its end."""
    effective, permitted, _ = thread_calls.capget()
    thread_calls.capset(effective | CAP_KILL, permitted)
    try:
        os.kill(child, signal.SIGKILL)
    finally:
        thread_calls.capset(effective, permitted)
    os.waitpid(child, 0)


def _open_in_child(
    credentials: Credentials, identity: Identity, attributes: bytes, tid: int, there: socket.socket
) -> None:
    """Be the requester, open the event, send it or the errno; never returns."""
    try:
        own_process.die_with_parent()
        credentials.restore(identity)
        take_on(identity)
        own_process.forbid_dumps()
        thread_calls.capset(identity.capabilities, identity.capabilities)
        own_process.die_with_parent()
        socket.send_fds(there, [bytes(4)], [file_calls.perf_event_open(attributes, tid)])
    except OSError as refused:
        there.send((refused.errno or errno.EIO).to_bytes(4, "little"))
    finally:
        os._exit(0)
