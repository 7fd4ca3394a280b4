"""Decoders that remember what short texts say, for files that say the same again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from procmirror.decoding.bounds import check, may_exceed
from procmirror.decoding.remembered import Remembered
from procmirror.decoding.view import Machine

Record = TypeVar("Record")

# A text that is longer than any but a hostile one is not remembered, and so many texts are: of
# `status` they take 1.4 MiB with their records, of `stat` one.
_LONG, _MOST = 1 << 12, 512


class Memo(Generic[Record]):
    """A decoder, `decode(raw, machine)`, that decodes each text once.

    A record is found again by all that it depends on: the whole text, as it is read now, and the
    facts of the machine. Callers share a record, and must not change it. ValueError for a
    number of more than 64 bits, besides what `decode` raises.
    """

    def __init__(self, decode: Callable[[bytes, Machine], Record]) -> None:
        self._decode = decode
        self._known: Remembered[bytes, tuple[Machine, Record]] = Remembered(_MOST)

    def __call__(self, raw: bytes, machine: Machine) -> Record:
        """The record of a text."""
        known = self._known.get(raw)
        if known and (known[0] is machine or known[0].tells_as(machine)):
            return known[1]
        record = self._decode(raw, machine)
        if may_exceed(raw):
            check(record)
        if len(raw) < _LONG:
            self._known.keep(raw, (machine, record))
        return record
