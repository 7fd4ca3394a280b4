"""Where a connect(2) that waits leads, and which socket listens there.

A UNIX stream socket waits while the queue of its listener is full, a TCP one until it is answered.

Source: the address that the call was given, net/tcp and net/tcp6, unix_diag; connect(2), unix(7).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

from procmirror.decoding.proc_files import socket_inode
from procmirror.stack.arguments import int32, socket_address
from procmirror.stack.caller import Caller
from procmirror.stack.syscalls import SystemCall
from procmirror.stack.target import Target, UnixListener

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")
PHRASE = "the peer of a socket to answer or make room"
_AF_UNIX = (1).to_bytes(2, "little")
_MOST = 128  # bytes of an address: struct sockaddr_storage
_SECONDS = 0.02  # to follow a path, which is in the kernel's cache


def _unescaped(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), text)


class Listeners:
    """The sockets that the processes of one request connect to.

    `namespace` is the requester's network namespace.
    """

    def __init__(self, target: Target, caller: Caller, namespace: str) -> None:
        self._target, self._caller, self._namespace = target, caller, namespace

    def of(self, call: SystemCall) -> tuple[str | None, int | None]:
        """The address of a connect(2), and the inode of the one socket that listens there.

        None for what is not known.
        """
        given = {one.name: one for one in call.arguments}
        if not {"fd", "uservaddr", "addrlen"} <= given.keys():
            return None, None
        address, size = (int(given[name].value, 16) for name in ("uservaddr", "addrlen"))
        with suppress(OSError):
            raw = self._target.part("mem", address, min(size & 0xFFFFFFFF, _MOST))
            # The program may have written something else there meanwhile.
            if (text := socket_address(raw)) == given["uservaddr"].text and text:
                return text, self._listening(raw, int32(int(given["fd"].value, 16)))
        return None, None

    def _listening(self, raw: bytes, number: int) -> int | None:
        with suppress(OSError):
            if raw[:2] == _AF_UNIX:
                return self._unix(raw[2:])
            inode = socket_inode(self._target.link(f"fd/{number}"))
            return None if inode is None else self._caller.sockets.listener(inode)
        return None

    def _unix(self, name: bytes) -> int | None:
        """The socket by an abstract name, or by the file that a path leads to."""
        if name[:1] == b"\0":
            found = [one.socket for one in self._all if one.name == name]
        else:
            files = {one.file for one in self._all if one.file}
            deadline = self._target.clock() + _SECONDS
            led = self._target.paths_of(files, self._absolute(name), deadline)
            found = [one.socket for one in self._all if one.file in led]
        return found[0] if len(found) == 1 else None

    def _absolute(self, name: bytes) -> list[bytes]:
        r"""A path from the root of the process, to which its working directory is told otherwise.

        In the text of that directory a byte that is not UTF-8 is `\\xHH`, and so may be four
        characters of its name: then there are two paths.
        """
        path = name.partition(b"\0")[0]
        if path.startswith(b"/") or self._target.link("root") != "/":
            return [path]
        directory = self._target.link("cwd").encode()
        return [one + b"/" + path for one in dict.fromkeys((_unescaped(directory), directory))]

    @cached_property
    def _all(self) -> Sequence[UnixListener]:
        return self._target.unix_listeners(self._namespace)
