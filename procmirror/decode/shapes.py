"""The shapes in which the kernel prints: NUL lists, `Key: value` lines, words in columns.

Split from the side where the kernel guarantees the delimiter; what is left over is the caller's to
keep.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, TypeVar

import msgspec

Known = TypeVar("Known", bound=msgspec.Struct)

_OCTAL = re.compile(rb"\\([0-7]{3})")


def nul_list(raw: bytes) -> list[bytes]:
    """The entries of a NUL-separated list; the last needs no NUL of its own, empty entries stay."""
    if not raw:
        return []
    return raw.removesuffix(b"\0").split(b"\0")


def lines(raw: bytes) -> list[bytes]:
    """The lines of a file, without newlines.

    An empty line at the end is the last newline, not a line.
    """
    return raw.removesuffix(b"\n").split(b"\n") if raw else []


def pairs(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """`Key: value` of each line, split at the first colon; the value without the blanks around it.

    Raises ValueError for a line without a colon.
    """
    for line in lines(raw):
        key, colon, value = line.partition(b":")
        if not colon:
            raise ValueError(f"no colon in {line[:40]!r}")
        yield key.strip().decode("utf-8", "backslashreplace"), value.strip()


def kilobytes(value: bytes) -> int:
    """`1234 kB` in bytes (the kernel's kB is 1024 bytes)."""
    if value[-3:] != b" kB":
        raise ValueError(f"{value[:40]!r} is not in kB")
    return int(value[:-3]) * 1024


def numbers(value: bytes) -> list[int]:
    """A list of CPUs or nodes (`0-3,8`) as the kernel prints it.

    Ascending, so that nothing can make it longer than it is.

    Raises ValueError for a number that no kernel has and for one out of order.
    """
    found: list[int] = []
    for item in value.split(b",") if value else ():
        first, _, last = item.partition(b"-")
        start, end = int(first), int(last or first)
        if not (found[-1] if found else -1) < start <= end < 65536:
            raise ValueError(f"{item[:40]!r} is no range of CPUs or nodes")
        found.extend(range(start, end + 1))
    return found


def cpu_mask(mask: str) -> list[int]:
    """The CPUs of a mask that is printed in groups of 32 bits, the highest first (`%*pb`)."""
    bits = int(mask.replace(",", ""), 16)
    return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]


def blocks(raw: bytes) -> Iterator[bytes]:
    """The paragraphs of a file that separates them by empty lines."""
    return (block for block in raw.split(b"\n\n") if block.strip())


def per_cpu(raw: bytes) -> Iterator[tuple[str, int, dict[int, int], bytes]]:
    """The rows of a file headed by `CPU0 CPU1 …`.

    Name, sum, count of each CPU, and what follows the counts.

    A row with fewer counts than CPUs (`ERR:`) has no count of each.
    """
    header, *rows = lines(raw)
    cpus = [int(word.removeprefix(b"CPU")) for word in header.split()]
    for row in rows:
        name, colon, rest = row.partition(b":")
        if not colon:
            raise ValueError(f"no colon in {row[:40]!r}")
        counts = [
            int(word) for word in takewhile(bytes.isdigit, rest.split(None, len(cpus))[: len(cpus)])
        ]
        after = rest.split(None, len(counts))[len(counts) :]
        each = dict(zip(cpus, counts, strict=True)) if len(counts) == len(cpus) else {}
        yield (
            name.strip().decode("utf-8", "backslashreplace"),
            sum(counts),
            each,
            after[0] if after else b"",
        )


def surplus(words: Sequence[bytes], known: int) -> dict[str, str] | msgspec.UnsetType:
    """The columns after the `known` first ones under their numbers, as proc(5) counts them, for a field `extra`."""
    return {
        str(at): word.decode("utf-8", "backslashreplace")
        for at, word in enumerate(words[known:], known + 1)
    } or msgspec.UNSET


def known(kind: type[Known], values: Mapping[str, Any]) -> Known:
    """A record from values under the kernel's names, texts becoming numbers.

    Those without a field become its `extra`.
    """
    names = kind.__struct_encode_fields__
    extra = {name: str(value) for name, value in values.items() if name not in names}
    return msgspec.convert({**values, "extra": extra} if extra else values, kind, strict=False)


def unescaped(raw: bytes) -> bytes:
    r"""`raw` with the kernel's octal escapes (`\\040`, seq_escape) resolved.

    Any other backslash stays.
    """
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), raw) if b"\\" in raw else raw


def flags(mask: int, names: Mapping[int, str]) -> list[str]:
    """The names of the bits of a mask, lowest first; a bit without a name as `0x…`."""
    if mask < 0 or mask >> 128:
        raise ValueError("no mask of the kernel has more than 128 bits")
    return [
        names.get(1 << bit) or hex(1 << bit) for bit in range(mask.bit_length()) if mask >> bit & 1
    ]


def ipv4(number: bytes) -> str:
    """An IPv4 address that the kernel printed as a hexadecimal number.

    Its bytes in memory, read in the machine's order.
    """
    return inet_ntop(AF_INET, int(number, 16).to_bytes(4, sys.byteorder))


def ipv6(digits: bytes) -> str:
    """An IPv6 address printed as 32 hexadecimal digits (`%pi6`)."""
    return inet_ntop(AF_INET6, bytes.fromhex(digits.decode("ascii")))


def counters(raw: bytes) -> dict[str, int]:
    """`Name number` of each line, under the kernel's own names."""
    found: dict[str, int] = {}
    for line in lines(raw):
        name, number = line.split()
        found[name.decode("utf-8", "backslashreplace")] = int(number)
    return found


def headed_counters(raw: bytes) -> dict[str, dict[str, int]]:
    """Pairs of lines, `Group: names…` over `Group.

    Numbers…`, as /proc/net/snmp and netstat have them.
    """
    rows = [line.split() for line in lines(raw)]
    found: dict[str, dict[str, int]] = {}
    for (group, *names), (same, *values) in zip(rows[::2], rows[1::2], strict=True):
        if group != same or not group.endswith(b":"):
            raise ValueError(f"{group[:40]!r} stands over {same[:40]!r}")
        columns = found.setdefault(group[:-1].decode("utf-8", "backslashreplace"), {})
        for name, value in zip(names, values, strict=True):
            columns[name.decode("utf-8", "backslashreplace")] = int(value)
    return found


def unknown(found: Mapping[str, bytes], names: Iterable[str]) -> dict[str, str] | msgspec.UnsetType:
    """The columns whose headers are not among `names`, for a field `extra`."""
    left = {
        name: value.decode("utf-8", "backslashreplace")
        for name, value in found.items()
        if name not in names
    }
    return left or msgspec.UNSET


def inet_address(digits: bytes) -> str:
    """An address of /proc/net/tcp or tcp6.

    8 or 32 digits, in words that were each printed as a number of the host.
    """
    if len(digits) == 8:
        return ipv4(digits)
    words = (
        int(digits[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(digits), 8)
    )
    return inet_ntop(AF_INET6, b"".join(words))
