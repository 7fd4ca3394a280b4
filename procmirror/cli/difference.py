"""What differs between two readings of a view: what is new, gone or changed, and what was counted.

The JSON Schema of a view says which fields are counters, and in which unit.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from procmirror.decoding.render import schema
from procmirror.decoding.text import columns, duration, size
from procmirror.decoding.view import View

# What tells the elements of an array apart, the first that all of the names are found of; a single
# one that is null tells nothing. A dot leads into a field. The times of a processor (`cpu`) have a
# counter `softirq`, and most of the later names stand in records of other kinds too.
_KEYS = tuple(
    tuple(tuple(word.split(".")) for word in line.split())
    for line in """
    pid use fd path
    pid tid
    pid device inode start end
    eth pid inode
    pid
    tid
    fd
    use target
    interface
    interrupt
    cpu
    softirq
    netid inode local peer
    mount_id
    device name
    id
    start end name
    arch number
    name driver
    name objsize
    name
    key
    local_address local_port rem_address rem_port inode
    num inode path
    sk inode
    pro from_address from_port to_address to_port
    l4proto original.src original.sport original.dst original.dport original.id
    l4proto src sport dst dport helper
    iface destination prefix_length gateway metric
    iface destination gateway source
    destination prefix_length source gateway device metric
    table prefix scope type tos
    idx device mca src
    idx device address
    group origin
    idx group
    idx device
    label owner dst
    ip_address device
    ifindex address
    address association
    version server port device
    version server port hostname
    device mount_point
    spec file
    file line function module
    path client
    driver path major first
    type device function
    protocol slab
    node zone
    endpoint socket
    transport port
    subsys_name
    hierarchy
    limit
    inside
    clock
    slot
    bar
    processor
    channel
    serial
    pf
    queue
    group
    realm
    vif
    line uart
    irq
    journal
    backtrace
    pool
    register
    Filename
    wd
    address
    start
    type
    uid
    part
    """.strip().splitlines()
)
_WIDE = 60


class Field(NamedTuple):
    """A value of a record; `unit` is that of a counter, "" without one, None if it is none."""

    value: Any
    unit: str | None


class Change(NamedTuple):
    """One difference. `kind` is new, gone, changed or counted; `at` the place in the record."""

    kind: str
    who: str
    field: str = ""
    old: Any = None
    new: Any = None
    unit: str = ""
    at: int = 0


Reading = dict[tuple[Any, ...], tuple[str, dict[str, Field]]]


def reading(view: View | None, content: bytes) -> Reading:
    """The fields of each record in the JSON of a view (an array, an object, or a record a line).

    ValueError for what is no such JSON. Without a view nothing is known to be a counter.
    """
    document = {} if view is None else schema(view)
    named, (records, alone) = document.get("$defs", {}), _records(content)
    part = document.get("items", document)
    found: Reading = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    for record in records:
        key, who = ((), "") if alone else _identity(record)
        seen[key] += 1
        fields = dict(_fields(record, [part], named, "", None))
        found[(*key, seen[key])] = who, fields
    return found


def _records(content: bytes) -> tuple[list[Any], bool]:
    """The records, and whether there is but one by the nature of the view."""
    try:
        whole = json.loads(content)
    except ValueError:
        return [json.loads(line) for line in content.splitlines() if line.strip()], False
    if type(whole) not in {list, dict}:
        raise ValueError("an array or an object")
    return (whole, False) if isinstance(whole, list) else ([whole], "pid" not in whole)


def _identity(record: Any) -> tuple[tuple[Any, ...], str]:
    """What a record is known by in both readings, and its name for people."""
    if not isinstance(record, dict):
        return (json.dumps(record),), json.dumps(record)
    for names in _KEYS:
        values = [_found(record, name) for name in names]
        if _MISSING not in values and (names[1:] or values[0] is not None):
            key = tuple(map(str, values))
            return (*names, *key, _start(record)), _who(
                record, [one for one in key if one != "None"]
            )
    return ("",), ""


_MISSING = object()


def _found(record: Any, names: Sequence[str]) -> Any:
    """The value that the names lead to, one below the other."""
    for name in names:
        record = record.get(name, _MISSING) if isinstance(record, dict) else _MISSING
    return record


def _start(record: Mapping[str, Any]) -> Any:
    """When a process started: its number may be another's by now. JSON for what is no number."""
    found = (_stat(record) or record).get("starttime")
    return json.dumps(found) if isinstance(found, list | dict) else found


