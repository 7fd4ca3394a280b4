"""Opening and reading files through a ring of io_uring, by threads that the kernel makes for it.

Such a thread waits for what has to be waited for, and this process goes on. What it may open and
read is judged by the credentials that this process had when it registered them (a personality), but
in the namespaces of this process. It shares the memory of this process, so the kernel lets it read
the files of this process about memory, whoever it acts as: nobody is to read these by a ring.

Sources: io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2),
include/uapi/linux/io_uring.h; numbers from the kernel's unistd tables, the same for all
architectures.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import struct
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from procmirror.identity.errors import error
from procmirror.identity.raw_calls import check, libc, raw_call

# So many opens and reads can wait at a time at most, and so many of them for one account.
PLACES, _MOST_OF_ACCOUNT = 8, 2
# So few places are too few for two of an account.
_FEW_PLACES = 4
# A read gets at most so many bytes.
PLACE_BYTES = 1 << 16

_R_DISABLED = 1 << 6
# Threads of this process, and not of the kernel's own, carry out what waits (Linux 5.12).
_NATIVE_WORKERS = 1 << 9
_OFF_SQES = 0x10000000
_REGISTER_PERSONALITY, _UNREGISTER_PERSONALITY = 9, 10
_REGISTER_RESTRICTIONS, _ENABLE_RINGS = 11, 12
_REGISTER_IOWQ_MAX_WORKERS = 19
_NOP, _OPENAT, _CLOSE, _READ = 0, 18, 19, 22
# What comes next in the ring begins when this has ended, whatever its result.
_HARDLINK = 1 << 3
_ASYNC = 1 << 4
# What is added to the number of an entry behind which another is linked: its own answer says
# nothing, or is the answer that is waited for, while the linked one tells that all is done.
_UNHEARD, _ANSWER = 1 << 32, 1 << 33
# An answered read is done so soon; what takes longer counts as waiting.
_DONE_SECONDS = 0.005
_RESTRICTION = struct.Struct("=HBx12x")
_OF_REGISTER, _OF_SQE, _OF_FLAGS = 0, 1, 2
# struct io_uring_params: numbers of entries, flags and features; then the two structures with the
# places of the parts of the rings.
_PARAMS = struct.Struct("=IIIIII16x")
_PLACES_OF_RING = struct.Struct("=IIIIIIIIQ")
# struct io_uring_sqe: opcode, flags, priority, descriptor, offset, address, length, flags of the
# operation, number, buffer, personality.
_SQE = struct.Struct("=BBHiQQIIQHHi16x")
_CQE = struct.Struct("=QiI")
_LAST = 0xFFFFFFFF
_MAP_FAILED = ctypes.c_void_p(-1).value
# So often this thread lets others run, and looks for an answer, before it sleeps. On another
# processor an answer comes within 100 us, and to be woken up then would take half of that again.
_YIELDS = 200
# Where others take the processor for longer than so many seconds, this thread does not let them for
# some time: the first and the longest.
_LONG_SECONDS, _PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.001, 1.0, 64.0
# For so many milliseconds an answer is waited for.
_SOON_MS = 1
# What says nothing about the file: the thread was ended, or the kernel had no room.
_NOT_OF_FILE = frozenset(
    (errno.EAGAIN, errno.EINTR, errno.ECANCELED, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
)
_setup = raw_call("io_uring_setup")
_enter = raw_call("io_uring_enter")
_register = raw_call("io_uring_register")
libc.mmap.restype = ctypes.c_void_p


def _another(descriptor: int) -> int:
    """Another number for an open file, which stays its own while an entry waits.

    The kernel's thread looks for the file when it begins with the entry (io_assign_file in
    io_uring/io_uring.c), which may be after the daemon has closed its number and has given it to
    something else, as to a worker's socket: a late read would take an answer from there.
    """
    try:
        return os.dup(descriptor) if descriptor >= 0 else descriptor
    except OSError:
        raise NotSoon from None


class NotSoon(Exception):
    """A ring does not give this answer, or not soon."""


class Late(NotSoon):
    """An answer did not come in time; it is thrown away when it comes."""


class Cause(NamedTuple):
    """Why something is opened or read: the lock that it may wait for, and the account that asks."""

    lock: Hashable
    account: int


def _mapped(descriptor: int, size: int, offset: int) -> memoryview:
    """A part of a ring, in the memory of this process and of no child of it.

    What a child writes there this process would do. An object of the module mmap would have a
    descriptor of its own.
    """
    flags = mmap.PROT_READ | mmap.PROT_WRITE
    found = libc.mmap(
        None, ctypes.c_size_t(size), flags, mmap.MAP_SHARED, descriptor, ctypes.c_long(offset)
    )
    if found in {None, _MAP_FAILED}:
        check(-1)
    address = ctypes.c_void_p(found)
    check(libc.madvise(address, ctypes.c_size_t(size), mmap.MADV_DONTFORK))
    return memoryview((ctypes.c_char * size).from_address(found)).cast("B")


class _Waiting(NamedTuple):
    """An entry without an answer yet; `held` is the descriptor that it names, or -1."""

    cause: Cause
    opens: bool
    held: int


def _nothing(place: int) -> bytes:
    """The entry that does nothing, for a place."""
    return _SQE.pack(_NOP, _ASYNC, 0, -1, 0, 0, 0, 0, place, 0, 0, 0)


class Ring:
    """A ring of this process; OSError where the kernel has none that will do, or forbids it.

    `poll_alone(descriptor)` waits until a descriptor is readable, and without a limit only where
    something ends it in time; it returns whether the descriptor is readable.
    Children of this process that are forked later have neither its descriptor, if they close it,
    nor its memory.
    """

    def __init__(self, poll_alone: Callable[[int], bool] = lambda _: False) -> None:
        self._poll_alone = poll_alone
        # What cannot be closed yet, and the accounts that asked for it.
        self._unclosed: list[tuple[int, int]] = []
        params = bytearray(_PARAMS.size + 2 * _PLACES_OF_RING.size)
        _PARAMS.pack_into(params, 0, 0, 0, _R_DISABLED, 0, 0, 0)
        self.descriptor = _setup(PLACES, (ctypes.c_char * len(params)).from_buffer(params))
        os.set_inheritable(self.descriptor, False)  # noqa: FBT003 - os has it so
        entries, completions, *_, features = _PARAMS.unpack_from(params)
        self._submission = _PLACES_OF_RING.unpack_from(params, _PARAMS.size)
        self._completion = _PLACES_OF_RING.unpack_from(params, _PARAMS.size + _PLACES_OF_RING.size)
        if not features & _NATIVE_WORKERS:
            self.close()
            raise error(errno.ENOSYS)
        try:
            self._map(entries, completions)
            self._restrict()
        except OSError:
            self.close()
            raise

    def _map(self, entries: int, completions: int) -> None:
        size = max(self._submission[6] + 4 * entries, self._completion[5] + _CQE.size * completions)
        self._rings = _mapped(self.descriptor, size, 0)
        self._words = self._rings.cast("I")
        self._entries = _mapped(self.descriptor, _SQE.size * entries, _OFF_SQES)
        # Where it says nothing else, the module has children share it.
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._buffers = mmap.mmap(-1, PLACES * PLACE_BYTES, flags=private)
        self._buffers.madvise(mmap.MADV_DONTFORK)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffers))
        _, self._tail, _, _, _, _, array, _, _ = (at // 4 for at in self._submission)
        self._mask = entries - 1
        for at in range(entries):
            self._words[array + at] = at
        self._seen, self._come = self._completion[0] // 4, self._completion[1] // 4
        self._answers, self._answers_mask = self._completion[5], completions - 1
        self._yields_from, self._pause = 0.0, _PAUSE_SECONDS
        self._poller = select.poll()
        self._poller.register(self.descriptor, select.POLLIN)
        self._free = list(range(self._most_places()))
        # With few places two that wait for one account would leave none to close for others.
        self._most_of_account = _MOST_OF_ACCOUNT if len(self._free) > _FEW_PLACES else 1
        self._waiting: dict[int, _Waiting] = {}
        # Places of answered reads whose thread has not gone on, and since when; those in which
        # nothing tells that it has.
        self._answered: dict[int, float] = {}
        self._ends = [_nothing(place) for place in range(len(self._free))]
        self._unlinked: set[int] = set()

    def _most_places(self) -> int:
        """How many entries may wait: fewer than the kernel has threads for the ring.

        One is left for what does not wait. Before Linux 5.15 there are four for each processor.
        """
        threads = struct.pack("=II", PLACES + 1, PLACES + 1)
        try:
            _register(self.descriptor, _REGISTER_IOWQ_MAX_WORKERS, threads, 2)
        except OSError:
            return min(PLACES, 4 * (os.cpu_count() or 1) - 1)
        return PLACES

    def _restrict(self) -> None:
        """Have the kernel accept nothing else on this ring for good."""
        allowed = [
            (_OF_REGISTER, _REGISTER_PERSONALITY),
            (_OF_REGISTER, _UNREGISTER_PERSONALITY),
            *((_OF_SQE, operation) for operation in (_NOP, _OPENAT, _CLOSE, _READ)),
            (_OF_FLAGS, _ASYNC | _HARDLINK),
        ]
        rows = b"".join(_RESTRICTION.pack(*one) for one in allowed)
        _register(self.descriptor, _REGISTER_RESTRICTIONS, rows, len(allowed))
        _register(self.descriptor, _ENABLE_RINGS, None, 0)

    def close(self) -> None:
        """Give the ring up; what still waits is ended by the kernel."""
        os.close(self.descriptor)

    def personality(self) -> int:
        """A number for the credentials that this thread has now, until it is given back."""
        return _register(self.descriptor, _REGISTER_PERSONALITY, None, 0)

    def forget(self, personality: int) -> None:
        """Give the number of credentials back; what waits under them goes on."""
        _register(self.descriptor, _UNREGISTER_PERSONALITY, None, personality)

    def may_wait(self, cause: Cause) -> bool:
        """Whether one more may wait: none does for this lock, and few do for this account."""
        if self._waiting:
            self._take(-1)
        if self._unclosed:
            self._close_rest()
        return self._may_wait(cause)

    def _may_wait(self, cause: Cause) -> bool:
        if not self._waiting:
            return True
        self._take(-1)
        late = time.monotonic() - _DONE_SECONDS
        waiting = [
            one.cause
            for place, one in self._waiting.items()
            if self._answered.get(place, late) <= late
        ]
        for_account = sum(one.account == cause.account for one in waiting)
        return (
            bool(self._free)
            and for_account < self._most_of_account
            and all(one.lock != cause.lock for one in waiting)
        )

    def open(
        self,
        directory: int,
        path: bytes,
        flags: int,
        personality: int,
        cause: Cause,
        *,
        waits: bool = True,
    ) -> int:
        """A descriptor from openat(2); OSError as the kernel raises it, NotSoon.

        Unless it `waits`, this thread opens what is in the kernel's cache, under the personality.
        """
        how = _ASYNC if waits else 0
        # The kernel copies the path when this is submitted.
        name = ctypes.create_string_buffer(path)
        address = ctypes.addressof(name)
        return self._result(
            cause, _OPENAT, how, 0, directory, 0, address, 0, flags, personality, opens=True
        )

    def read(
        self, descriptor: int, size: int, offset: int, personality: int, cause: Cause
    ) -> bytes:
        """Up to `size` bytes by one pread(2); OSError as the kernel raises it, NotSoon.

        `size` is at most PLACE_BYTES.
        """
        begin = self._free[-1] * PLACE_BYTES
        # Who holds the memory of a killed process last drops its mapped files after the answer.
        how, at = _ASYNC | _HARDLINK, self._address + begin
        got = self._result(
            cause, _READ, how, 0, descriptor, offset, at, size, 0, personality, linked=_ANSWER
        )
        return self._buffers[begin : begin + got]

    def close_object(self, descriptor: int, account: int) -> None:
        """Have a thread of the kernel close a descriptor.

        Who closes the last descriptor of a mount that has been taken off takes it down, and waits
        for a FUSE server that holds a request of it (fuse_wait_aborted, fs/fuse/dev.c). Where as
        many wait as may, it is closed when the ring is asked again.
        """
        self._unclosed.append((descriptor, account))
        self._close_rest()

    def has_unclosed(self, account: int) -> bool:
        """Whether something of an account cannot be closed yet: it must not have more opened."""
        self._close_rest()
        return any(account == other for _, other in self._unclosed)

    def settle(self) -> None:
        """Take what has come late, and close it: nobody may ask the ring for long."""
        self._take(-1)
        self._close_rest()

    def _close_rest(self) -> None:
        self._unclosed, rest = [], self._unclosed
        self._unclosed += [one for one in rest if not self._has_closed(*one)]

    def _has_closed(self, descriptor: int, account: int) -> bool:
        # A number is free again while the kernel still takes down what it was of.
        cause = Cause(object(), account)
        # The last place is for what is about to be read.
        if not self._may_wait(cause) or len(self._free) < 2:
            return False
        waiting = _Waiting(cause, opens=False, held=-1)
        # The answer to a close comes before the file is given up, which the thread does before it
        # goes on (io_assign_current_work in io_uring/io-wq.c): so the next answer is waited for.
        close = (_CLOSE, _ASYNC | _HARDLINK, 0, descriptor, 0, 0, 0, 0, 0)
        try:
            self._submit(waiting, close, _UNHEARD)
        except NotSoon:
            return False
        return True

    def nothing(self, personality: int) -> None:
        """Do nothing under a personality; OSError where the kernel refuses it."""
        self._result(Cause(None, 0), _NOP, 0, 0, -1, 0, 0, 0, 0, personality)

    def _result(self, cause: Cause, *entry: int, opens: bool = False, linked: int = 0) -> int:
        """The result of an entry, of which the last value is the personality.

        With `linked` (_ANSWER) its place is taken until its thread goes on.
        """
        operation, how, priority, descriptor, *rest = entry
        held = _another(descriptor)
        waiting = _Waiting(cause, opens, held)
        place = self._submit(waiting, (operation, how, priority, held, *rest), linked)
        found = self._take(place)
        if found is None:
            found = self._waited(place)
        if found < 0:
            if -found in _NOT_OF_FILE:
                raise NotSoon
            raise error(-found)
        return found

    def _submit(self, waiting: _Waiting, entry: tuple[int, ...], linked: int = 0) -> int:
        """The place of an entry that the kernel has taken; NotSoon.

        The last value of an entry is the personality. With `linked` one follows that does nothing,
        and the answer of this one counts as that says.
        """
        *values, personality = entry
        place, tail = self._free.pop(), self._words[self._tail]
        self._waiting[place] = waiting
        at = (tail & self._mask) * _SQE.size
        _SQE.pack_into(self._entries, at, *values, linked + place, 0, personality, 0)
        count = 1
        if linked:
            at, count = ((tail + 1) & self._mask) * _SQE.size, 2
            self._entries[at : at + _SQE.size] = self._ends[place]
        self._words[self._tail] = (tail + count) & _LAST
        try:
            taken = _enter(self.descriptor, count, 0, 0, None, 0)
        except OSError:
            # Without memory the kernel has not taken it.
            self._words[self._tail] = tail
            self._give_back(place)
            raise NotSoon from None
        if taken < count:
            # The first one alone is carried out, and nothing tells of its end.
            self._words[self._tail] = (tail + taken) & _LAST
            self._unlinked.add(place)
        return place

    def _waited(self, place: int) -> int:
        """The result in a place when it has come; Late."""
        if (found := self._yielded(place)) is not None:
            return found
        # What comes first may be the answer to what waited before.
        for _ in range(PLACES):
            if not (self._poll_alone(self.descriptor) or self._poller.poll(_SOON_MS)):
                break
            found = self._take(place)
            if found is not None:
                return found
        raise Late

    def _yielded(self, place: int) -> int | None:
        """The result in a place if it comes while others run that do not need long."""
        words, seen, come = self._words, self._seen, self._come
        start = time.monotonic()
        if start < self._yields_from:
            return None
        for _ in range(_YIELDS):
            if words[seen] != words[come] and (found := self._take(place)) is not None:
                self._pause = _PAUSE_SECONDS
                return found
            os.sched_yield()
            now = time.monotonic()
            if now - start > _LONG_SECONDS:
                self._yields_from = now + self._pause
                self._pause = min(2 * self._pause, _MOST_PAUSE_SECONDS)
                break
        return None

    def _take(self, wanted: int) -> int | None:
        """Take all answers; the result of the one in place `wanted`, None if it did not come.

        What was opened too late is closed when the ring is asked again, and not here: a close may
        take the place whose answer is waited for, and its answer would count as that.
        """
        result = None
        seen = self._words[self._seen]
        while seen != self._words[self._come]:
            at = self._answers + (seen & self._answers_mask) * _CQE.size
            place, code, _ = _CQE.unpack_from(self._rings, at)
            seen = (seen + 1) & _LAST
            self._words[self._seen] = seen
            kind, place = place & ~(_UNHEARD - 1), place & (_UNHEARD - 1)
            if place == wanted and kind != _UNHEARD and place not in self._answered:
                result = code
            if kind and place not in self._unlinked:
                if kind == _ANSWER:
                    self._answered[place] = time.monotonic()
                continue
            done = self._give_back(place)
            if place != wanted and done.opens and code >= 0:
                self._unclosed.append((code, done.cause.account))
        return result

    def _give_back(self, place: int) -> _Waiting:
        """Free a place and the descriptor of its entry."""
        done = self._waiting.pop(place)
        self._answered.pop(place, None)
        self._unlinked.discard(place)
        self._free.append(place)
        if done.held >= 0:
            os.close(done.held)
        return done
