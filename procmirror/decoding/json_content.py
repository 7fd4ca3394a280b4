"""Records as strict JSON that no terminal acts on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from procmirror.decoding.bounds import check_encoded
from procmirror.decoding.table import Rows

_encoder = msgspec.json.Encoder()
# Records that are encoded together: one by one takes more than twice the time.
BATCH = 64
# Of a longer document in bytes, a list of more records is indented in batches: at once, all of it
# takes three times its memory.
_AT_ONCE_BYTES, _AT_ONCE = 1 << 18, 512
# JSON allows these raw inside strings. A terminal may act on them, so they become \uXXXX, which
# every parser reads as the same.
_LOUD = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def encode(record: Any) -> bytes:
    """A record as compact JSON.

    ValueError for a number beyond 64 bits, which parsers would round or refuse.
    """
    encoded = _encoder.encode(
        [*record, *record.undecoded] if isinstance(record, Rows) and record.undecoded else record
    )
    check_encoded(encoded)
    return encoded


def quiet(encoded: bytes) -> bytes:
    """A JSON document with what a terminal may act on escaped."""
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _LOUD.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded.decode()).encode()


def json(record: Any) -> bytes:
    """A record as JSON: UTF-8, indented by two, one newline at the end."""
    return _indented(encode(record)) + b"\n"


def _indented(encoded: bytes) -> bytes:
    return quiet(msgspec.json.format(encoded, indent=2))


def _encode_all(records: list[Any], stamp: bytes) -> bytes:
    """Records as a compact JSON array."""
    return (
        b"[%s]" % b",".join(stamp + encode(one)[1:] for one in records)
        if stamp
        else encode(records)
    )


def rows(records: Iterator[Any], stamp: bytes) -> Iterator[bytes]:
    """A JSON array in batches of records: the same bytes as `json` gives for the list."""
    before = b"["
    while some := list(islice(records, BATCH)):
        yield before + _indented(_encode_all(some, stamp))[1:-2]
        before = b","
    yield b"[]\n" if before == b"[" else b"\n]\n"


def pieces_of(record: Any) -> Iterator[bytes]:
    """The same bytes as `json` gives, with lists of the record's own indented in batches.

    ValueError for a number beyond 64 bits, before the first piece.
    """
    encoded = encode(record)
    if len(encoded) <= _AT_ONCE_BYTES:
        yield _indented(encoded) + b"\n"
        return
    del encoded
    if isinstance(record, list) and len(record) > _AT_ONCE:
        every = [*record, *record.undecoded] if isinstance(record, Rows) else record
        yield from _joined(b"[\n", map(_lines, _encoded_in_batches(every)))
        yield b"\n]\n"
    elif long := _long_lists(record):
        yield from _with_long_lists(record, long)
    else:
        yield json(record)


def _encoded_in_batches(records: list[Any]) -> list[bytes]:
    """The compact JSON arrays of a list's batches."""
    return [encode(records[start : start + BATCH]) for start in range(0, len(records), BATCH)]


def _long_lists(record: Any) -> dict[str, list[Any]]:
    """The fields of a record, by name, that are lists to be indented in batches."""
    if not isinstance(record, msgspec.Struct):
        return {}
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, list) and len(value) > _AT_ONCE
    }


def _with_long_lists(record: msgspec.Struct, long: dict[str, list[Any]]) -> Iterator[bytes]:
    """A record in pieces: what is before each long list, its batches, what is after the last."""
    encoded = {name: _encoded_in_batches(records) for name, records in long.items()}
    # A line break is never inside a string, so these lines stand nowhere else.
    rest = json(msgspec.structs.replace(record, **{name: [0] for name in long}))
    names = dict(zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True))
    for name, batches in encoded.items():
        opening = b'\n  "%s": [\n' % names[name].encode()
        before, _, rest = rest.partition(opening + b"    0")
        yield from _joined(before + opening, map(_inner_lines, batches))
    yield rest


def _joined(before: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield before + piece
        before = b",\n"


def _lines(batch: bytes) -> bytes:
    """The lines of an array's elements."""
    return _indented(batch)[len(b"[\n") : -len(b"\n]")]


def _inner_lines(batch: bytes) -> bytes:
    """The same for an array that is a member of an object: each has a larger margin."""
    return _indented(b'{"":%s}' % batch)[len(b'{\n  "": [\n') : -len(b"\n  ]\n}")]
