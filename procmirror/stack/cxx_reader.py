"""What a demangler of C++ names reads with: the place in the symbol, and its limits.

Source: Itanium C++ ABI, 5.1 "External Names". A type is kept as the text to the left and to the
right of a declared name (`void (*` and `)(int)`), so nothing is written twice.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_NAME = 4096  # bytes of a symbol, and characters of a text
MOST_STEPS = 300  # types, names and expressions of one symbol: about a millisecond
MOST_DEPTH = 60

_NUMBER = re.compile(r"[0-9]+")
_SEQUENCE = re.compile(r"([0-9A-Z]*)_")


class Unknown(Exception):
    """The symbol is no name that this version understands, or it is too long."""


class Type(NamedTuple):
    """The text before and after a declared name; `kind` is f(unction), a(rray), & or && or empty.

    `pack` holds the elements of a template argument that is a pack. `end` is the part of `right`
    that stands behind the qualifiers of a function.
    """

    left: str
    right: str = ""
    kind: str = ""
    pack: tuple[Type, ...] | None = None
    end: str = ""

    @property
    def text(self) -> str:
        """Both sides, or the elements of a pack."""
        if self.pack is not None:
            return ", ".join(text for one in self.pack if (text := one.text))
        return self.left + self.right

    def function(self, words: str) -> Type:
        """A function type with these words behind its parameters."""
        return self._replace(right=f"{self.right.removesuffix(self.end)}{words}{self.end}")


class Name(NamedTuple):
    """A name, the part of it that a constructor repeats, and what is known of its function."""

    text: str
    last: str = ""
    template: bool = False  # ends in template arguments: its return type is in the symbol
    returns: bool = True  # neither constructor, destructor nor conversion
    suffix: str = ""  # qualifiers of a member function


class Substitution(NamedTuple):
    """Something that may be repeated; parsed again at `at` where it depends on a pack."""

    type: Type
    last: str
    at: int
    packed: bool
    is_name: bool
    context: tuple[list[Type], int] | None = None  # what its template parameters stand for


class Reader:
    """One symbol, and what is known of it so far."""

    def __init__(self, text: str) -> None:
        self.raw, self.at = text, 2
        self.steps = self.depth = 0
        self.substitutions: list[Substitution] = []
        self.templates: list[Type] = []
        self.frozen = False  # parsed again: the substitutions are there already
        self.element: int | None = None  # of the pack that is being expanded
        self.size: int | None = None  # of a pack that was met
        self.unresolved = False
        self.parametric = False  # a template parameter was met
        self.lambdas = 0
        self.converting = False  # in the type of a conversion

    def peek(self, size: int = 1) -> str:
        """The next characters, without going on."""
        return self.raw[self.at : self.at + size]

    def take(self, text: str) -> bool:
        """Go on behind `text` if it comes next."""
        if self.raw.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def need(self, text: str) -> None:
        """Go on behind `text`, which must come next."""
        if not self.take(text):
            raise Unknown

    def step(self) -> None:
        """Count one step; raises `Unknown` after too many."""
        self.steps += 1
        if self.steps > MOST_STEPS or self.at > len(self.raw):
            raise Unknown

    def number(self) -> int:
        """A decimal number."""
        match = _NUMBER.match(self.raw, self.at)
        if match is None or match.end() - self.at > 9:
            raise Unknown
        self.at = match.end()
        return int(match[0])

    def bounded(self, text: str) -> str:
        """`text` if it is not too long."""
        if len(text) > MOST_NAME:
            raise Unknown
        return text

    def met(self) -> int | None:
        """The number of elements of the pack that was met, if one was."""
        return self.size

    def deeper(self) -> None:
        """Count one step and one level; the caller takes the level back."""
        self.step()
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise Unknown

    def sequence(self) -> int:
        """A number to the base 36 and an underscore, counted from 1; 0 without a number."""
        match = _SEQUENCE.match(self.raw, self.at)
        if match is None or len(match[1]) > 6:
            raise Unknown
        self.at = match.end()
        return int(match[1], 36) + 1 if match[1] else 0

    # What other parts of the grammar need; each is defined where it belongs.

    def encoding(self, *, top: bool = False) -> str:
        """A function with its parameters, or a variable."""
        raise NotImplementedError

    def function(self, name: Name, *, top: bool) -> str:
        """A name with the parameters that follow it, and with its return type if `top`."""
        raise NotImplementedError

    def parameters(self) -> str:
        """The types up to an `E`, a clone's suffix or the end."""
        raise NotImplementedError

    def name(self, *, tag: bool = False) -> Name:
        """A name; with `tag` its template arguments are what template parameters stand for."""
        raise NotImplementedError

    def source(self) -> str:
        """A length and an identifier."""
        raise NotImplementedError

    def operator(self, before: str) -> Name:
        """The name of an operator; `before` is put in front."""
        raise NotImplementedError

    def substitution(self) -> Substitution:
        """Something that stood in the symbol before."""
        raise NotImplementedError

    def remember(
        self, kind: Type, last: str, at: int, *, is_name: bool = False, packed: int | None = None
    ) -> None:
        """Keep what a substitution may repeat."""
        raise NotImplementedError

    def type(self) -> Type:
        """A type."""
        raise NotImplementedError

    def type_without_substitution(self) -> Type:
        """A type that is no substitution, not remembered as one."""
        raise NotImplementedError

    def qualifiers(self) -> str:
        """`const` and the like."""
        raise NotImplementedError

    def template_parameter(self) -> Type:
        """What a template parameter stands for."""
        raise NotImplementedError

    def template_arguments(self, *, tag: bool = False) -> str:
        """The arguments in angle brackets."""
        raise NotImplementedError

    def template_argument(self) -> Type:
        """One argument."""
        raise NotImplementedError

    def expression(self) -> str:
        """An expression in a template argument or in decltype."""
        raise NotImplementedError

    def last_of(self, text: str) -> str:
        """The name that a constructor of a class repeats."""
        raise NotImplementedError
