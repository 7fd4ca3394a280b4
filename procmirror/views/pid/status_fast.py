"""/proc/PID/status: what a process is and may do; decoded fast.

Source: proc_pid_status(5), fs/proc/array.c. Programs read this file of every process.

It gives the records of status.decode in half the time, because most lines say the same in most
processes, and the sizes of memory stand together. What it keeps cannot be changed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from procmirror.decoding.shapes import kilobytes, lines, scaled
from procmirror.decoding.view import Machine
from procmirror.views.pid import status

# Most lines say the same in most processes. A file that is longer than any but a hostile one is not
# kept.
_LONG = 1 << 12
# A size of so many digits may be one below zero.
_HUGE = 15
_four = lru_cache(maxsize=1024)(status.four_ids)


_line = lru_cache(maxsize=4096)(status.known_line)


@lru_cache(maxsize=64)
def _sizes(keys: tuple[bytes, ...]) -> tuple[str, ...] | None:
    """The names of keys whose values are sizes; None if any is not one of these."""
    known = [status.KNOWN.get(key.removesuffix(b":")) for key in keys]
    return (
        tuple(one[0] for one in known if one)
        if len(set(keys)) == len(keys) and all(one and one[1] is kilobytes for one in known)
        else None
    )


def _memory_lines(rest: bytes) -> tuple[dict[str, int], bytes]:
    """The sizes, which stand together, with what is before and behind them.

    Read at once they take a third of the time; none where they are not as the kernel writes them,
    as each then tells itself.
    """
    begin, end = rest.find(b"\nVmPeak:") + 1, rest.rfind(b" kB\n") + 4
    block = rest[begin:end] if 0 < begin < end and end - begin < _LONG else b""
    words = block.replace(b" kB\n", b"\n").split()
    names = _sizes(tuple(words[::2])) if words else None
    if (
        names is None
        or not block.count(b"\n") == block.count(b" kB\n") == len(names) == len(words) / 2
    ):
        return {}, rest
    try:
        sizes = [
            int(word) * 1024 if len(word) < _HUGE else scaled(word, 1024) for word in words[1::2]
        ]
    except ValueError:
        return {}, rest
    return dict(zip(names, sizes, strict=True)), rest[:begin] + rest[end:]


@lru_cache(maxsize=256)
def _block(lines_of_it: bytes) -> dict[str, Any] | None:
    """The values of some lines; None if there is one among them that this version does not know."""
    read = [status.known_line(line) for line in lines(lines_of_it)]
    known = dict(filter(None, read))
    return known if len(known) == len(read) else None


def _lines_of_rights(rest: bytes) -> tuple[dict[str, Any], bytes]:
    """What stands between the limits and the counters, with what is before and behind.

    It is the same for many processes, and again for each as long as it lives.
    """
    begin, end = rest.find(b"\nSigPnd:") + 1, rest.find(b"\nvoluntary_ctxt_switches:") + 1
    known = _block(rest[begin:end]) if 0 < begin < end and end - begin < _LONG else None
    return ({}, rest) if known is None else (known, rest[:begin] + rest[end:])


def decode(raw: bytes, machine: Machine) -> status.Status:
    """The keys of the file; those that this version does not know under `extra`."""
    first, _, rest = raw.partition(b"\n")
    values: dict[str, Any] = {"Name": status.name_of(first)}
    memory, rest = _memory_lines(rest)
    rights, rest = _lines_of_rights(rest)
    every = lines(rest)
    read = list(map(_line if len(raw) < _LONG else status.known_line, every))
    if not all(read):
        unread = [line for line, one in zip(every, read, strict=True) if one is None]
        if left := status.unknown(unread):
            values["extra"] = left
    count = len(values) + len(read) - read.count(None) + len(memory) + len(rights)
    values |= filter(None, read)
    values |= memory
    values |= rights
    if len(values) != count:
        raise ValueError(status.REPEATED)
    return status.made(values, machine, _four)
