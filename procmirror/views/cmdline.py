"""/proc/cmdline: what the boot loader passed to the kernel (proc_cmdline(5), fs/proc/cmdline.c).

Split as the kernel does (next_arg in lib/cmdline.c): at blanks outside of double quotes, which are
then left out. A name may come again (`console=`): all are kept. What follows `--` is for init.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.text import decoded, printable
from procmirror.decoding.view import Machine, Record, doc

WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+', re.ASCII)


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


def decode(raw: bytes, _: Machine) -> Cmdline:
    """The parameters in their order."""
    words: list[str] = WORD.findall(decoded(raw))
    end = words.index("--") if "--" in words else len(words)
    return Cmdline(
        [_parameter(word) for word in words[:end]],
        [_shown(_parameter(word)) for word in words[end + 1 :]],
    )


def _unquoted(word: str) -> str:
    return word[1:].removesuffix('"') if word.startswith('"') else word


def _parameter(word: str) -> Parameter:
    word = _unquoted(word)
    equals = word.find("=", 1)
    return (
        Parameter(word, None)
        if equals < 0
        else Parameter(word[:equals], _unquoted(word[equals + 1 :]))
    )


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
