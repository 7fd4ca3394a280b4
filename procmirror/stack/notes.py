"""What a blocked call waits for beyond its arguments.

One line each for a poll set, the owner of a lock, the children.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from procmirror.kernel.call_values import epoll_events, futex_command, poll_events
from procmirror.stack import glibc
from procmirror.stack.arguments import int32
from procmirror.stack.calls import Call

# The number of descriptors of one call that are listed one by one.
_MANY = 64
# FD_SETSIZE; the kernel itself knows no such limit.
_SET_SIZE = 1024
# Commands of futex(2) that wait for a change of the word, and that wait for its owner.
_FUTEX_WAITS = {"FUTEX_WAIT", "FUTEX_WAIT_BITSET", "FUTEX_WAIT_REQUEUE_PI"}
_FUTEX_LOCKS = {"FUTEX_LOCK_PI", "FUTEX_LOCK_PI2"}
_FUTEX_TID_MASK = 0x3FFFFFFF
_P_ALL, _P_PID = 0, 1
_WATCHED = re.compile(rb"tfd:\s*(\d{1,10}) +events:\s*([0-9a-f]{1,8})\b")


def notes(call: Call) -> Iterator[str]:
    """The lines for this call, often none."""
    if writer := _NOTES.get(call.function):
        yield from writer(call)


def _poll(call: Call) -> Iterator[str]:
    count = call["nfds"] & 0xFFFFFFFF
    for entry in call.caller.numbers(call["ufds"], 8, min(count, _MANY)):
        number, events = int32(entry), entry >> 32 & 0xFFFF
        if number >= 0:
            yield f"{poll_events(events)} of {call.caller.descriptor(number)}"
    yield from _more(count)


def _more(count: int) -> Iterator[str]:
    if count > _MANY:
        yield f"and {count - _MANY} more"


def _select(call: Call) -> Iterator[str]:
    size = min(max(int32(call["n"]), 0), _SET_SIZE)
    for name, wish in (("inp", "read"), ("outp", "write"), ("exp", "exception")):
        raw = call.caller.memory(call[name], (size + 7) // 8)
        chosen = [
            number
            for number in range(min(size, 8 * len(raw)))
            if raw[number // 8] >> number % 8 & 1
        ]
        for number in chosen[:_MANY]:
            yield f"{wish} of {call.caller.descriptor(number)}"
        yield from _more(len(chosen))


def _epoll(call: Call) -> Iterator[str]:
    watched = [
        match
        for line in call.caller.lines(f"fdinfo/{int32(call['epfd'])}")
        if (match := _WATCHED.match(line))
    ]
    for match in watched[:_MANY]:
        yield f"{epoll_events(int(match[2], 16))} of {call.caller.descriptor(int(match[1]))}"
    yield from _more(len(watched))


def _futex(call: Call) -> Iterator[str]:
    """The holder of a futex by glibc's convention, which another program need not follow."""
    command = futex_command(call["op"])
    words = call.caller.numbers(call["uaddr"], 4, 3)
    if command not in _FUTEX_WAITS | _FUTEX_LOCKS or not words:
        return
    word, expected = words[0] & 0xFFFFFFFF, call["val"] & 0xFFFFFFFF
    if command in _FUTEX_LOCKS:
        yield from _owner(call, word & _FUTEX_TID_MASK, "held by")
        return
    if word != expected:
        yield f"the futex word is {word:#x} by now"
        return
    yield f"the futex word is {word:#x}"
    yield from _by_glibc(call, word, words)


def _by_glibc(call: Call, word: int, words: list[int]) -> Iterator[str]:
    """The thread that is waited for at a futex with this word, with which a mutex may begin."""
    ended = "looks like pthread_join of"
    if word > glibc.LOCKED_WITH_WAITERS:
        yield from _owner(call, word, ended)
        return
    if word == glibc.LOCKED_WITH_WAITERS and len(words) == 3:
        yield from _owner(call, words[2], "looks like a mutex of glibc held by")
    place = glibc.thread_id_address(call["uaddr"], call["op"], word)
    for thread in call.caller.numbers(place, 4, 1) if place else ():
        yield from _owner(call, thread, ended)


def _owner(call: Call, thread: int, words: str) -> Iterator[str]:
    if (told := call.caller.thread(thread)) is not None:
        yield f"{words} {told}"


def _wait(call: Call) -> Iterator[str]:
    if call.function == "waitid":
        wanted = {_P_ALL: -1, _P_PID: int32(call["upid"])}.get(call["which"], 0)
    else:
        wanted = int32(call["upid" if call.function == "wait4" else "pid"])
    children, more = call.caller.children(max(wanted, 0))
    if children:
        told = ", ".join([*children, f"{more} more"] if more else children)
        yield f"{'children' if len(children) > 1 else 'child'}: {told}"


def _semaphores(call: Call) -> Iterator[str]:
    count = min(call["nsops"] & 0xFFFFFFFF, _MANY)
    raw = call.caller.memory(call["tsops"], 6 * count)
    for at in range(0, len(raw) - 5, 6):
        number = int.from_bytes(raw[at : at + 2], "little")
        change = int.from_bytes(raw[at + 2 : at + 4], "little", signed=True)
        yield f"semaphore {number}: {f'{change:+d}' if change else 'until it is 0'}"


def _restart(_: Call) -> Iterator[str]:
    yield "goes on with a call that a signal interrupted; only the kernel still knows which"


_NOTES: dict[str, Callable[[Call], Iterator[str]]] = {
    "poll": _poll,
    "ppoll": _poll,
    "select": _select,
    "pselect6": _select,
    "epoll_wait": _epoll,
    "epoll_pwait": _epoll,
    "epoll_pwait2": _epoll,
    "futex": _futex,
    "wait4": _wait,
    "waitpid": _wait,
    "waitid": _wait,
    "semop": _semaphores,
    "semtimedop": _semaphores,
    "restart_syscall": _restart,
}
