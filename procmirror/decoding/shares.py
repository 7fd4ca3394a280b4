"""How a view of all processes is shared among the owners of the processes.

Such a view has a limit of size, and one that grows beyond it fails for whoever reads it. An
unprivileged user can have thousands of processes with as many long arguments or open files as the
kernel allows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from errno import EFBIG
from typing import TypeVar

import msgspec

from procmirror.decoding.view import MOST_OF_EACH

# Three quarters of what an account may hold of contents (fuse.quota), as a view has more than what
# is counted here.
TOTAL = 48 << 20
# How many bytes of the arguments of a process there are beyond the share of its owner.
LITTLE = 256
# How many characters the names in one text may have, which is made in memory as a whole.
MOST_NAMES = 16 << 20
# What a string takes beside its characters.
_OF_STRING = 100


Row = TypeVar("Row")


def bounded(rows: Iterable[Row], name: Callable[[Row], str | None]) -> Iterator[Row]:
    """The same rows; OSError(EFBIG) if their names are too long together."""
    left = MOST_NAMES
    for row in rows:
        left -= len(name(row) or "")
        if left < 0:
            raise OSError(EFBIG, "longer names than one text has")
        yield row


class Shares:
    """What the owners of processes have of one view, in bytes; an owner is a user id or unknown.

    An owner may have half of what all others leave of `total`, so that there is always some for the
    next one.
    """

    def __init__(self, total: int = TOTAL) -> None:
        self._left = total
        self._had: defaultdict[int | None, int] = defaultdict(int)

    def has_more(self, owner: int | None) -> bool:
        """Whether an owner may have more than it has."""
        return self._had[owner] < self._left

    def take(self, owner: int | None, strings: Sequence[str]) -> None:
        """Count strings of an owner, as they stand in JSON."""
        size = len(msgspec.json.encode(strings)) + _OF_STRING * len(strings)
        self._had[owner] += size
        self._left -= size

    def most_arguments(self, owner: int | None) -> int:
        """How many bytes of the arguments of the next process of an owner there are to be."""
        return MOST_OF_EACH if self.has_more(owner) else LITTLE
