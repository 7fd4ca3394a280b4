"""/proc/cmdline: what the boot loader passed to the kernel (proc_cmdline(5), fs/proc/cmdline.c).

Split as the kernel does (next_arg in lib/cmdline.c): at blanks outside of double quotes, which are
then left out. A name may come again (`console=`): all are kept. What follows `--` is for init.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.text import decoded, printable
from procmirror.decoding.view import Machine, Record, doc

# The kernel's blanks are those of Latin-1 (lib/ctype.c), also within a letter of UTF-8.
WORD = re.compile(rb'(?:[^ \t-\r\xa0"]|"[^"]*"?)+')


class Parameter(Record, frozen=True):
    """One parameter."""

    name: Annotated[
        str, doc("What stands before the first `=`, which cannot be the first character")
    ]
    value: Annotated[str | None, doc("What stands after it; null without one")]


class Cmdline(Record, frozen=True):
    """The whole line."""

    parameters: Annotated[list[Parameter], doc("For the kernel and its modules, repeats kept")]
    init: Annotated[list[str], doc("Arguments for init: what follows `--`")]


_END = Parameter("--", None)


def decode(raw: bytes, _: Machine) -> Cmdline:
    """The parameters in their order."""
    words = list(map(_parameter, WORD.findall(raw.removesuffix(b"\n"))))
    end = words.index(_END) if _END in words else len(words)
    return Cmdline(words[:end], list(map(_shown, words[end + 1 :])))


def _parameter(word: bytes) -> Parameter:
    """The name and the value of a word, without quotes that either begins with."""
    quoted = word.startswith(b'"')
    word = word[1:] if quoted else word
    equals = word.find(b"=", 1)
    if equals < 0:
        return Parameter(_closed(word, opened=quoted), None)
    value = word[equals + 1 :]
    opened = value.startswith(b'"')
    shown = _closed(value[1:] if opened else value, opened=quoted or opened)
    return Parameter(decoded(word[:equals]), shown)


def _closed(word: bytes, *, opened: bool) -> str:
    """A word as text, without one quote at its end if one was `opened`."""
    return decoded(word.removesuffix(b'"') if opened else word)


def _shown(one: Parameter) -> str:
    """A parameter without quotes, as init gets it (repair_env_string in init/main.c)."""
    return one.name if one.value is None else f"{one.name}={one.value}"


def text(cmdline: Cmdline, _: Machine) -> str:
    """One parameter a line, then the arguments of init."""
    shown = [_shown(one) for one in cmdline.parameters]
    rows = (
        [*shown, "", "init:", *(f"  {argument}" for argument in cmdline.init)]
        if cmdline.init
        else shown
    )
    return "".join(printable(row) + "\n" for row in rows)
