"""The shapes in which the kernel prints: NUL lists, `Key: value` lines, words in columns.

Each line is split from the side on which the kernel guarantees the delimiter. The caller keeps what
is left over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, TypeVar

import msgspec

from procmirror.decoding.byte_order import byte_order
from procmirror.decoding.reasons import LineError, expected
from procmirror.decoding.reasons import found as shown
from procmirror.decoding.text import decoded

Known = TypeVar("Known", bound=msgspec.Struct)

_OCTAL = re.compile(rb"\\([0-7]{3})")


def nul_list(raw: bytes) -> list[bytes]:
    """The entries of a NUL-separated list, empty ones too; the last needs no NUL of its own."""
    if not raw:
        return []
    return raw.removesuffix(b"\0").split(b"\0")


def lines(raw: bytes) -> list[bytes]:
    """The lines of a file, without newlines.

    Empty lines at the end, which captured files often have, are dropped.
    """
    kept = raw.rstrip(b"\n")
    return kept.split(b"\n") if kept else []


def exact_lines(raw: bytes) -> list[bytes]:
    """The lines of a file whose last lines may be empty, because names in it contain newlines."""
    return raw.removesuffix(b"\n").split(b"\n") if raw else []


def counter(word: bytes | str) -> int:
    """A decimal number of a counter that the kernel keeps in 64 bits, as a signed number.

    The kernel prints a counter that fell below zero without its sign, that is 2^64 too large.
    """
    return signed(int(word))


def signed(number: int) -> int:
    """An unsigned number of 64 bits as a signed one."""
    return number - (1 << 64) if number >> 63 == 1 else number


def hexadecimal(word: bytes | str) -> int:
    """A number that the kernel prints in hexadecimal, with or without 0x."""
    return int(word, 16)


def scaled(word: bytes | str, unit: int) -> int:
    """A counter times its unit; negative if a size in bytes fell below zero.

    Raises ValueError for more than 64 bits of bytes, which no size of the kernel has.
    """
    number = counter(word) * unit
    if not -(1 << 63) <= number < 1 << 64:
        raise ValueError(f"expected a size of at most 64 bits, found {word!r} times {unit}")
    return number - (1 << 64) if number >= 1 << 63 else number


def pairs(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """`Key: value` of each line, split at the first colon and stripped of blanks.

    Empty lines are skipped. Raises LineError for a line without a colon.
    """
    for at, line in enumerate(lines(raw), 1):
        key, colon, value = line.partition(b":")
        if colon:
            yield decoded(key.strip()), value.strip()
        elif line.strip():
            raise LineError(at, f"expected a line `name: value`, found {shown(line)}")


def kilobytes(value: bytes) -> int:
    """`1234 kB` in bytes (the kernel's kB is 1024 bytes)."""
    if value[-3:] != b" kB":
        raise expected("a size in kB", value)
    return scaled(value[:-3], 1024)


def numbers(value: bytes) -> list[int]:
    """A list of CPUs or nodes as the kernel prints it (`0-3,8`).

    The numbers must ascend, so that no input is longer as a list than the kernel's largest.

    Raises ValueError for a number out of order, or above 65535.
    """
    found: list[int] = []
    for item in value.split(b",") if value else ():
        first, _, last = item.partition(b"-")
        start, end = int(first), int(last or first)
        if not (found[-1] if found else -1) < start <= end < 65536:
            raise expected("an ascending range of CPUs or nodes", item)
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
    """The rows of a file that is headed by `CPU0 CPU1 …`.

    Each is a name, the sum of the counts, the count of each CPU, and the text after the counts.

    A row with fewer counts than CPUs (`ERR:`) has no count of each CPU.
    """
    header, *rows = lines(raw)
    cpus = [int(word.removeprefix(b"CPU")) for word in header.split()]
    for row in rows:
        name, colon, rest = row.partition(b":")
        if not colon:
            raise expected("a row `name: counts`", row)
        words = takewhile(bytes.isdigit, rest.split(None, len(cpus))[: len(cpus)])
        counts = [int(word) for word in words]
        after = rest.split(None, len(counts))[len(counts) :]
        each = dict(zip(cpus, counts, strict=True)) if len(counts) == len(cpus) else {}
        yield decoded(name.strip()), sum(counts), each, after[0] if after else b""


def surplus(words: Sequence[bytes], known: int) -> dict[str, str] | msgspec.UnsetType:
    """The columns after the first `known` ones, by number as proc(5) counts them."""
    return {
        str(at): decoded(word) for at, word in enumerate(words[known:], known + 1)
    } or msgspec.UNSET


def known(kind: type[Known], values: Mapping[str, Any]) -> Known:
    """A record from values under the kernel's names; texts become numbers.

    Values without a field, and those of an optional field that are not of its type, go into
    `extra`.
    """
    signed = {name: _signed(value) for name, value in values.items()}
    try:
        return _converted(kind, signed, set())
    except msgspec.ValidationError:
        return _converted(kind, signed, _odd(kind, signed))


def _converted(kind: type[Known], values: Mapping[str, Any], odd: set[str]) -> Known:
    names = set(kind.__struct_encode_fields__) - odd
    extra = {name: str(value) for name, value in values.items() if name not in names}
    left = {name: value for name, value in values.items() if name not in odd}
    return msgspec.convert({**left, "extra": extra} if extra else left, kind, strict=False)


def _odd(kind: type[Known], values: Mapping[str, Any]) -> set[str]:
    """The optional fields whose values are not of their type."""
    odd = set()
    for field in msgspec.structs.fields(kind):
        if not field.required and field.encode_name in values:
            try:
                msgspec.convert(values[field.encode_name], field.type, strict=False)
            except msgspec.ValidationError:
                odd.add(field.encode_name)
    return odd


def _signed(value: Any) -> Any:
    """The value; if it is the text of a counter below zero, that number."""
    long = isinstance(value, str) and len(value) > 18 and value.isdecimal()
    return counter(value) if long else value


def unescaped(raw: bytes) -> bytes:
    r"""`raw` with the kernel's octal escapes (`\\040`, seq_escape) resolved.

    Any other backslash stays.
    """
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), raw) if b"\\" in raw else raw


