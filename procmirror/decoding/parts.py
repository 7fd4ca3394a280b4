"""The parts of a view of several sources: each is read by itself, and what is missing is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from procmirror.decoding.bounds import check, may_exceed
from procmirror.decoding.memo import Memo
from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.table import Rows
from procmirror.decoding.view import Incomplete, Machine, Reading, odd_values

Part = TypeVar("Part")


class Parts:
    """Reads sources below `prefix`, and notes in `incomplete` which are missing and why.

    A source that this kernel or this process does not have (ENOENT, ESRCH) is not noted.
    """

    def __init__(self, reading: Reading, machine: Machine, prefix: str = "") -> None:
        self._reading, self._machine, self._prefix = reading, machine, prefix
        self.incomplete: list[Incomplete] = []

    def file(
        self,
        name: str,
        decode: Callable[[bytes, Machine], Part],
        *,
        needed: bool = False,
        most: int = 0,
    ) -> Part | None:
        """The record of a file; None if it cannot be read or decoded.

        Of one that is `needed` it is noted too that it does not exist. Of one of more than `most`
        bytes, if not 0, the first are decoded, and it is noted that the rest is missing.
        """
        try:
            raw = self._reading.read(self._prefix + name)
            if 0 < most < len(raw):
                cut = f"truncated to {most} bytes"
                self.incomplete.append(Incomplete(name, cut))
                raw = raw[:most]
            record = decode(raw, self._machine)
            if not isinstance(decode, Memo) and may_exceed(raw):
                check(record)
        except (OSError, *SURPRISES) as failure:
            self.miss(name, failure, needed=needed)
            return None
        self.odd(name, record)
        return record

    @property
    def hidden(self) -> bool:
        """Whether there is nothing to say: what was read is gone, or its mount hides it (EPERM)."""
        return all(one.reason in {"EPERM", "EACCES"} for one in self.incomplete)

    def link(self, name: str) -> str | None:
        """The text of a link; None if it cannot be read."""
        try:
            return self._reading.link(self._prefix + name)
        except (OSError, *SURPRISES) as failure:
            self.miss(name, failure)
            return None

    def names(self, name: str) -> list[str] | None:
        """The names in a directory; None if it cannot be read."""
        return self.made(name, lambda: self._reading.names(self._prefix + name))

    def made(self, name: str, make: Callable[[], Part], needed: bool = False) -> Part | None:
        """What `make` makes of the source of a name; None if that fails."""
        try:
            return make()
        except (OSError, *SURPRISES) as failure:
            self.miss(name, failure, needed=needed)
            return None

    def odd(self, name: str, record: object) -> None:
        """Note which values of a record, or lines of a table, have another form."""
        if isinstance(record, Rows):
            odd = [part for line in record.undecoded for part in line.incomplete]
        else:
            odd = odd_values(record)
        if odd:
            self.incomplete += [Incomplete(name, f"{one.part}: {one.reason}") for one in odd]

    def miss(self, name: str, failure: Exception, *, needed: bool = False) -> None:
        """Note why a source is missing, if it exists or is `needed`."""
        if needed or not isinstance(failure, FileNotFoundError | ProcessLookupError):
            self.incomplete.append(Incomplete(name, why(failure)))
