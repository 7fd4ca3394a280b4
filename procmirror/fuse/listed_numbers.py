"""Inode numbers of names that were listed and that the kernel has no node of yet.

A later LOOKUP of the name answers the number that the listing told, as `ls -i` and stat(2) of one
file have to agree.
"""

from __future__ import annotations

from collections.abc import Callable

# The limit of names whose numbers are kept; beyond it those of the directory that was listed first
# are dropped, and the names get new ones.
_MOST = 50_000


class ListedNumbers:
    """The numbers, by the node of the directory and the name; `new` gives one that nobody has."""

    def __init__(self, new: Callable[[], int]) -> None:
        self._new = new
        self._of: dict[int, dict[bytes, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def number(self, directory: int, name: bytes) -> int:
        """The number of a name in a directory, from now on."""
        numbers = self._of.get(directory)
        if numbers is None:
            numbers = self._of[directory] = {}
        number = numbers.get(name)
        if number is None:
            number = numbers[name] = self._new()
            self._count += 1
            if self._count > _MOST:
                self.forget(next(iter(self._of)))
        return number

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
