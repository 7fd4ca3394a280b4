"""Structures in the memory of a caller that hold or describe what it sends, receives or waits for.

Each function gives the text of the structure at an address, None where it may not be read. Source:
include/uapi/linux/uio.h, include/linux/socket.h, include/uapi/linux/{msg,futex}.h; the structures
of a 32-bit task have words of 4 bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from procmirror.kernel.call_values import futex2_flags
from procmirror.stack.caller import Caller, quoted
from procmirror.stack.calls import Call

SHOWN = 32  # bytes of data
MOST_PIECES = 4  # elements of an array
_SENDS = {"writev", "pwritev", "pwritev2", "vmsplice", "sendmsg", "sendmmsg"}
_WAITERS = 128  # FUTEX_WAITV_MAX


def data(caller: Caller, address: int, length: int) -> str | None:
    """The beginning of data that the process sends."""
    raw = caller.memory(address, min(length, SHOWN))
    return quoted(raw) + ("…" if length > len(raw) else "") if raw else None


def words(call: Call, address: int, count: int) -> list[int] | None:
    """So many unsigned longs of the caller; None if they are not all there."""
    found = [value & _whole(call) for value in call.caller.numbers(address, call.word, count)]
    return found if len(found) == count else None


def _whole(call: Call) -> int:
    return (1 << 8 * call.word) - 1


def _array(shown: list[str], count: int) -> str | None:
    """The elements that could be read of so many."""
    more = [f"{count - len(shown)} more"] if count > len(shown) else []
    return f"[{', '.join(shown + more)}]" if shown or not count else None


def iovec(call: Call, address: int, count: int) -> str | None:
    """An array of struct iovec, with the data that the call sends."""
    shown = []
    for at in range(min(count, MOST_PIECES)):
        pair = words(call, address + at * 2 * call.word, 2)
        if pair is None:
            break
        base, length = pair
        sent = data(call.caller, base, length) if call.function in _SENDS and length else None
        shown.append(f"{{iov_base={sent or hex(base)}, iov_len={length}}}")
    return _array(shown, count)


def _vector(call: Call, address: int) -> str | None:
    """The iovec argument of readv(2) and the like; the next argument is its length."""
    names = [parameter.name for parameter, _ in call.arguments]
    counted = next(name for name in ("vlen", "nr_segs") if name in names)
    return iovec(call, address, call[counted])


def _message(call: Call, address: int) -> str | None:
    """A struct user_msghdr."""
    # name, length of the name (an int in a word), iovec, their number, control data, its length
    header = words(call, address, 6)
    if header is None:
        return None
    _, named, vector, count, _, control = header
    pieces = iovec(call, vector, count) or hex(vector)
    shown = [f"msg_iov={pieces}", f"msg_iovlen={count}"]
    shown += [f"msg_namelen={named & 0xFFFFFFFF}"] if named & 0xFFFFFFFF else []
    shown += [f"msg_controllen={control}"] if control else []
    return f"{{{', '.join(shown)}}}"


def _messages(call: Call, address: int) -> str | None:
    """An array of struct mmsghdr: a message header with its flags, and an int."""
    size, shown = 8 * call.word, []
    for at in range(min(call["vlen"], MOST_PIECES)):
        one = _message(call, address + at * size)
        if one is None:
            break
        shown.append(one)
    return _array(shown, call["vlen"])


def _system_v(call: Call, address: int) -> str | None:
    """A struct msgbuf that is sent: its type and its text."""
    kind = call.caller.numbers(address, call.word, 1)
    if not kind:
        return None
    text = data(call.caller, address + call.word, call["msgsz"]) if call["msgsz"] else '""'
    return f"{{mtype={kind[0]}, mtext={text or '?'}}}"


def _waiters(call: Call, address: int) -> str | None:
    """An array of struct futex_waitv."""
    count, shown = min(call["nr_futexes"] & 0xFFFFFFFF, _WAITERS), []
    for at in range(min(count, MOST_PIECES)):
        # val and uaddr of 64 bits, flags and a reserved field of 32
        numbers = call.caller.numbers(address + 24 * at, 8, 3)
        if len(numbers) < 3:
            break
        value, where, flags = (number & (1 << 64) - 1 for number in numbers)
        named = futex2_flags(flags & 0xFFFFFFFF)
        shown.append(f"{{val={value}, uaddr={where:#x}, flags={named}}}")
    return _array(shown, count)


def _mask(call: Call, address: int) -> str | None:
    """The signal set of pselect6(2): a pointer to it and its size."""
    pair = words(call, address, 2)
    if pair is None:
        return None
    return (call.caller.signals(pair[0]) if pair[0] else "NULL") or hex(pair[0])


_VECTORS = ("readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2")
STRUCTURES: dict[str, Callable[[Call, int], str | None]] = {
    **{f"{function}.vec": _vector for function in _VECTORS},
    "vmsplice.uiov": _vector,
    "sendmsg.msg": _message,
    "recvmsg.msg": _message,
    "sendmmsg.mmsg": _messages,
    "recvmmsg.mmsg": _messages,
    "msgsnd.msgp": _system_v,
    "futex_waitv.waiters": _waiters,
    "pselect6.sig": _mask,
}