def _stat(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a record of a process says under `stat`; nothing where that is no object."""
    found = record.get("stat")
    return found if isinstance(found, dict) else {}


def _who(record: Mapping[str, Any], key: Sequence[str]) -> str:
    comm = record.get("comm") or _stat(record).get("comm")
    if comm and key and {"pid", "tid"} & set(record):
        key = [f"{comm}({key[0]})", *key[1:]]
    return ":".join(key)


def _fields(
    value: Any, parts: list[Any], named: Mapping[str, Any], path: str, unit: str | None
) -> Iterator[tuple[str, Field]]:
    """The values below one, each with its path; `parts` are the schemas that it may follow."""
    parts = [one for part in parts for one in _resolved(part, named)]
    if isinstance(value, dict):
        for name, below in value.items():
            inner = [one for part in _below(parts, name) for one in _resolved(part, named)]
            marked = next((part.get("unit", "") for part in inner if part.get("counter")), unit)
            yield from _fields(below, inner, named, f"{path}.{name}" if path else name, marked)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        inner = [part["items"] for part in parts if isinstance(part.get("items"), dict)]
        for at, below in enumerate(value):
            key = _identity(below)[1] or str(at)
            yield from _fields(below, inner, named, f"{path}[{key}]", unit)
    else:
        yield path, Field(value, unit)


def _resolved(part: Mapping[str, Any], named: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in part:
        yield from _resolved(named[part["$ref"].rpartition("/")[2]], named)
    for other in part.get("anyOf", ()):
        yield from _resolved(other, named)
    yield part


def _below(parts: list[Any], name: str) -> list[Any]:
    found = [part["properties"][name] for part in parts if name in part.get("properties", {})]
    found += [
        below
        for part in parts
        for pattern, below in part.get("patternProperties", {}).items()
        if re.search(pattern, name)
    ]
    return found or [
        part["additionalProperties"]
        for part in parts
        if isinstance(part.get("additionalProperties"), dict)
    ]


def changes(old: Reading, new: Reading) -> Iterator[Change]:
    """The differences: who is gone, who is new, and of the others each field."""
    for key, (who, _) in old.items():
        if key not in new:
            yield Change("gone", who)
    for key, (who, fields) in new.items():
        if key not in old:
            yield Change("new", who)
            continue
        before = old[key][1]
        paths = [*fields, *(path for path in before if path not in fields)]
        for at, path in enumerate(paths):
            for one in _changed(who, path, before.get(path), fields.get(path)):
                yield one._replace(at=at)


def _changed(who: str, path: str, old: Field | None, new: Field | None) -> Iterator[Change]:
    before, after = old and old.value, new and new.value
    if before == after:
        return
    unit = new.unit if new else None
    if unit is not None and all(map(_is_count, (before, after))):
        yield Change("counted", who, path, before, after, unit)
    else:
        yield Change("changed", who, path, before, after)


def _is_count(value: Any) -> bool:
    """Whether a value is a number of at most 64 bits, as any that a view counts."""
    return type(value) in {int, float} and abs(value) < 1 << 64


def counted(found: Sequence[Change], seconds: float | None) -> list[Row]:
    """Rows of what was counted: how much a second, how much, the field, of whom; most first."""
    moved = [one for one in found if one.kind == "counted"]
    order: dict[str, int] = {}
    for one in moved:
        order[one.field] = min(one.at, order.get(one.field, one.at))
    moved.sort(key=lambda one: (order[one.field], one.field, one.old - one.new))
    return [
        (rate(one, seconds), amount(one.new - one.old, one.unit), one.field, one.who)
        for one in moved
    ]


def amount(value: float, unit: str) -> str:
    """How much was counted, in one word: `1.5MiB`, `0.50s`, `12`."""
    if unit == "bytes":
        return size(value)
    return duration(value) if unit == "seconds" else f"{value:.10g}"


def rate(one: Change, seconds: float | None) -> str:
    """How much a second: `1.5MiB/s`, `12/s`; of time the share, `50.0%`. `-` without a time."""
    if seconds is None or seconds <= 0 or one.new < one.old:
        return "-"
    each = (one.new - one.old) / seconds
    if one.unit == "seconds":
        return f"{each:.1%}"
    if one.unit == "bytes":
        return f"{size(round(each))}/s"
    return f"{each:.0f}/s" if each >= 1000 else f"{each:.4g}/s"


HEADER = ("RATE", "CHANGE", "FIELD", "OF")


def watched(found: Sequence[Change], seconds: float, room: int = 0) -> str:
    """The text of what happened in an interval: who came and went, and each counter that moved.

    If it has more than `room` lines, 0 for any number, it tells how many came and went, and of each
    counter who counted most.
    """
    came = [("-", one.kind, "-", one.who) for one in found if one.kind in {"new", "gone"}]
    rows = counted(found, seconds)
    if not room or 1 + len(came) + len(rows) <= room:
        return columns([*came, *rows], HEADER, right=(0, 1)) if came or rows else "no change\n"
    shown = _first_of_each(rows, max(room - 2, 1))
    new, gone = (sum(row[1] == kind for row in came) for kind in ("new", "gone"))
    left = f"{new} new, {gone} gone; {len(shown)} of {len(rows)} counters shown\n"
    return columns(shown, HEADER, right=(0, 1)) + left


Row = tuple[str, str, str, str]


def _first_of_each(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows in their order: the first of each field, then the second, and so on."""
    seen: Counter[str] = Counter()
    ranks = []
    for at, row in enumerate(rows):
        ranks.append((seen[row[2]], at))
        seen[row[2]] += 1
    return [rows[at] for at in sorted(at for _, at in sorted(ranks)[:most])]


# Fields that differ because time went by or the machine is another: a stamp, and an age.
_PASSING = frozenset(("host", "boot_id", "time", "elapsed"))


def compared(found: Sequence[Change], seconds: float | None) -> str:
    """The text of all differences between two readings."""
    rows = [("-", one.kind, "-", one.who) for one in found if one.kind in {"new", "gone"}]
    rows += [
        ("-", f"{_brief(one.old)}->{_brief(one.new)}", one.field, one.who)
        for one in found
        if one.kind == "changed" and one.field not in _PASSING
    ]
    rows += counted(found, seconds)
    return columns(rows, HEADER, right=(0,)) if rows else ""


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"
