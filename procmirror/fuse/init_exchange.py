"""INIT, the first request of the kernel: several LOOKUPs and READDIRs at once in one directory.

Source: include/uapi/linux/fuse.h; fuse_lock_inode (fs/fuse/inode.c).

Without FUSE_PARALLEL_DIROPS the kernel lets one thread at a time look up a name in a directory,
until that thread runs again, so that a listing of the root waits for many threads that wait for a
processor. libfuse says that it asks for this, and does not before 3.17 (libfuse pull request 861).
So libfuse reads INIT from a socket, and its answer goes to the kernel with that bit.
"""

from __future__ import annotations

import os
import socket
import struct

_PARALLEL_DIROPS = 1 << 18
_REQUEST_BYTES = 1 << 20
# Of struct fuse_init_in behind fuse_in_header, and of fuse_init_out behind fuse_out_header.
_ASKED, _ANSWERED = 40 + 12, 16 + 12


class InitExchange:
    """The time from INIT to its answer, in which `descriptor` is a socket instead of the device.

    OSError where INIT cannot be read.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._device = os.dup(descriptor)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._request = os.read(self._device, _REQUEST_BYTES)
                self._ours.send(self._request)
                os.dup2(theirs.fileno(), descriptor, inheritable=False)
            except OSError:
                self._close()
                raise

    def finish(self) -> None:
        """Send the answer that has been written to the socket, and have the device back."""
        try:
            answer = bytearray(self._ours.recv(_REQUEST_BYTES, socket.MSG_DONTWAIT))
            if len(answer) >= _ANSWERED + 4 and _flags(self._request, _ASKED) & _PARALLEL_DIROPS:
                flags = _flags(answer, _ANSWERED) | _PARALLEL_DIROPS
                struct.pack_into("=I", answer, _ANSWERED, flags)
            os.write(self._device, answer)
        finally:
            os.dup2(self._device, self._descriptor, inheritable=False)
            self._close()

    def _close(self) -> None:
        os.close(self._device)
        self._ours.close()


def _flags(message: bytes | bytearray, at: int) -> int:
    return int(struct.unpack_from("=I", message, at)[0]) if len(message) >= at + 4 else 0
