"""The shapes in which the kernel prints: NUL lists, `Key: value` lines, words in columns.

Each line is split from the side on which the kernel guarantees the delimiter. The caller keeps what
is left over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import takewhile
from math import isfinite
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from procmirror.decoding.byte_order import byte_order
from procmirror.decoding.reasons import LineError, expected
from procmirror.decoding.reasons import found as shown
from procmirror.decoding.text import decoded
from procmirror.decoding.view import counted, doc

Known = TypeVar("Known", bound=msgspec.Struct)

# Counters by their names; text where one is no number.
Counters = dict[str, int | str]

_OCTAL = re.compile(rb"\\([0-7]{3})")
_COUNT = re.compile(rb"[0-9]{1,19}")
_ONE_MORE = re.compile(rb"[0-9]+(?!\S)")
_CPU = re.compile(rb"CPU[0-9]{1,9}")
_NUMBER = re.compile(rb"-?[0-9]+")
# What the fields of a record are takes longer to find than a row to decode.
_fields = cache(msgspec.structs.fields)


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


def number(word: bytes | str) -> int:
    """A decimal number of at most 64 bits; ValueError for a larger one, as no kernel has any."""
    value = int(word)
    if not -(1 << 63) <= value < 1 << 64:
        raise expected("a number of at most 64 bits", word)
    return value


def decimal(word: bytes | str) -> float:
    """A decimal fraction; ValueError for what is none, such as `nan`, which float() reads too."""
    value = float(word)
    if not isfinite(value):
        raise expected("a number", word)
    return value


def counter(word: bytes | str) -> int:
    """A decimal number of a counter that the kernel keeps in 64 bits, as a signed number.

    The kernel prints a counter that fell below zero without its sign, that is 2^64 too large.
    ValueError for one of more than 64 bits.
    """
    return signed(int(word))


def signed(number: int) -> int:
    """An unsigned number of 64 bits as a signed one; ValueError for one of more bits."""
    high = number >> 63
    if high in {0, -1}:
        return number
    if high == 1:
        return number - (1 << 64)
    raise expected("a number of at most 64 bits", hex(number))


def unsigned(word: bytes | str) -> int:
    """A number of 32 bits without a sign that the kernel prints with one (`%d` for an id).

    ValueError for one of more bits.
    """
    value = int(word)
    if not -(1 << 31) <= value < 1 << 32:
        raise expected("a number of at most 32 bits", word)
    return value & 0xFFFFFFFF


def bits(number: int) -> int:
    """The number; ValueError for one below zero or of more than 64 bits, as no mask is."""
    if number >> 64:
        raise expected("a mask of at most 64 bits", f"{number:#x}")
    return number


def hexadecimal(word: bytes | str) -> int:
    """A number of at most 64 bits that the kernel prints in hexadecimal, with or without 0x."""
    value = int(word, 16)
    if value >> 64 not in {0, -1}:
        raise expected("a number of at most 64 bits", word)
    return value


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

    Empty lines are skipped. A line without a colon comes whole, with an empty value; LineError if
    all are so: then it is another kind of file.
    """
    if raw.strip() and b":" not in raw:
        raise LineError(1, f"expected a line `name: value`, found {shown(lines(raw)[0])}")
    for line in lines(raw):
        if line.strip():
            yield pair(line)


def pair(line: bytes) -> tuple[str, bytes]:
    """The key and the value of one such line."""
    key, _, value = line.partition(b":")
    return decoded(key.strip()), value.strip()


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
    """The CPUs of a mask that is printed in groups of 32 bits, the highest first (`%*pb`).

    ValueError for a CPU above 65535.
    """
    bits = int(mask.replace(",", ""), 16)
    if bits < 0 or bits >> 65536:
        raise expected("a mask of at most 65536 CPUs", mask)
    return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]


def blocks(raw: bytes) -> Iterator[bytes]:
    """The paragraphs of a file that separates them by empty lines."""
    return (block for block in raw.split(b"\n\n") if block.strip())


def cpus_of(raw: bytes) -> list[int]:
    """The CPUs that the first line names: `CPU0 CPU1 …`."""
    words = [*lines(raw)[:1], b""][0].split()
    if not all(map(_CPU.fullmatch, words)):
        raise LineError(1, f"expected the header CPU0 …, found {shown(b' '.join(words))}")
    return [int(word[3:]) for word in words]


def per_cpu(cpus: Sequence[int], row: bytes) -> tuple[str, int, dict[int, int], bytes]:
    """A row below such a line: name, sum of the counts, count of each CPU, text after the counts.

    A row with fewer counts than CPUs (`ERR:`) has no count of each CPU. ValueError for one with
    more: whose they are is not known.
    """
    name, colon, rest = row.partition(b":")
    if not colon:
        raise expected("a row `name: counts`", row)
    words = takewhile(_COUNT.fullmatch, rest.split(None, len(cpus))[: len(cpus)])
    counts = [int(word) for word in words]
    after = rest.split(None, len(counts))[len(counts) :]
    text = after[0] if after else b""
    # Behind fewer counts stand only words: else one of the counts is none.
    is_short = len(counts) < len(cpus) and text and not (len(counts) < 2 and text[:1].isalpha())
    # A CPU that came up during the read has counts in the rows below, and no title.
    if is_short or _ONE_MORE.match(text):
        raise expected(f"{len(cpus)} counts", row)
    each = dict(zip(cpus, counts, strict=True)) if len(counts) == len(cpus) else {}
    return decoded(name.strip()), sum(counts), each, text