def flags(mask: int, names: Mapping[int, str]) -> list[str]:
    """The names of the bits of a mask, lowest first; `0x…` for a bit without a name."""
    if mask < 0 or mask >> 128:
        raise expected("a mask of at most 128 bits", hex(mask))
    return [
        names.get(1 << bit) or hex(1 << bit) for bit in range(mask.bit_length()) if mask >> bit & 1
    ]


def ipv4(number: bytes) -> str:
    """An IPv4 address that the kernel printed as a hexadecimal number.

    The number is the address's bytes in memory, read in the machine's byte order.
    """
    return inet_ntop(AF_INET, int(number, 16).to_bytes(4, byte_order()))


def ipv6(digits: bytes) -> str:
    """An IPv6 address printed as 32 hexadecimal digits (`%pi6`)."""
    return inet_ntop(AF_INET6, bytes.fromhex(digits.decode("ascii")))


def counters(raw: bytes) -> dict[str, int]:
    """`Name number` of each line, under the kernel's own names."""
    found: dict[str, int] = {}
    for at, line in enumerate(lines(raw), 1):
        name, *number = line.split()
        if len(number) != 1:
            raise LineError(at, f"expected a line `name number`, found {shown(line)}")
        found[decoded(name)] = counter(number[0])
    return found


def headed_counters(raw: bytes) -> dict[str, dict[str, int]]:
    """Pairs of lines, `Group: names…` and `Group: numbers…`, as in /proc/net/snmp and netstat.

    Raises ValueError if the groups or the numbers of columns differ.
    """
    rows = [line.split() for line in lines(raw)]
    found: dict[str, dict[str, int]] = {}
    for (group, *names), (same, *values) in zip(rows[::2], rows[1::2], strict=True):
        if group != same or not group.endswith(b":"):
            raise expected(f"a second line of {decoded(group)}", same)
        columns = found.setdefault(decoded(group[:-1]), {})
        for name, value in zip(names, values, strict=True):
            columns[decoded(name)] = counter(value)
    return found


def unknown(found: Mapping[str, bytes], names: Iterable[str]) -> dict[str, str] | msgspec.UnsetType:
    """The columns whose headers are not in `names`, for a field `extra`."""
    left = {name: decoded(value) for name, value in found.items() if name not in names}
    return left or msgspec.UNSET


def inet_address(digits: bytes) -> str:
    """An address of /proc/net/tcp or tcp6.

    It has 8 or 32 digits: words that were each printed as a number in the machine's byte order.
    """
    if len(digits) == 8:
        return ipv4(digits)
    words = (
        int(digits[at : at + 8], 16).to_bytes(4, byte_order()) for at in range(0, len(digits), 8)
    )
    return inet_ntop(AF_INET6, b"".join(words))
