"""What a thread waits for, in one phrase: from the kernel's side, the program's function, and whom.

The kernel function shows that a thread waits for a futex. The function of the program shows which
kind of lock that is, memory who holds it, and fdinfo when a timer expires.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from procmirror.kernel.signals import names
from procmirror.stack.arguments import int32
from procmirror.stack.caller import Caller
from procmirror.stack.syscalls import SystemCall
from procmirror.stack.time_left import Clocks

MOST_FRAMES = 12  # from the innermost one, in which the function is looked for

FUTEX = "a futex"
SIGNAL, SLEEP = "a signal", "the end of its sleep"
CHILD = "a child process"
MOST_CHILDREN = 3  # that are named
# Functions of the program, the more telling ones first.
_FUNCTIONS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (words, re.compile(pattern))
    for words, pattern in (
        ("Python's global interpreter lock (GIL)", r"take_gil|PyEval_AcquireThread"),
        (
            "a lock of Python",
            r"PyThread_acquire_lock(?:_timed)?|_?PyMutex_Lock(?:Timed)?",
        ),
        # From 3.13 on all of these wait in one place (Python/parking_lot.c).
        ("a lock or event of Python", r"_PyParkingLot_Park|_PySemaphore_Wait"),
        # HotSpot waits for all of these by condition variables; who waits again for the monitor
        # after Object.wait is in both.
        ("a monitor of Java (synchronized)", r"ObjectMonitor::(?:enter|EnterI|ReenterI|reenter).*"),
        ("Object.notify of Java", r"ObjectMonitor::wait"),
        ("the end of Thread.sleep of Java", r"JVM_Sleep.*|JavaThread::sleep.*"),
        ("to be unparked (LockSupport of Java)", r"Unsafe_Park"),
        ("Atomics.notify of JavaScript", r".*\bv8::internal::FutexEmulation::Wait.*"),
        ("work (an idle thread of tokio)", r"<?tokio::runtime::.*(?:park|\bpool\b.*::run).*"),
        ("work or the end of a job (rayon)", r"<?rayon_core::.*(?:::sleep|::wait_until).*"),
        ("a message of a channel (Rust)", r"<?(?:std::sync::mpmc|crossbeam_channel)::.*::recv.*"),
        ("a condition variable (std::condition_variable)", r"std::condition_variable.*::wait.*"),
        ("the end of a thread (std::thread::join)", r"std::thread::join.*"),
        ("a condition variable (Rust)", r"<?(?:std|parking_lot).*[cC]ondvar.*::wait.*"),
        ("a mutex (Rust)", r"<?(?:std|parking_lot).*[mM]utex.*::lock.*"),
        ("a read-write lock (Rust)", r"<?(?:std|parking_lot).*(?:rwlock|RwLock).*"),
        ("a barrier (Rust)", r"<?std::sync::barrier::Barrier>?::wait.*"),
        ("to be unparked (Rust)", r"<?std::(?:thread::.*\bpark|.*[pP]arker.*::park).*"),
        ("a condition variable", r"_*pthread_cond_(?:timed|clock)?wait.*"),
        ("a mutex", r"_*pthread_mutex_(?:lock|timedlock|clocklock).*|(?:__GI_)?_*lll_lock_wait.*"),
        ("a read-write lock", r"_*pthread_rwlock_.*"),
        ("the end of a thread", r"_*pthread_(?:timed|clock)?join.*"),
        ("a barrier", r"_*pthread_barrier_wait.*"),
        ("a semaphore", r"_*(?:new_)?sem_(?:timed|clock)?wait.*"),
        ("a signal (os/signal of Go)", r"os/signal\.signal_recv"),
        ("the turn of its goroutine (LockOSThread of Go)", r"runtime\.stoplockedm"),
        (
            "work (an idle thread of the Go scheduler)",
            r"runtime\.(?:stopm|mPark|sysmon|templateThread)",
        ),
    )
)
_HOLDER = re.compile(r"(?:held by|pthread_join of) (thread \d+ \(.*\))")
# A line of `notes`, and the target of a pidfd.
_CHILDREN = re.compile(r"child(?:ren)?: (.*)")
_MORE_CHILDREN = re.compile(r"(\d+) more")
_OF_PIDFD = re.compile(r"\d+<process (\d+ \(.*\))>")
_MASK = re.compile(rb"sigmask:\s*([0-9a-f]{1,16})$")
_EXPIRY = re.compile(rb"it_value: \((\d{1,19}), (\d{1,9})\)")


def headline(
    phrase: str | None,
    call: SystemCall | None,
    functions: Sequence[str],
    caller: Caller,
    clocks: Clocks,
) -> str | None:
    """The kernel's `phrase`, made more exact if the program shows more.

    `functions` are those of the user frames, innermost first.
    """
    if phrase is None or call is None or call.state != "system call":
        return phrase
    words = _exact(phrase, call, functions, caller)
    left = clocks.left(call)
    if left is None:
        return words
    return f"{words}, {'in' if phrase == SLEEP else 'at most'} {left:.1f} s"


def _exact(
    phrase: str,
    call: SystemCall,
    functions: Sequence[str],
    caller: Caller,
) -> str:
    if phrase.startswith(FUTEX):
        return _futex(phrase, call, functions, caller)
    if phrase.startswith("a timer descriptor"):
        return phrase + _expiry(call, caller)
    if phrase.startswith(SIGNAL):
        return phrase + _signals(call, caller)
    if phrase == CHILD:
        return phrase + _children(call)
    return phrase


def _futex(phrase: str, call: SystemCall, functions: Sequence[str], caller: Caller) -> str:
    inner = [name.partition("(")[0] for name in functions[:MOST_FRAMES]]
    told = (words for words, one in _FUNCTIONS if any(map(one.fullmatch, inner)))
    known = next(told, phrase)
    holder = next((match[1] for note in call.notes if (match := _HOLDER.search(note))), None)
    if known == "a read-write lock":
        holder = _writer(call, caller)
    if holder is None:
        return known
    if known == phrase:
        return f"{phrase}, {next(note for note in call.notes if holder in note)}"
    return f"{known}: {holder}" if "end of a thread" in known else f"{known} held by {holder}"


def _value(call: SystemCall, name: str) -> int | None:
    return next((int(one.value, 16) for one in call.arguments if one.name == name), None)


def _writer(call: SystemCall, caller: Caller) -> str | None:
    """The writer that holds a read-write lock of glibc.

    struct __pthread_rwlock_arch_t: readers, writers, the two futex words, two of padding, writer.
    """
    address = _value(call, "uaddr")
    for number in caller.numbers(address, 4, 5)[3:] if address else ():
        if (told := caller.thread(number)) is not None:
            return told
    return None


def _signals(call: SystemCall, caller: Caller) -> str:
    """The signals of sigwait(3), or of a signalfd by its fdinfo."""
    if wanted := next((one.text for one in call.arguments if one.name == "uthese"), None):
        return f": {wanted}"
    number = _value(call, "fd")
    for line in caller.lines(f"fdinfo/{int32(number)}") if number is not None else ():
        if match := _MASK.match(line):
            return f": {{{', '.join(names(int(match[1], 16)))}}}"
    return ""


def _children(call: SystemCall) -> str:
    """The child that is waited for, or the first of those that may be."""
    told = next((one.text or "" for one in call.arguments if one.name == "upid"), "")
    if match := _OF_PIDFD.fullmatch(told):
        return f": process {match[1]}"
    match = next(filter(None, map(_CHILDREN.fullmatch, call.notes)), None)
    if match is None:
        return ""
    # A name has no comma with a blank.
    found, more = match[1].split(", "), -MOST_CHILDREN
    if left_out := _MORE_CHILDREN.fullmatch(found[-1]):
        found, more = found[:-1], more + int(left_out[1])
    more += len(found)
    shown = found[:MOST_CHILDREN] + ([f"{more} more"] if more > 0 else [])
    return f": process{'es' if len(found) > 1 else ''} {', '.join(shown)}"


def _expiry(call: SystemCall, caller: Caller) -> str:
    """The remaining time of a timer descriptor, by its fdinfo."""
    number = _value(call, "fd")
    for line in caller.lines(f"fdinfo/{int32(number)}") if number is not None else ():
        if (match := _EXPIRY.match(line)) and (seconds := int(match[1]) + int(match[2]) / 1e9):
            return f", in {seconds:.1f} s"
    return ""
