"""/proc/PID/environ: the environment area of a process, NUL-separated.

Source: proc_pid_environ(5), fs/proc/base.c.

The kernel shows the memory where execve(2) put the strings: a later setenv(3) is usually not in it,
an overwritten area is shown as it is now. Nothing promises `NAME=value`, a final NUL, or names that
occur once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

from procmirror.decoding.text import decoded, printable_lines
from procmirror.decoding.view import Machine, Record, doc


class Variable(Record, frozen=True):
    """One string of the environment."""

    name: Annotated[
        str | None, doc("What stands before the first `=`; null for a string without one")
    ]
    value: Annotated[str, doc("What stands after it, or the whole string")]


_MANY = 100_000
_TOGETHER = 1000


def decode(raw: bytes, _: Machine) -> Iterable[Variable]:
    """The strings in their order, repeats and empty ones kept.

    Of millions of empty ones never all at once.
    """
    variables = map(_variable, decoded(raw.removesuffix(b"\0")).split("\0") if raw else ())
    return variables if raw.count(0) > _MANY else list(variables)


def _variable(entry: str) -> Variable:
    name, equals, value = entry.partition("=")
    return Variable(name, value) if equals else Variable(None, entry)


def text(variables: Iterable[Variable], _: Machine) -> Iterator[str]:
    """One string a line."""
    lines = (one.value if one.name is None else f"{one.name}={one.value}" for one in variables)
    while some := list(islice(lines, _TOGETHER)):
        yield printable_lines(some)
