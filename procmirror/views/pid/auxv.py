"""/proc/PID/auxv: what the kernel told the program at its start.

Source: proc_pid_auxv(5), getauxval(3), auxv_read in fs/proc/base.c.

Pairs of words up to AT_NULL, in the word size and byte order of the *program*: a 32-bit process has
words of 32 bits. The file says neither, so that reading is taken in which all types are small and
AT_NULL comes. Some values point to strings; these are read from the memory of the process as they
are now, and are null to a requester that may not read it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from textwrap import fill
from typing import Annotated

from msgspec import field

from procmirror.decoding.reasons import expected, refusal, why
from procmirror.decoding.shapes import flags
from procmirror.decoding.text import decoded, printable
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc
from procmirror.kernel.auxv import HWCAPS, NAMES

_WORDS = ("<QQ", "<II", ">QQ", ">II")
_LARGEST_TYPE = 0xFFF
_STRINGS = {"AT_PLATFORM", "AT_BASE_PLATFORM", "AT_EXECFN"}
_LONGEST_STRING = 4096  # PATH_MAX
_NUMBERS = (
    {
        "AT_EXECFD",
        "AT_PHENT",
        "AT_PHNUM",
        "AT_PAGESZ",
        "AT_NOTELF",
        "AT_UID",
        "AT_EUID",
        "AT_GID",
        "AT_EGID",
        "AT_CLKTCK",
    }
    | {
        "AT_DCACHEBSIZE",
        "AT_ICACHEBSIZE",
        "AT_UCACHEBSIZE",
        "AT_SECURE",
        "AT_RSEQ_FEATURE_SIZE",
        "AT_RSEQ_ALIGN",
    }
    | {
        "AT_L1I_CACHESIZE",
        "AT_L1D_CACHESIZE",
        "AT_L2_CACHESIZE",
        "AT_L3_CACHESIZE",
        "AT_ADI_BLKSZ",
        "AT_MINSIGSTKSZ",
    }
)
_FLAGS = {1: "AT_FLAGS_PRESERVE_ARGV0"}  # include/uapi/linux/binfmts.h


class Entry(Record, frozen=True):
    """One entry of the vector."""

    name: Annotated[str | None, doc("`AT_…`; null for a type that this version does not know")]
    type: Annotated[int, doc("The type")]
    value: Annotated[
        int | str, doc("A number, sizes in bytes; addresses, masks and what is not known as `0x…`")
    ]
    meaning: Annotated[
        str | list[str] | None, doc("The string it points to, the words of the mask")
    ]
    incomplete: Annotated[
        list[Incomplete], doc("Why the string could not be read; empty if it could")
    ] = field(default_factory=list)


def join(reading: Reading, _: Machine) -> list[Entry]:
    """The entries in their order. Ids get no names.

    They are those of the program's own user namespace.
    """
    vector = _vector(reading.read("auxv"))
    found = {
        value: _string(reading, value) for kind, value in vector if NAMES.get(kind) in _STRINGS
    }
    strings = {value: one if isinstance(one, str) else None for value, one in found.items()}
    platform = next(
        (strings[value] for kind, value in vector if NAMES.get(kind) == "AT_PLATFORM"), None
    )
    masks = {"AT_FLAGS": _FLAGS, **HWCAPS.get(platform or "", {})}

    def entry(kind: int, value: int) -> Entry:
        name = NAMES.get(kind, "")
        meaning = (
            flags(value, masks[name])
            if name in masks
            else strings[value]
            if name in _STRINGS
            else None
        )
        unread = found[value] if name in _STRINGS else None
        missing = [Incomplete("mem", why(unread))] if isinstance(unread, OSError) else []
        shown = value if name in _NUMBERS else hex(value)
        return Entry(name or None, kind, shown, meaning, missing)

    return [entry(kind, value) for kind, value in vector]


def _vector(raw: bytes) -> list[tuple[int, int]]:
    for words in _WORDS:
        if found := _pairs(raw, words):
            return found
    if raw.strip(b"\0"):
        raise expected("a vector of words of 32 or 64 bits that ends with AT_NULL", raw)
    return []


def _pairs(raw: bytes, words: str) -> list[tuple[int, int]] | None:
    """The entries before AT_NULL if these are the words; None if they are not."""
    found: list[tuple[int, int]] = []
    whole = len(raw) - len(raw) % struct.calcsize(words)
    for kind, value in struct.iter_unpack(words, raw[:whole]):
        if kind == 0:
            return found
        if kind > _LARGEST_TYPE:
            return None
        found.append((kind, value))
    return None


def _string(reading: Reading, address: int) -> str | OSError | None:
    if not 0 < address < 2**63:
        return None
    try:
        return decoded(reading.part("mem", address, _LONGEST_STRING).partition(b"\0")[0])
    except OSError as refused:
        return refused


def text(entries: list[Entry], _: Machine) -> Iterator[str]:
    """One entry a line, long masks on several."""
    for entry in entries:
        words = entry.meaning
        meaning = " ".join(words) if isinstance(words, list) else words or ""
        meaning += "".join(f"({refusal(one.reason)})" for one in entry.incomplete)
        line = f"{entry.name or entry.type:<20}  {entry.value:<18}  {printable(meaning)}".rstrip()
        yield (
            fill(line, 100, subsequent_indent=" " * 42, break_on_hyphens=False)
            if isinstance(words, list) and len(line) > 100
            else line
        ) + "\n"
