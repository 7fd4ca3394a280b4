"""Who is waited for at a futex by glibc's conventions, which another program need not follow.

The words of a mutex are lock, count and owner (sysdeps/nptl/bits/struct_mutex.h).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# A mutex for which others wait (nptl/lowlevellock.h).
LOCKED_WITH_WAITERS = 2
# pthread_join(3) waits, without the flag of private futexes, for another state of the thread than
# this one (glibc 2.43, `joinstate` in nptl/descr.h). Before, it waited for the end of the thread's
# id. On 64-bit machines the id is so many bytes before the state.
_IS_JOINABLE, PRIVATE, _ID_BEFORE_STATE = 2, 128, 856

# A read-write lock (bits/struct_rwlock.h of 64-bit machines, since glibc 2.25): readers with flags,
# writers, the futex words of the phase and of the writers, two words that are 0, the writer that
# holds it, whether processes share it. With a writer the two lowest flags are set, both futex words
# are 1, and 2 is added to the one at which somebody waits.
RWLOCK_WORDS = 8
_PHASE, _WRITERS, _WAITED_FOR, _TAKEN = 2, 3, 3, {1, 3}


def rwlock_places(address: int, word: int) -> Iterator[int]:
    """Where the read-write lock may begin at one of whose futex words a thread waits."""
    if word == _WAITED_FOR:
        yield from (address - 4 * place for place in (_WRITERS, _PHASE))


def rwlock_writer(words: Sequence[int], operation: int) -> int | None:
    """The thread that holds a read-write lock to write; None where it cannot be such a lock."""
    if len(words) != RWLOCK_WORDS:
        return None
    readers, _, phase, writers, *nothing, writer, shared = words
    held = readers & 3 == 3 and phase in _TAKEN and writers in _TAKEN
    return writer if held and not any(nothing) and shared == (not operation & PRIVATE) else None


def thread_id_address(address: int, operation: int, word: int) -> int | None:
    """Where the id of the thread is for whose end this may be a wait; None if it is not one."""
    place = address - _ID_BEFORE_STATE
    may = word == _IS_JOINABLE and not operation & PRIVATE and place > 0
    return place if may else None
