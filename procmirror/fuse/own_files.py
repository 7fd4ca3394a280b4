"""The mirror's own files in its root: README.txt for everybody, and the daemon's state for root.

They belong to no procfs and to no view. `.procmirror.json` is listed nowhere, so that who walks
through the mirror does not meet it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pyfuse3

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.quota import Charge, Quota
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester
from procmirror.mirror.settings import is_hidden, suffixes
from procmirror.procfs.proc import Attributes

STATUS = b".procmirror.json"
# Numbers of inodes that no socket gets (link_targets.py) and no node.
README_NUMBER, STATUS_NUMBER = 2, 3
_README = b"""\
This directory is a mirror of /proc made by procmirror. Every file of /proc is
here as it is, and beside it stand decoded views:

  NAME.txt    for people            cat self/status.txt
  NAME.json   for programs          jq .VmRSS self/status.json

Some views are made of many files:

  machine.txt      the machine on a page
  processes.txt    all processes
  sockets.txt      who listens where
  waits.txt        who waits for whom
  PID/process.txt  a process on a page
  PID/stack.txt    what a process waits for

The directories by-name, by-user, by-exe, by-file, by-cgroup, by-port and
by-parent contain the processes by that property. The kernel decides every
access with your own rights: what /proc refuses you, this refuses too.

  procmirror --list-views         all views
  procmirror --explain PID/stat   fields and units of one
  man procmirror                  the manual page
"""


class _OwnFile(NamedTuple):
    """One file: its number, mode and content."""

    number: int
    mode: int
    content: Callable[[], bytes]


class OwnContent:
    """An open file of these, with its content as it was at OPEN, and what the opener is charged."""

    __slots__ = ("_content", "charge")

    def __init__(self, content: bytes, charge: Charge) -> None:
        self._content = content
        self.charge = charge

    async def read(self, offset: int, size: int) -> bytes:
        """A slice of it."""
        return self._content[offset : offset + size]

    def close(self) -> None:
        """Refund the account."""
        self.charge.refund()


class OwnFiles:
    """The files by name. `status` makes the content of the daemon's state, a JSON object.

    An account may hold as many of them open as other files, though they need no descriptor: each
    takes memory, and the kernel tells of each that it was closed.
    """

    def __init__(self, status: Callable[[], bytes], quota: Quota, dispatch: Dispatch) -> None:
        self._quota = quota
        self._dispatch = dispatch
        self._files: dict[bytes, _OwnFile] = {
            STATUS: _OwnFile(STATUS_NUMBER, 0o400, status),
        }
        if suffixes() and not is_hidden("README.txt"):
            self._files[b"README.txt"] = _OwnFile(README_NUMBER, 0o444, lambda: _README)
        self._by_number: Mapping[int, _OwnFile] = {
            file.number: file for file in self._files.values()
        }

    def __contains__(self, number: object) -> bool:
        return number in self._by_number

    def name(self, number: int) -> bytes | None:
        """The name of the file of a number, None if it is none of these."""
        return next((name for name, file in self._files.items() if file.number == number), None)

    def entry(self, name: bytes) -> pyfuse3.EntryAttributes | None:
        """What LOOKUP in the root answers to a name, None if it is of none of these."""
        file = self._files.get(name)
        return self.attributes(file.number) if file else None

    def attributes(self, number: int) -> pyfuse3.EntryAttributes:
        """The attributes, which the kernel may not keep."""
        file = self._by_number[number]
        found = Attributes(stat.S_IFREG | file.mode, number, 1, os.geteuid(), os.getegid(), *_REST)
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.st_mode, entry.st_nlink = number, found.mode, 1
        entry.st_uid, entry.st_gid = found.uid, found.gid
        entry.entry_timeout = entry.attr_timeout = 0
        return entry

    def listed(self) -> Iterator[tuple[bytes, pyfuse3.EntryAttributes]]:
        """The names that are listed."""
        for name, file in self._files.items():
            if name != STATUS:
                yield name, self.attributes(file.number)

    def check(self, number: int, mode: int, requester: Requester) -> None:
        """ACCESS as access(2) has it: EROFS, or EACCES for what the requester may not do."""
        if mode & os.W_OK:
            raise error(errno.EROFS)
        if mode & os.X_OK or (mode & os.R_OK and not self._is_readable(number, requester)):
            raise error(errno.EACCES)

    def open(self, number: int, requester: Requester) -> OwnContent:
        """Open one for reading; EACCES where only the user of the daemon may.

        ENFILE where the account has too many files open.
        """
        if not self._is_readable(number, requester):
            raise error(errno.EACCES)
        content, account = self._by_number[number].content(), self._dispatch.account_of(requester)
        self._quota.charge(account, 1, 0)
        return OwnContent(content, Charge(self._quota, account, 1))

    def _is_readable(self, number: int, requester: Requester) -> bool:
        if self._by_number[number].mode & stat.S_IROTH:
            return True
        same = requester.identity.effective[0] == os.geteuid()
        return same and not self._dispatch.refusals.is_bound(requester)


# Size, blocks, size of a good read, and times of an own file, which are told as 0.
_REST = (0, 0, 1 << 17, 0, 0, 0)
