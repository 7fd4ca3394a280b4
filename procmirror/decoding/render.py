"""Records as the bytes of a file: strict JSON, or text that cannot control a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_args, get_origin

import msgspec

from procmirror.decoding.json_content import encode, json, pieces_of, quiet, rows
from procmirror.decoding.reasons import SURPRISES, reason
from procmirror.decoding.table import Rows
from procmirror.decoding.text import harmless, printable
from procmirror.decoding.view import DecodeError, Each, Machine, Stamp, Undecoded, View, odd_values


def _stamp(machine: Machine, view: View) -> bytes:
    """The bytes that each record of `view` begins with instead of its brace."""
    return encode(machine.stamp)[:-1] + b"," if view.stamped and machine.stamp else b""


def _line(record: Any, stamp: bytes) -> bytes:
    encoded = encode(record)
    return quiet(stamp + encoded[1:] if stamp else encoded) + b"\n"


def _lines(each: Each, stamp: bytes) -> Each:
    """A walk that makes lines instead of records.

    The thread that makes a record also encodes it.
    """

    def line(name: str) -> bytes | None:
        made = each.make(name)
        if made is None:
            return None
        return b"".join(
            _line(record, stamp) for record in (made if isinstance(made, list) else [made])
        )

    return replace(each, make=line)


def _text(pieces: Iterator[str]) -> Iterator[bytes]:
    for piece in pieces:
        yield harmless(piece).encode("utf-8", "backslashreplace")


def _guarded(view: View, pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except (OSError, DecodeError):
        raise
    except SURPRISES as surprise:
        line: int | None = getattr(surprise, "line", None)
        raise DecodeError(view.name, reason(surprise), line) from surprise


def _sorted_out(records: Iterator[Any], odd: Rows[Any]) -> Iterator[Any]:
    """The records of a stream without the lines that could not be decoded, which go into `odd`."""
    for record in records:
        if isinstance(record, Undecoded):
            odd.undecoded.append(record)
        else:
            yield record


def _missing(record: Any) -> Iterator[str]:
    """The last lines of a text: each line or value that could not be decoded, with the reason."""
    for part in odd_values(record):
        yield f"incomplete: {part.part}: {printable(part.reason)}\n"
    for one in record.undecoded if isinstance(record, Rows) else ():
        for part in one.incomplete:
            yield f"incomplete: {part.part}: {part.reason}: {printable(one.line)}\n"


def rendered(
    view: View,
    suffix: str,
    record: Any,
    machine: Machine,
    walk: Callable[[Each], Iterator[Any]] = iter,
) -> Iterator[bytes]:
    """The content of `view` in the format `suffix`, in pieces.

    `walk` makes the records of a view of all processes.

    Raises DecodeError, also midway, if a record cannot be encoded or a streamed source does not
    decode.
    """
    if isinstance(record, Each):
        if suffix == "ndjson" and record.arrange is None:
            return _guarded(view, walk(_lines(record, _stamp(machine, view))))
        record = record.content(walk(record))
    text = {"txt": view.text, "folded": view.folded}.get(suffix)
    if text is not None:

        def pieces() -> Iterator[bytes]:
            odd = Rows[Any]()
            stream = isinstance(record, Iterator)
            made = text(_sorted_out(record, odd) if stream else record, machine)
            yield from _text(iter((made,)) if isinstance(made, str) else made)
            yield from _text(_missing(odd if stream else record))

        return _guarded(view, pieces())
    if suffix == "ndjson":
        stamp = _stamp(machine, view)
        return _guarded(view, (_line(one, stamp) for one in record))
    if isinstance(record, Iterator):
        return _guarded(view, rows(record, _stamp(machine, view)))
    return _guarded(view, pieces_of(record))


def content_of(view: View, suffix: str, record: Any, machine: Machine) -> bytes:
    """The whole content of `view` in the format `suffix`; `record` is no walk and no stream.

    Raises DecodeError if the record cannot be encoded.
    """
    if suffix != "json" or isinstance(record, Iterator):
        return b"".join(rendered(view, suffix, record, machine))
    return bytes(view.guarded(lambda one, _: json(one), record, machine))


def _with_undecoded(made: dict[str, Any]) -> dict[str, Any]:
    """The schema of an array whose elements may also be lines that could not be decoded."""
    other = msgspec.json.schema(Undecoded)
    return {
        **made,
        "items": {"anyOf": [made["items"], {"$ref": other["$ref"]}]},
        "$defs": {**made.get("$defs", {}), **other["$defs"]},
    }


def schema(view: View) -> dict[str, Any]:
    """The JSON Schema of the view's `.json` (of one line, for ndjson)."""
    made = msgspec.json.schema(view.record)
    if view.stamped:
        (stamp,) = msgspec.json.schema(Stamp)["$defs"].values()
        record = made["$defs"][(*get_args(view.record), view.record)[0].__name__]
        record["properties"] = stamp["properties"] | record["properties"]
    if get_origin(view.record) is list and (view.decode is not None or view.by_line):
        made = _with_undecoded(made)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": view.name, **made}
