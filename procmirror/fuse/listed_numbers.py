"""Inode numbers of names that were listed and that the kernel has no node of yet.

A later LOOKUP of the name answers the number that the listing told, as `ls -i` and stat(2) of one
file have to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

# The limit of names whose numbers are kept; beyond it those of the directory that was listed first
# are dropped, and the names get new ones.
_MOST = 50_000


class _Numbers(dict[bytes, int]):
    """The numbers of a directory; of a name that has none, what `new` says."""

    def __init__(self, new: Callable[[bytes], int]) -> None:
        super().__init__()
        self._new = new

    def __missing__(self, name: bytes) -> int:
        return self._new(name)


class ListedNumbers:
    """The numbers, by the node of the directory and the name.

    `new` gives so many that nobody has.
    """

    def __init__(self, new: Callable[[int], Sequence[int]]) -> None:
        self._new = new
        self._of: dict[int, _Numbers] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def numbers(self, directory: int, names: Sequence[bytes] = ()) -> Mapping[bytes, int]:
        """The inode numbers of the names in a directory; a name gets one when it is looked up.

        These names get theirs at once, which takes a quarter of the time.
        """
        numbers = self._of.get(directory)
        if numbers is None:
            numbers = _Numbers(partial(self._add, directory))
        missing = [name for name in names if name not in numbers] if numbers else names
        if missing:
            self._of[directory] = numbers
            self._keep(numbers, missing)
        return numbers

    def _add(self, directory: int, name: bytes) -> int:
        """Keep a new number of a name, unless it has one already."""
        numbers = self._of.get(directory)
        if numbers is None:
            numbers = self._of[directory] = _Numbers(partial(self._add, directory))
        elif name in numbers:
            return numbers[name]
        self._keep(numbers, (name,))
        return numbers[name]

    def _keep(self, numbers: _Numbers, names: Sequence[bytes]) -> None:
        """Keep new numbers of names that have none."""
        before = len(numbers)
        numbers.update(zip(names, self._new(len(names)), strict=True))
        self._count += len(numbers) - before
        while self._count > _MOST:
            self.forget(next(iter(self._of)))

    def take(self, directory: int, name: bytes) -> int | None:
        """The number of a name that gets a node now, if it was listed."""
        numbers = self._of.get(directory)
        number = numbers.pop(name, None) if numbers else None
        if number is not None:
            self._count -= 1
        return number

    def forget(self, directory: int) -> None:
        """Drop the numbers of all names in a directory."""
        self._count -= len(self._of.pop(directory, ()))
