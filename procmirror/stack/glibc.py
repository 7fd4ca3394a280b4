"""Who is waited for at a futex by glibc's conventions, which another program need not follow.

The words of a mutex are lock, count and owner (sysdeps/nptl/bits/struct_mutex.h).
"""

from __future__ import annotations

# A mutex for which others wait (nptl/lowlevellock.h).
LOCKED_WITH_WAITERS = 2
# pthread_join(3) waits, without the flag of private futexes, for another state of the thread than
# this one (glibc 2.43, `joinstate` in nptl/descr.h). Before, it waited for the end of the thread's
# id. On 64-bit machines the id is so many bytes before the state.
_IS_JOINABLE, _PRIVATE, _ID_BEFORE_STATE = 2, 128, 856


def thread_id_address(address: int, operation: int, word: int) -> int | None:
    """Where the id of the thread is for whose end this may be a wait; None if it is not one."""
    place = address - _ID_BEFORE_STATE
    may = word == _IS_JOINABLE and not operation & _PRIVATE and place > 0
    return place if may else None
