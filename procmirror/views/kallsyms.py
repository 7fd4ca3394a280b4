"""/proc/kallsyms: the symbols of the kernel and its modules (proc_kallsyms(5), kernel/kallsyms.c).

Far more than 100,000 lines, so they are streamed. To a requester without CAP_SYSLOG every address
is 0 (kptr_restrict); a kernel that shows them may have a few symbols at 0 too, but not at its
beginning only: the first lines tell the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated

from procmirror.decoding.shapes import bits
from procmirror.decoding.table import each
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Reading, Record, Undecoded, doc

# x86 before Linux 6.15 begins with per-CPU variables, the first few of them at 0.
BEGINNING = 64


class Symbol(Record, frozen=True):
    """One symbol."""

    address: Annotated[str | None, doc("Its address; null where the kernel hides it")]
    type: Annotated[
        str,
        doc(
            "Letter of nm(1): T or t for functions, D d B b R r for data, A absolute, W w weak; "
            "small: local"
        ),
    ]
    name: Annotated[str, doc("Its name; it need not be the only one of this name")]
    module: Annotated[
        str | None, doc("The module, bpf, __builtin__ftrace or the like; null: the kernel itself")
    ]


def _module(word: str) -> str:
    """The name between brackets; a word without them as it is."""
    return word[1:-1] if word[:1] == "[" and word[-1:] == "]" else word


def join(reading: Reading, _: Machine) -> Iterator[Symbol | Undecoded]:
    """The symbols in their order."""
    lines = reading.lines("kallsyms")
    beginning = list(islice(lines, BEGINNING))
    hidden = not any(line.split(b" ", 1)[0].strip(b"0") for line in beginning)
    return each(chain(beginning, lines), lambda line: _symbol(line, hidden))


def _symbol(line: bytes, hidden: bool) -> Symbol:
    address, kind, rest = line.split(b" ", 2)
    name, _, module = rest.partition(b"\t")
    where = None if hidden else hex(bits(int(address, 16)))
    return Symbol(where, decoded(kind), decoded(name), _module(decoded(module)) or None)
