"""Operations through an io_uring whose worker threads are older than the identity of who uses it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
import time
from collections.abc import Callable

from tests.permissions.calls import call

# linux/io_uring.h
IORING_OP_TIMEOUT, IORING_OP_OPENAT, IORING_OP_READ, IORING_OP_STATX = 11, 18, 22, 21
IORING_OP_CLOSE, IORING_OP_OPENAT2, IORING_OP_FIXED_FD_INSTALL = 19, 28, 54
IORING_SETUP_SQPOLL = 1 << 1
IOSQE_FIXED_FILE, IOSQE_IO_DRAIN, IOSQE_IO_HARDLINK, IOSQE_ASYNC = 1, 1 << 1, 1 << 3, 1 << 4
IORING_ENTER_GETEVENTS, IORING_ENTER_SQ_WAKEUP = 1, 2
IORING_REGISTER_PERSONALITY, IORING_REGISTER_FILES2, IORING_RSRC_REGISTER_SPARSE = 9, 13, 1
IORING_FILE_INDEX_ALLOC = 0xFFFFFFFF
IORING_OFF_SQ_RING, IORING_OFF_SQES = 0, 0x10000000
_PARAMS = struct.Struct("8I16x 8I8x 8I8x")
# How often a result is looked for: many times as long as any answer takes on an emulated processor.
_ROUNDS = 100_000
AT_FDCWD, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS = -100, 0x100, 0x7FF


class Ring:
    """A ring of one request at a time.

    Each is done by a worker thread of the kernel (IOSQE_ASYNC) or, if it is `inline`, at once by
    the thread that submits it where it need not wait. A `later` one is linked to a timer, and the
    thread does it on its way out of another system call than io_uring_enter; a `drained` one waits
    for the timer (IOSQE_IO_DRAIN). With `polled` a thread of the kernel takes requests without any
    system call (IORING_SETUP_SQPOLL), and files are opened by openat2. With `fixed` files are
    opened into the ring's own table, from which they get descriptors (Linux 6.8).
    """

    def __init__(self, how: str = "") -> None:
        self._flags = {"": IOSQE_ASYNC, "drained": IOSQE_IO_DRAIN}.get(how, 0)
        self._later, self._polled = how in {"later", "drained"}, how == "polled"
        # What follows a timer by a hard link begins although the timer ends with ETIME.
        self._timer_flags = IOSQE_IO_HARDLINK if how == "later" else 0
        polled = self._polled
        parameters = ctypes.create_string_buffer(120)
        struct.pack_into("I", parameters, 8, IORING_SETUP_SQPOLL if polled else 0)
        self.descriptor = call("io_uring_setup", 4, parameters)
        raw = parameters.raw
        entries, completions = struct.unpack_from("2I", raw)
        _, tail, _, _, _, _, self._array = struct.unpack_from("7I", raw, 40)
        head_done, tail_done, _, _, _, self._done = struct.unpack_from("6I", raw, 80)
        size = max(self._array + 4 * entries, self._done + 16 * completions)
        self._rings = mmap.mmap(self.descriptor, size, offset=IORING_OFF_SQ_RING)
        self._requests = mmap.mmap(self.descriptor, 64 * entries, offset=IORING_OFF_SQES)
        self._slots = entries
        # Each is one write and one read of four bytes: struct.pack_into writes a zero first, with
        # which a thread of the kernel that polls the tail takes all requests again, without end.
        at = ctypes.c_uint32.from_buffer
        self._tail, self._head_done, self._tail_done = (
            at(self._rings, offset) for offset in (tail, head_done, tail_done)
        )
        self.personality = 0
        # Of the last request, whose results have the same; and these.
        self._number = 0
        self._results: list[int] = []
        self._fixed = how == "fixed" and self._has_table()

    def _has_table(self) -> bool:
        """Make a table of files; whether the kernel can give them descriptors."""
        wanted = struct.pack("IIQQQ", 4, IORING_RSRC_REGISTER_SPARSE, 0, 0, 0)
        try:
            call("io_uring_register", self.descriptor, IORING_REGISTER_FILES2, wanted, len(wanted))
            os.close(self._open_fixed("/proc/self/status", os.O_RDONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def register(self) -> None:
        """Keep the present credentials, to be used by every later request."""
        self.personality = call(
            "io_uring_register", self.descriptor, IORING_REGISTER_PERSONALITY, 0, 0
        )

    def ask(
        self,
        operation: int,
        descriptor: int,
        address: int,
        length: int,
        *,
        offset: int = 0,
        flags: int = 0,
        file: int = 0,
        entry: int = 0,
    ) -> int:
        """The result of one request; OSError as the kernel's, RuntimeError if there is none.

        `file` is its place in the table of files plus one, `entry` further flags of the request.
        """
        self._number += 1
        self._results.clear()
        if self._later:
            self._submit_timer()
        how = self._flags | entry
        self._put(operation, how, descriptor, offset, address, length, flags, file)
        self._begin()
        # The timer, and what follows it. What the kernel writes to may be freed only when it is done.
        for _ in range(_ROUNDS):
            if len(self._results) > self._later:
                break
            time.sleep(0.003 if self._later else 0.001)
            self._wake()
            self._take()
        else:
            raise RuntimeError(f"io_uring gives no result: operation {operation}")
        result = self._results[-1]
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def _begin(self) -> None:
        """Submit what was put, and wait for it if nothing else is to follow.

        Whatever ends the wait, the request is under way, or a thread of the kernel takes it by
        itself: its result is waited for, or it would be taken for that of the next request.
        """
        if self._later:
            call("io_uring_enter", self.descriptor, 2, 0, 0, 0, 0)
            return
        self._wake()
        with contextlib.suppress(OSError if self._polled else InterruptedError):
            call("io_uring_enter", self.descriptor, 1, 1, IORING_ENTER_GETEVENTS, 0, 0)
        self._take()

    def _wake(self) -> None:
        """The thread of the kernel sleeps if there was nothing for a while."""
        if self._polled:
            with contextlib.suppress(OSError):
                call("io_uring_enter", self.descriptor, 1, 0, IORING_ENTER_SQ_WAKEUP, 0, 0)

    def _submit_timer(self) -> None:
        """A timer of 2 ms; the next request begins when it is over."""
        self._time = ctypes.create_string_buffer(struct.pack("qq", 0, 2_000_000), 16)
        where = ctypes.addressof(self._time)
        # Linux before 5.16 knows no flag of a timer that ends well, and takes nothing that follows
        # a request that it refuses.
        self._put(IORING_OP_TIMEOUT, self._timer_flags, -1, 0, where, 1, 0, 0)

    def _put(self, operation: int, how: int, descriptor: int, *rest: int) -> None:
        """Put a request at the tail: operation, flags of the entry, descriptor, then the rest.

        That is offset, address, length and flags of the operation, and its file.
        """
        tail = self._tail.value
        slot = tail % self._slots
        offset, address, length, flags, file = rest
        numbers = (operation, how, 0, descriptor, offset, address, length, flags)
        told = self._number
        request = struct.pack("BBHiQQIIQHHIQQ", *numbers, told, 0, self.personality, file, 0, 0)
        self._requests[64 * slot : 64 * slot + 64] = request
        struct.pack_into("I", self._rings, self._array + 4 * slot, slot)
        self._tail.value = (tail + 1) & 0xFFFFFFFF

    def _take(self) -> None:
        """Take the results that are there; those of an earlier request are nobody's any more."""
        head, tail = self._head_done.value, self._tail_done.value
        while head != tail:
            at = self._done + 16 * (head % (2 * self._slots))
            number, result, _ = struct.unpack_from("QiI", self._rings, at)
            if number == self._number:
                self._results.append(result)
            head = (head + 1) & 0xFFFFFFFF
        self._head_done.value = head

    def open(self, path: str) -> int:
        """A descriptor that the ring has opened."""
        name = ctypes.create_string_buffer(path.encode())
        flags = os.O_RDONLY | os.O_NONBLOCK
        if self._fixed:
            return self._open_fixed(path, flags)
        flags |= os.O_CLOEXEC
        if self._polled:
            how = ctypes.create_string_buffer(struct.pack("QQQ", flags, 0, 0), 24)
            where, size = ctypes.addressof(how), 24
            path_at = ctypes.addressof(name)
            return self.ask(IORING_OP_OPENAT2, AT_FDCWD, path_at, size, offset=where)
        return self.ask(IORING_OP_OPENAT, AT_FDCWD, ctypes.addressof(name), 0, flags=flags)

    def _open_fixed(self, path: str, flags: int) -> int:
        """A descriptor of a file that was opened into the table; it leaves that again."""
        name = ctypes.create_string_buffer(path.encode())
        where, kept = ctypes.addressof(name), self.personality
        place = self.ask(
            IORING_OP_OPENAT, AT_FDCWD, where, 0, flags=flags, file=IORING_FILE_INDEX_ALLOC
        )
        try:
            # A descriptor is given to nobody but the ring's user.
            self.personality = 0
            return self.ask(IORING_OP_FIXED_FD_INSTALL, place, 0, 0, entry=IOSQE_FIXED_FILE)
        finally:
            self.ask(IORING_OP_CLOSE, 0, 0, 0, file=place + 1)
            self.personality = kept

    def read(self, path: str, offset: int) -> bytes:
        """The first bytes of a file from `offset`, opened by the ring and read by ourselves."""
        descriptor = self.open(path)
        try:
            return os.pread(descriptor, 4096, offset)
        finally:
            os.close(descriptor)

    def read_by_ring(self, path: str, offset: int) -> bytes:
        """The first bytes of a file, opened and read by the ring."""
        descriptor, buffer = self.open(path), ctypes.create_string_buffer(4096)
        try:
            into = ctypes.addressof(buffer)
            length = self.ask(IORING_OP_READ, descriptor, into, 4096, offset=offset)
            return buffer.raw[:length]
        finally:
            os.close(descriptor)

    def peek(self, path: str, offset: int) -> bytes:
        """A few bytes at an address."""
        return self.read(path, offset)[:64]

    def lstat(self, path: str, _: int) -> bytes:
        """Mode, owner and links, by statx."""
        name, answer = ctypes.create_string_buffer(path.encode()), ctypes.create_string_buffer(256)
        where, into = ctypes.addressof(name), ctypes.addressof(answer)
        self.ask(
            IORING_OP_STATX,
            AT_FDCWD,
            where,
            STATX_BASIC_STATS,
            offset=into,
            flags=AT_SYMLINK_NOFOLLOW,
        )
        links, uid, gid, mode = struct.unpack_from("IIIH", answer.raw, 16)
        return f"{mode:o} {uid}:{gid} links {links}".encode()

    def directory(self, path: str, _: int) -> bytes:
        """Nothing but success: a directory that the ring can open.

        Its name is looked up just before, so that the kernel may keep it and the ring need not
        wait: only then the thread that submits a request does it.
        """
        for _ in range(3):
            with contextlib.suppress(OSError):
                os.stat(path)
        os.close(self.open(path))
        return b""


def operations(
    personality: Callable[[], None] | None = None, how: str = ""
) -> dict[str, Callable[[str, int], bytes]]:
    """The operations of a ring that has done its first work already.

    With a personality, requests have the credentials that a thread has after `personality`.
    """
    ring = Ring(how)
    ring.read("/proc/self/status", 0)
    if personality:
        personality()
        ring.register()
    return {
        "listdir": ring.directory,
        "lstat": ring.lstat,
        "read": ring.read,
        "peek": ring.peek,
        "read by ring": ring.read_by_ring,
    }
