"""/proc/keys: the keys that the requester may view.

Source: proc_keys(5), proc_keys_show in security/keys/proc.c.

The description is whatever the maker of the key chose, newlines included: a line that is no key
goes to the description before it, and a whole line can be forged. A serial that comes twice is
therefore `ambiguous`, and no more can be known. The expiry is rounded by the kernel, the type cut
after nine characters.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated

from procmirror.decoding.listing import listing
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import exact_lines, flags, hexadecimal, unsigned
from procmirror.decoding.table import Rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

LINE = re.compile(
    rb"([0-9a-f]{8,16}) ([A-Za-z-]{7,}) +(\d{1,19}) +(perm|expd|\d{1,12}[smhdw]) "
    rb"([0-9a-f]{8,16}) +(-?\d{1,10}) +(-?\d{1,10}) (.{9}) (.*)",
    re.DOTALL,
)
FLAGS = {
    "I": "instantiated",
    "R": "revoked",
    "D": "dead",
    "Q": "quota",
    "U": "under construction",
    "N": "negative",
    "i": "invalidated",
}
RIGHTS = {0x01: "view", 0x02: "read", 0x04: "write", 0x08: "search", 0x10: "link", 0x20: "setattr"}
SECONDS = {b"s": 1, b"m": 60, b"h": 3600, b"d": 86400, b"w": 604800}


class Permissions(Record, frozen=True):
    """Who may do what: view, read, write, search, link, setattr."""

    possessor: Annotated[list[str], doc("Who has the key")]
    user: Annotated[list[str], doc("Its user")]
    group: Annotated[list[str], doc("Its group")]
    other: Annotated[list[str], doc("All others")]


class Key(Record, frozen=True):
    """One key."""

    serial: Annotated[str, doc("Its number, hexadecimal as the kernel prints it")]
    flags: Annotated[
        list[str],
        doc("instantiated, revoked, dead, quota, under construction, negative, invalidated"),
    ]
    usage: Annotated[int, doc("References to it in the kernel")]
    expires: Annotated[
        int | None, doc("How long it lives yet, 0 if it has expired; null: for ever", "seconds")
    ]
    permissions: Annotated[Permissions, doc("Who may do what")]
    uid: Annotated[int, doc("Its user")]
    user: Annotated[str | None, doc("Name of its user")]
    gid: Annotated[int | None, doc("Its group; null without one")]
    group: Annotated[str | None, doc("Name of its group")]
    type: Annotated[str, doc("Its type, cut after nine characters")]
    description: Annotated[
        str, doc("What the type says about it: usually its name and a summary; not to be trusted")
    ]
    ambiguous: Annotated[bool, doc("Its serial comes twice, so one of the lines is forged")]


def decode(raw: bytes, machine: Machine) -> list[Key]:
    """The keys in their order, forged ones included."""
    found: list[tuple[re.Match[bytes], list[bytes]]] = []
    made = Rows[Key]()
    for at, line in enumerate(exact_lines(raw), 1):
        if match := _matched(line):
            found.append((match, []))
        elif found:
            found[-1][1].append(line)
        else:
            made.keep(at, line, expected("a key", line))
    seen = Counter(match[1] for match, _ in found)
    made += [_key(match, rest, machine, ambiguous=seen[match[1]] > 1) for match, rest in found]
    return made.settled()


def _matched(line: bytes) -> re.Match[bytes] | None:
    """The parts of a line that is a key; None for any other, as one with longer ids."""
    match = LINE.fullmatch(line)
    ids = map(int, match.group(6, 7)) if match else ()
    return match if all(-(1 << 31) <= one < 1 << 32 for one in ids) else None


def _key(match: re.Match[bytes], rest: list[bytes], machine: Machine, *, ambiguous: bool) -> Key:
    serial, letters, usage, expiry, mask, uid_, gid_, kind, description = match.groups()
    # The kernel prints both with a sign; old ones -1 for a key without a group.
    uid, gid = unsigned(uid_), None if gid_ == b"-1" else unsigned(gid_)
    return Key(
        serial=decoded(serial),
        flags=[FLAGS.get(letter, letter) for letter in decoded(letters).replace("-", "")],
        usage=int(usage),
        expires=_expires(expiry),
        permissions=_permissions(hexadecimal(mask)),
        uid=uid,
        user=machine.users.get(uid),
        gid=gid,
        group=None if gid is None else machine.groups.get(gid),
        type=decoded(kind).rstrip(),
        description=decoded(b"\n".join([description, *rest])),
        ambiguous=ambiguous,
    )


def _expires(expiry: bytes) -> int | None:
    if expiry == b"perm":
        return None
    return 0 if expiry == b"expd" else int(expiry[:-1]) * SECONDS[expiry[-1:]]


def _permissions(mask: int) -> Permissions:
    return Permissions(*(flags(mask >> shift & 0xFF, RIGHTS) for shift in (24, 16, 8, 0)))


text = listing(
    "SERIAL serial",
    "USER user|uid",
    "TYPE type",
    "USAGE usage number",
    "EXPIRES expires seconds",
    "FLAGS flags",
    "DESCRIPTION description",
    none="no keys\n",
)
