"""The files of /proc that tell of requesters: `status` and `syscall`, kept open for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from procmirror.identity.files import PIECE, READ, read_to_end
from procmirror.identity.namespaces import account_of_namespace
from procmirror.identity.system_call import Call, open_call, read_call

# The number of threads whose files are kept open for further requests: opening one takes a third of
# the time of reading it.
_KEPT = 16
# If a requester had too many groups, other requesters of its account are refused for so many
# seconds: the kernel takes milliseconds to print them.
_REFUSED_SECONDS = 1.0


class ThreadFiles:
    """The two files of each of the last threads; `gone(tid)` is called when they are closed."""

    def __init__(self, proc: int, gone: Callable[[int], object]) -> None:
        self._proc = proc
        self._gone = gone
        self._statuses: dict[int, int] = {}
        self._calls: dict[int, int] = {}
        self._directories: dict[int, int] = {}
        # Owners of user namespaces whose requesters have too many groups, and since when.
        self._refused: dict[int, float] = {}

    def keeps(self, tid: int) -> bool:
        """Whether the status of a thread is open, which tells whether it is still the same."""
        return tid in self._statuses

    def directory(self, tid: int) -> int:
        """The directory of the thread whose status is open; -1 where none is, or it has ended.

        Nothing is found below it any more once the thread has ended. OSError as the kernel's.
        """
        known = self._directories.get(tid, -1)
        if known >= 0 or not self.keeps(tid):
            return known
        opened = os.open(b"%d" % tid, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            # The number may be another thread's by now; then the status answers no more.
            os.pread(self._statuses[tid], 1, 0)
        except OSError:
            os.close(opened)
            return -1
        self._directories[tid] = opened
        return opened

    def status(self, tid: int, *, whole: bool) -> bytes:
        """The status of a thread, by a descriptor that stays open for the next request.

        The descriptor answers ESRCH for ever once the thread has ended. Unless `whole`, raises
        ValueError if the status is longer than a piece: in a user namespace everybody may have
        65,536 groups, and each request would cost the daemon a tenth of a second.
        """
        known = self._statuses.get(tid, -1)
        if known >= 0:
            try:
                status = os.pread(known, PIECE, 0)
            except OSError:
                status = b""
            if 0 < len(status) < PIECE:
                return status
            self._close(tid)
        return self._opened(tid, whole=whole)

    def _opened(self, tid: int, *, whole: bool) -> bytes:
        opened = os.open(b"%d/status" % tid, READ, dir_fd=self._proc)
        try:
            status = read_to_end(opened) if whole else os.read(opened, PIECE)
        except BaseException:
            os.close(opened)
            raise
        self._keep(tid, opened, status)
        if len(status) >= PIECE and not whole:
            self._refused[account_of_namespace(self._proc, tid)] = time.monotonic()
            raise ValueError("too many groups")
        return status

    def _keep(self, tid: int, opened: int, status: bytes) -> None:
        if len(status) >= PIECE:
            os.close(opened)
            return
        self._statuses[tid] = opened
        if len(self._statuses) > _KEPT:
            self._close(next(iter(self._statuses)))

    def refuse_again(self, tid: int) -> None:
        """Raise ValueError if the account of a thread had too many groups a moment ago."""
        if not self._refused:
            return
        earliest = time.monotonic() - _REFUSED_SECONDS
        self._refused = {owner: since for owner, since in self._refused.items() if since > earliest}
        if self._refused and account_of_namespace(self._proc, tid) in self._refused:
            raise ValueError("too many groups")

    def call(self, tid: int) -> Call | None:
        """The system call of a thread; None where none is told."""
        opened = self._calls.get(tid, -1)
        if opened < 0:
            opened = open_call(self._proc, tid)
            if opened < 0:
                return None
        try:
            return read_call(opened)
        finally:
            if self.keeps(tid):
                self._calls[tid] = opened
            else:
                os.close(opened)

    def forget(self) -> None:
        """Close all; some of the threads have ended."""
        for tid in {*self._statuses, *self._calls}:
            self._close(tid)

    def _close(self, tid: int) -> None:
        self._gone(tid)
        for kept in (self._statuses, self._calls, self._directories):
            if (known := kept.pop(tid, -1)) >= 0:
                os.close(known)