def extra_by_position(words: Sequence[bytes], known: int) -> dict[str, str] | msgspec.UnsetType:
    """The columns after the first `known` ones, by number as proc(5) counts them."""
    return {
        str(at): decoded(word) for at, word in enumerate(words[known:], known + 1)
    } or msgspec.UNSET


def record_with_extra(kind: type[Known], values: Mapping[str, Any]) -> Known:
    """A record from values under the kernel's names; texts become numbers.

    Values without a field, and those that are not of the type of their field, go into `extra`. The
    field is null then; ValueError if it has to have a value.
    """
    long = [name for name, value in values.items() if isinstance(value, str) and len(value) > 18]
    signed = {**values, **{name: _signed(values[name]) for name in long}} if long else values
    try:
        made = _converted(kind, signed, {})
    except msgspec.ValidationError:
        return _converted(kind, signed, _odd(kind, signed))
    odd = _odd(kind, signed) if any(_is_number(signed[name]) for name in long) else None
    return _converted(kind, signed, odd) if odd else made


def _is_number(value: int | str) -> bool:
    """Whether a long value is a number that had more than 64 bits."""
    return isinstance(value, str) and value.removeprefix("-").isdecimal()


def _converted(kind: type[Known], values: Mapping[str, Any], odd: Mapping[str, bool]) -> Known:
    names = set(kind.__struct_encode_fields__) - odd.keys()
    extra = {name: str(value) for name, value in values.items() if name not in names}
    left = {name: value for name, value in values.items() if name not in odd} if odd else values
    left = {**left, **{name: None for name in odd if odd[name]}} if odd else left
    return msgspec.convert({**left, "extra": extra} if extra else left, kind, strict=False)


def _odd(kind: type[Known], values: Mapping[str, Any]) -> dict[str, bool]:
    """The fields whose values are not of their type, or numbers of more than 64 bits.

    True for those that have no default.
    """
    odd = {}
    for field in _fields(kind):
        if field.encode_name in values:
            try:
                value = msgspec.convert(values[field.encode_name], field.type, strict=False)
                if isinstance(value, int) and not isinstance(value, bool):
                    number(str(value))
            except ValueError:
                odd[field.encode_name] = field.required
    return odd


def _signed(value: str) -> int | str:
    """The value; if it is the text of a counter below zero, that number."""
    try:
        return counter(value) if value.isdecimal() else value
    except ValueError:
        return value


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


# One value of such a file, for the JSON Schema.
Count = (
    Annotated[int, counted("How often, or how much, since counting began")]
    | Annotated[str, doc("Of a line of another form: what stands behind its first word")]
)


def gauges(pattern: str) -> Meta:
    """The words of a mapping of counters; those of a pattern tell how many there are now."""
    now = {"type": ["integer", "string"], "description": "How many there are now"}
    return Meta(extra_json_schema={"patternProperties": {pattern: now}})


def counters(raw: bytes) -> dict[str, int | str]:
    """`Name number` of each line, under the kernel's own names.

    Of a line that has another form, the rest stands as text under its first word, or nothing under
    the whole line where another has that word. LineError if all have: then it is another kind of
    file.
    """
    found: dict[str, int | str] = {}
    for line in lines(raw):
        name, _, rest = b" ".join(line.split()).partition(b" ")
        if (value := _counted(rest)) is not None:
            found[decoded(name)] = value
        elif decoded(name) in found:
            found[decoded(line.strip())] = ""
        elif name:
            found[decoded(name)] = decoded(rest)
    if found and all(isinstance(value, str) for value in found.values()):
        raise LineError(1, f"expected a line `name number`, found {shown(lines(raw)[0])}")
    return found


def _counted(word: bytes) -> int | None:
    """The number of a counter; None for what is none."""
    try:
        return counter(word) if _NUMBER.fullmatch(word) else None
    except ValueError:
        return None


def headed_counters(raw: bytes) -> dict[str, Counters]:
    """Pairs of lines, `Group: names…` and `Group: numbers…`, as in /proc/net/snmp and netstat.

    What is no number stands as text. A line without its other one, or with another number of words,
    is a group without counters. LineError if no line has its form: then it is another kind of file.
    """
    found: dict[str, Counters] = {}
    names: dict[bytes, bytes] = {}
    odd: list[bytes] = []
    for line in filter(bytes.strip, lines(raw)):
        group, *values = line.split()
        head = names.pop(group, None)
        titles = [] if head is None else list(map(decoded, head.split()[1:]))
        counts = list(map(_counted, values))
        numbered = not counts or any(count is not None for count in counts)
        if head is not None and len(titles) == len(values) and numbered:
            told = (
                decoded(word) if one is None else one
                for one, word in zip(counts, values, strict=True)
            )
            found.setdefault(decoded(group[:-1]), {}).update(zip(titles, told, strict=True))
        else:
            odd += [] if head is None else [head]
            names[group if group.endswith(b":") else line] = line
    odd += names.values()
    if odd and not found:
        raise LineError(1, f"expected two lines `group: …`, found {shown(odd[0])}")
    return found | {decoded(line.strip()): Counters() for line in odd}


def extra_columns(
    found: Mapping[str, bytes], names: Iterable[str]
) -> dict[str, str] | msgspec.UnsetType:
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
