"""The letters of a mangled Rust name: numbers, identifiers and references, within limits.

Source: RFC 2603 "Rust Symbol Mangling (v0)".
"""

from __future__ import annotations

import re
from collections.abc import Callable

MOST_NAME = 4096
MOST_STEPS = 300
MOST_DEPTH = 60
MOST_PUNYCODE = 256


class Unknown(Exception):
    """The symbol is no name that this version understands, or it is too long."""


class RustReader:
    """A cursor over one symbol; the text grows in `out` unless it is `silent`."""

    def __init__(self, raw: str) -> None:
        self.raw, self.at = raw, 0
        self.out: list[str] = []
        self.length = self.steps = self.depth = self.lifetimes = 0
        self.silent = False

    def put(self, text: str) -> None:
        """Append text; Unknown beyond the limit."""
        if self.silent:
            return
        self.length += len(text)
        if self.length > MOST_NAME:
            raise Unknown
        self.out.append(text)

    def next(self) -> str:
        """The next letter; IndexError at the end."""
        letter = self.raw[self.at]
        self.at += 1
        return letter

    def take(self, letter: str) -> bool:
        """Step over a letter, if it is the next."""
        if self.raw[self.at : self.at + 1] == letter:
            self.at += 1
            return True
        return False

    def deeper(self) -> None:
        """Count a step one level down; Unknown beyond the limits."""
        self.steps += 1
        self.depth += 1
        if self.steps > MOST_STEPS or self.depth > MOST_DEPTH:
            raise Unknown

    def base62(self) -> int:
        """A number to the base 62 and an underscore, counted from 1; 0 for `_` alone."""
        if self.take("_"):
            return 0
        value = 0
        while not self.take("_"):
            letter = self.next()
            digit = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter)
            value = value * 62 + digit
            if value >> 64:
                raise Unknown
        return value + 1

    def optional(self, letter: str) -> int:
        """A number behind a letter, counted from 1; 0 without the letter."""
        return self.base62() + 1 if self.take(letter) else 0

    def identifier(self) -> tuple[str, int]:
        """A name and its disambiguator."""
        index = self.optional("s")
        return self.plain(), index

    def plain(self) -> str:
        """A name without its disambiguator."""
        encoded = self.take("u")
        match = re.compile(r"0|[1-9][0-9]{0,4}").match(self.raw, self.at)
        if match is None:
            raise Unknown
        self.at = match.end()
        self.take("_")
        size = int(match[0])
        name = self.raw[self.at : self.at + size]
        if len(name) != size:
            raise Unknown
        self.at += size
        return _punycode(name) if encoded else name

    def referred(self, parse: Callable[[], None]) -> None:
        """A part that stands earlier in the symbol."""
        start = self.at - 1
        place = self.base62()
        if place >= start:
            raise Unknown
        if self.silent:
            return
        end, self.at = self.at, place
        parse()
        self.at = end


def _punycode(name: str) -> str:
    """RFC 3492, with an underscore in the place of the hyphen."""
    if len(name) > MOST_PUNYCODE:
        raise Unknown
    basic, _, rest = name.rpartition("_")
    return (f"{basic}-{rest}" if basic else rest).encode().decode("punycode")
