"""What is remembered in bounded memory: the oldest goes first, and not for each that comes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# Where all is full, of so many values one is remembered in the place of another.
_ONE_OF = 4


class Remembered(Generic[Key, Value]):
    """Values by their keys, of at most the weight `most` together.

    `weigh` tells the weight of an entry, which never changes. Where all is full, one of four takes
    the place of the oldest: a walk over more than there is room for would find none again if each
    took the place of one that comes later.
    """

    def __init__(self, most: int, weigh: Callable[[Key, Value], int] = lambda *_: 1) -> None:
        self._most, self._weigh = most, weigh
        self._values: dict[Key, Value] = {}
        self._weight = 0
        self._come = 0

    def get(self, key: Key) -> Value | None:
        """The value of a key; None if it is not remembered."""
        return self._values.get(key)

    def keep(self, key: Key, value: Value) -> None:
        """Remember a value, in the place of another of the same key."""
        weight = self._weigh(key, value)
        self._come += 1
        self._forget(key)
        if self._weight + weight > self._most and self._come % _ONE_OF:
            return
        # A thread that was abandoned may do the same at the same time.
        with suppress(RuntimeError, StopIteration):
            while self._weight + weight > self._most:
                self._forget(next(iter(self._values)))
        if not self._values:
            self._weight = 0  # whatever two threads at a time made of it
        self._values[key] = value
        self._weight += weight

    def _forget(self, key: Key) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._weight -= self._weigh(key, value)
