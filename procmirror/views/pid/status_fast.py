r"""/proc/PID/status: what a process is and may do; decoded fast.

Source: proc_pid_status(5), fs/proc/array.c. Programs read this file of every process.

It gives the records of status.decode in a third of the time: one pattern has the lines in the
kernel's order, and most values but sizes and ids say the same in most processes. What is kept
cannot be changed. A file of any other form is decoded by status.decode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import UNSET

from procmirror.decoding.shapes import kilobytes, lines, number
from procmirror.decoding.view import Machine
from procmirror.views.pid import status

# A file that is longer than any but a hostile one is not decoded here, as values of it are kept.
_LONG = 1 << 12
# Fields are named and ordered as the lines.
_FIELDS = status.Status.__struct_fields__
_UID, _GID = _FIELDS.index("Uid"), _FIELDS.index("Gid")
_SIZES = slice(_FIELDS.index("VmPeak"), _FIELDS.index("HugetlbPages") + 1)
_SIGNALS, _SWITCHES = _FIELDS.index("SigPnd"), _FIELDS.index("voluntary_ctxt_switches")
# From here to the counters lines are the same for many processes, and again for each as long as it
# lives.
_RIGHTS = _FIELDS[_SIGNALS:_SWITCHES]
_READERS = dict(status.KNOWN.values())


def _line(name: str) -> str:
    """The pattern of one line, which may be missing unless every kernel has it.

    Possessive, as nothing else can match: a file takes a microsecond. A number has at most 15
    digits: one of 19 may be below zero.
    """
    read, value = _READERS[name], r"[\t ]*+([^\n]*+)"
    if read is number:
        value = r"\t([0-9]{1,15}+)"
    elif read is kilobytes:
        value = r"\t *+([0-9]{1,15}+) kB"
    optional = "" if name in status.ALWAYS else "?+"
    return rf"(?:{name}:{value}\n){optional}"


_FILE = re.compile(
    (
        r"(Name:[^\n]*+)\n"
        + "".join(map(_line, _FIELDS[1:_SIGNALS]))
        + r"((?:[^v\n][^\n]*+\n)*+)"
        + "".join(map(_line, _FIELDS[_SWITCHES:-1]))
        + r"((?:[^\n]++\n)*+)"
    ).encode()
)


def _reader(name: str) -> Callable[[bytes | None], Any]:
    """The reader of a line that may be missing; it keeps the values that it read last."""
    read = _READERS[name]
    return lru_cache(maxsize=1024)(lambda value: None if value is None else read(value.strip()))


def _readers(names: tuple[str, ...]) -> tuple[Callable[[Any], Any], ...]:
    """The readers of lines; of numbers that every process has, and that differ, none is kept."""
    return tuple(
        int if name in status.ALWAYS and _READERS[name] is number else _reader(name)
        for name in names
    )


_HEAD, _TAIL = _readers(_FIELDS[1 : _SIZES.start]), _readers(_FIELDS[_SIZES.stop : _SIGNALS])


@lru_cache(maxsize=256)
def _rights(block: bytes) -> tuple[Any, ...] | None:
    """The values of the fields of rights, and what goes into `extra`.

    None if one is there twice, or another field among them.
    """
    every = lines(block)
    read = [status.known_line(line) for line in every]
    known = dict(filter(None, read))
    if len(known) != len(read) - read.count(None) or not known.keys() <= set(_RIGHTS):
        return None
    unread = [line for line, one in zip(every, read, strict=True) if one is None]
    return *map(known.get, _RIGHTS), status.unknown(unread) or UNSET


def _decoded(raw: bytes, machine: Machine) -> status.Status | None:
    """The record of a file in the kernel's form, None for any other; ValueError, LookupError."""
    match = _FILE.fullmatch(raw)
    if match is None:
        return None
    # By the places of the fields, as far as the first of rights; the last lines are such as these:
    # the kernel prints those of the architecture at the end.
    *words, last = match.groups()
    rights = _rights(words[_SIGNALS] + last)
    if rights is None:
        return None
    head = [read(word) for read, word in zip(_HEAD, words[1 : _SIZES.start], strict=True)]
    for at, names in ((_UID - 1, machine.users), (_GID - 1, machine.groups)):
        if head[at] is not None:
            head[at] = status.ids(head[at], names)
    values: list[Any] = [
        status.name_of(words[0]),
        *head,
        *[None if word is None else int(word) * 1024 for word in words[_SIZES]],
        *[read(word) for read, word in zip(_TAIL, words[_SIZES.stop : _SIGNALS], strict=True)],
        *rights[:-1],
        *[None if word is None else int(word) for word in words[_SIGNALS + 1 :]],
        # What is kept must not be what a caller may change.
        {**rights[-1]} if rights[-1] else UNSET,
    ]
    return status.Status(*values)


def decode(raw: bytes, machine: Machine) -> status.Status:
    """The keys of the file; those that this version does not know under `extra`."""
    try:
        found = _decoded(raw, machine) if len(raw) < _LONG else None
    except (ValueError, LookupError):
        found = None
    return found or status.decode(raw, machine)
