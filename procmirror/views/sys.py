"""/proc/sys: the kernel's parameters.

Source: proc_sys(5), sysctl(8). As one tree of what the requester may read: a whole number is a
number, a row of several an array, all else a text as the kernel prints it.

What only takes commands, or does something when it is read, is left out; so is the file system that
may be mounted inside. A parameter that cannot be read is null.
"""

from __future__ import annotations

import errno
import re
from typing import Any

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Reading

# Deeper down the same again: a type that refers to itself has no JSON Schema in msgspec.
Value = int | list[int] | str | None
Tree = dict[str, Value | dict[str, Any]]
# Numbers with leading zeros are masks and modes in other bases.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")

LEFT_OUT = {
    "fs/binfmt_misc",
    "kernel/random/uuid",
    "net/ipv4/route/flush",
    "net/ipv6/route/flush",
    "vm/compact_memory",
    "vm/drop_caches",
    "vm/stat_refresh",
}
# Every network interface has about 150 parameters: this is for hundreds of interfaces, and far from
# endless.
COUNT = 100_000
DEPTH = 16


def join(reading: Reading, _: Machine) -> Tree:
    """The tree."""
    left = [COUNT]
    return _tree(reading, "", left, DEPTH)


def _tree(reading: Reading, place: str, left: list[int], depth: int) -> Tree:
    names = reading.names(f"sys/{place}" if place else "sys")
    left[0] -= len(names)
    if left[0] < 0 or not depth:
        raise OSError(errno.EFBIG, "too many parameters")
    paths = {name: f"{place}/{name}" if place else name for name in names}
    return {
        name: _value(reading, path, left, depth)
        for name, path in paths.items()
        if path not in LEFT_OUT
    }


def typed(said: str) -> Value:
    """A parameter as a number or an array of numbers, if it is; else its text."""
    words = said.split()
    if not words or len(words) > 1000 or not all(map(_NUMBER.fullmatch, words)):
        return said
    numbers = [int(word) for word in words]
    if not all(-(2**63) <= number < 2**63 for number in numbers):
        return said
    return numbers[0] if len(numbers) == 1 else numbers


def _value(reading: Reading, path: str, left: list[int], depth: int) -> Value | Tree:
    try:
        return typed(decoded(reading.read(f"sys/{path}")).removesuffix("\n"))
    except IsADirectoryError:
        pass
    except OSError:
        return None
    try:
        return _tree(reading, path, left, depth - 1)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise
        return None
