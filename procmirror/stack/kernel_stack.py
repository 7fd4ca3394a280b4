"""/proc/PID/stack: the kernel's own frames, in every form it has had since 2.6.29.

Source: proc_pid_stack in fs/proc/base.c.

`[<ADDRESS>] symbol+0xOFFSET/0xSIZE [module]`; the address is 0 since 4.15, an address without a
symbol stands in its place. A build id may follow the module's name (CONFIG_STACKTRACE_BUILD_ID),
`?` marks a word that merely looked like a return address, and up to 5.2 a last line of all ones
ends the list. The kernel cuts at 64 frames.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import structs

from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Record, doc
from procmirror.stack.kallsyms import Symbols

_LINE = re.compile(
    rb"\s*\[<(?:0x)?([0-9a-fA-F]*)>\]\s+(\?\s+)?"
    rb"(?:(0x[0-9a-fA-F]+)|(\S+?)(?:\+0x([0-9a-fA-F]+)(?:/0x([0-9a-fA-F]+))?)?)"
    rb"(?:\s+\[([^\]\s]+)(?:\s+[0-9a-f]+)?\])?(?:\s+[0-9a-f]{32,})?\s*"
)
_ENDS = {(1 << 64) - 1, (1 << 32) - 1}


class KernelFrame(Record, frozen=True):
    """One function of the kernel that waits for the one before it."""

    symbol: Annotated[
        str | None, doc("The function; null where neither the line nor kallsyms names it")
    ]
    offset: Annotated[
        int | None,
        doc("Where in the function (or in the module without symbols) it continues", "bytes"),
    ]
    size: Annotated[int | None, doc("Length of the function", "bytes")]
    module: Annotated[str | None, doc("The module it belongs to; null for the kernel itself")]
    address: Annotated[str | None, doc("The address in hexadecimal, where the kernel shows it")]


def frames(raw: bytes, symbols: Symbols | None = None) -> list[KernelFrame]:
    """The frames, innermost first, without words that the kernel doubts (`?`).

    Bare addresses are looked up in `symbols`.
    """
    found = []
    for line in lines(raw):
        match = _LINE.fullmatch(line)
        if match is None:
            found.append(KernelFrame(decoded(line.strip()), None, None, None, None))
        elif match[3] and int(match[3], 16) in _ENDS:
            break
        elif not match[2]:
            found.append(_frame(match, symbols))
    return found


def of_address(address: int, symbols: Symbols) -> KernelFrame:
    """The frame of an address in the kernel, as far as the requester may know its name."""
    place, text = symbols.place(address), f"{address:#x}"
    if place is None:
        return KernelFrame(None, None, None, None, text)
    return KernelFrame(
        decoded(place.symbol) if place.symbol else None,
        place.offset,
        place.size,
        decoded(place.module) if place.module else None,
        text,
    )


def _frame(match: re.Match[bytes], symbols: Symbols | None) -> KernelFrame:
    shown, _, bare, name, offset, size, module = match.groups()
    address = int(bare or shown or b"0", 16)
    text = f"{address:#x}" if address else None
    inside = decoded(module) if module else None
    if name:
        return KernelFrame(decoded(name), _number(offset), _number(size), inside, text)
    found = of_address(address, symbols) if symbols and address else None
    if found is None:
        return KernelFrame(None, None, None, inside, text)
    return structs.replace(found, module=found.module or inside)


def _number(text: bytes | None) -> int | None:
    return int(text, 16) if text else None
