"""/proc/fs/jbd2/: the journals of ext4 and ocfs2.

Source: jbd2_seq_info_show in fs/jbd2/journal.c.

One joined view: each directory is a journal and has one file, `info`. The averages are of all
transactions since the mount; times are in milliseconds there, that of a commit in microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import UNSET, field

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Incomplete, Machine, Reading, Record, counted, doc

_FIRST = re.compile(
    rb"(\d{1,19}) transactions? (?:\((\d{1,19}) requested\), )?each up to (\d{1,19}) blocks"
)
_ROW = re.compile(rb"  (\d{1,19})(ms|us)? (.+)")
_FIELDS = {
    b"waiting for transaction": "wait",
    b"request delay": "request_delay",
    b"running transaction": "running",
    b"transaction was being locked": "locked",
    b"flushing data (in ordered mode)": "flushing",
    b"logging transaction": "logging",
    b"average transaction commit time": "commit",
    b"handles per transaction": "handles",
    b"blocks per transaction": "blocks",
    b"logged blocks per transaction": "blocks_logged",
}
_UNITS = {b"ms": 1000, b"us": 1_000_000}


class Journal(Record, frozen=True, kw_only=True):
    """One journal; times and counts are averages of a transaction."""

    journal: Annotated[str, doc("Its device, with the inode of the journal behind a minus")]
    transactions: Annotated[int | None, counted("Transactions since the mount")] = None
    requested: Annotated[int | None, counted("Those that somebody asked for, as fsync(2) does")] = (
        None
    )
    max_blocks: Annotated[int | None, doc("The most blocks of a transaction")] = None
    wait: Annotated[float | None, doc("Waiting for the one before", "seconds")] = None
    request_delay: Annotated[float | None, doc("From the request to the commit", "seconds")] = None
    running: Annotated[float | None, doc("Open for changes", "seconds")] = None
    locked: Annotated[float | None, doc("Waiting for its last changes", "seconds")] = None
    flushing: Annotated[float | None, doc("Writing data (ordered mode)", "seconds")] = None
    logging: Annotated[float | None, doc("Writing the journal", "seconds")] = None
    commit: Annotated[float | None, doc("The whole commit", "seconds")] = None
    handles: Annotated[int | None, doc("Operations")] = None
    blocks: Annotated[int | None, doc("Blocks")] = None
    blocks_logged: Annotated[int | None, doc("Blocks in the journal")] = None
    incomplete: Annotated[
        list[Incomplete], doc("Why info could not be read or decoded; empty if it could")
    ] = field(default_factory=list)
    extra: Extra = UNSET


def join(reading: Reading, machine: Machine) -> Iterator[Journal]:
    """The journals in the order of the directory."""
    return (_journal(name, reading, machine) for name in reading.names("jbd2"))


def _journal(name: str, reading: Reading, machine: Machine) -> Journal:
    parts = Parts(reading, machine)
    found = parts.file(f"jbd2/{name}/info", lambda raw, _: decode(raw, name))
    return found or Journal(journal=name, incomplete=parts.incomplete)


def decode(raw: bytes, name: str) -> Journal:
    """One info file."""
    values: dict[str, float] = {}
    extra: dict[str, str] = {}
    match = None
    for line in lines(raw):
        if match is None and (match := _FIRST.fullmatch(line)):
            continue
        row = _ROW.fullmatch(line)
        if row and row[3] in _FIELDS:
            number = int(row[1])
            values[_FIELDS[row[3]]] = number / _UNITS[row[2]] if row[2] else number
        elif row:
            extra[decoded(row[3])] = decoded(row[1] + (row[2] or b""))
        elif line.strip() not in {b"", b"average:"}:
            extra[decoded(line.strip())] = ""
    if not match and not values:
        raise expected("NUMBER transactions, each up to NUMBER blocks", raw)
    counts = match.groups() if match else (None, None, None)
    transactions, requested, most = (None if one is None else int(one) for one in counts)
    return Journal(
        journal=name,
        transactions=transactions,
        requested=requested,
        max_blocks=most,
        extra=extra or UNSET,
        **values,  # type: ignore[arg-type]
    )
