"""/proc/PID/environ: the environment area of a process, NUL-separated.

Source: proc_pid_environ(5), fs/proc/base.c.

The kernel shows the memory where execve(2) put the strings: a later setenv(3) is usually not in it,
an overwritten area is shown as it is now. Nothing promises `NAME=value`, a final NUL, or names that
occur once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
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
# So many empty strings in a row are no environment any more.
_OVERWRITTEN = 8


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
    """One string a line; many empty ones in a row as one line that says what they mean."""
    lines = (one.value if one.name is None else f"{one.name}={one.value}" for one in variables)
    for empty, some in groupby(lines, lambda line: not line):
        if empty:
            yield from _empty(sum(1 for _ in some))
        else:
            while piece := list(islice(some, _TOGETHER)):
                yield printable_lines(piece)


def _empty(count: int) -> Iterator[str]:
    """The lines of empty strings: a program that writes its title over them leaves hundreds."""
    if count < _OVERWRITTEN:
        yield "\n" * count
    else:
        yield f"({count} NUL bytes: the program has overwritten its environment, as a title does)\n"
