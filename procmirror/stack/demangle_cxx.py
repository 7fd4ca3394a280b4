"""C++ names as people write them: a demangler for the Itanium C++ ABI with the output of c++filt.

Source: Itanium C++ ABI, 5.1 "External Names". Symbols come from other users: the length and the
steps of a name are bounded, and a symbol that is not understood stays unchanged.
"""

from __future__ import annotations

import re

from procmirror.stack.cxx_names import Names
from procmirror.stack.cxx_reader import MOST_NAME, Name, Type, Unknown

_CLONE = re.compile(r"\.(?:[a-z_]+|[0-9]+)(?:\.[0-9]+)*")
_SPECIAL = {
    "TV": "vtable for ",
    "TT": "VTT for ",
    "TI": "typeinfo for ",
    "TS": "typeinfo name for ",
    "TF": "typeinfo fn for ",
    "TJ": "java Class for ",
}
_SPECIAL_NAMES = {
    "GV": "guard variable for ",
    "GA": "hidden alias for ",
    "TH": "TLS init function for ",
    "TW": "TLS wrapper function for ",
}


def demangled(symbol: bytes) -> str | None:
    """The name of a C++ symbol (`_Z…`); None for every other symbol."""
    if not symbol.startswith((b"_Z", b"__Z", b"_GLOBAL__")) or len(symbol) > MOST_NAME:
        return None
    try:
        text = symbol.decode("ascii")
        if text.startswith("_GLOBAL__"):
            return _global(text)
        parser = _Parser(text.removeprefix("_") if text.startswith("__Z") else text)
        return parser.symbol()
    except (Unknown, ValueError, LookupError, ArithmeticError, RecursionError):
        return None


def _global(text: str) -> str | None:
    """`_GLOBAL__sub_I_name`: what runs the constructors of a file."""
    for prefix, words in (
        ("_GLOBAL__sub_I_", "global constructors keyed to "),
        ("_GLOBAL__sub_D_", "global destructors keyed to "),
        ("_GLOBAL__I_", "global constructors keyed to "),
        ("_GLOBAL__D_", "global destructors keyed to "),
    ):
        if text.startswith(prefix):
            rest = text.removeprefix(prefix)
            return words + (demangled(rest.encode()) or rest)
    return None


class _Parser(Names):
    """One symbol."""

    def symbol(self) -> str:
        """The whole symbol, with the suffixes of a compiler's copies."""
        found = self.encoding(top=True)
        while match := _CLONE.match(self.raw, self.at):
            found += f" [clone {match[0]}]"
            self.at = match.end()
        if self.at != len(self.raw) or "\0" in found:
            raise Unknown
        return self.bounded(found)

    def encoding(self, *, top: bool = False) -> str:
        """A function, a variable or something special."""
        self.deeper()
        if self.peek() in {"G", "T"}:
            found = self.special()
        else:
            name = self.name(tag=True)
            found = name.text + name.suffix
            if self.peek() not in {"", "E", "."}:
                found = self.function(name, top=top)
        self.depth -= 1
        return self.bounded(found)

    def function(self, name: Name, *, top: bool) -> str:
        """A name with its parameters, and with its return type if `top`."""
        returned = Type("")
        if name.template and name.returns:
            returned = self.type()
            if not top:
                returned = Type("")
        arguments = self.parameters()
        left = returned.left + (" " if returned.left and not returned.right else "")
        return f"{left}{name.text}({arguments}){name.suffix}{returned.right}"

    def parameters(self) -> str:
        """The types up to an `E`, a clone's suffix or the end."""
        found = []
        while self.peek() not in {"", "E", ".", "R", "O"} or self.peek() in {"R", "O"}:
            if self.peek() in {"R", "O"} and self.raw[self.at + 1 : self.at + 2] in {"E", ""}:
                break
            found.append(self.type())
        if len(found) == 1 and found[0].text == "void":
            return ""
        return self.bounded(", ".join(text for one in found if (text := one.text)))

    def special(self) -> str:  # noqa: PLR0911 - one case each
        """Tables of classes, thunks, guards."""
        two = self.peek(2)
        self.at += 2
        if words := _SPECIAL.get(two):
            return words + self.type().text
        if words := _SPECIAL_NAMES.get(two):
            return words + (self.encoding() if two == "GA" else self.name().text)
        if two in {"Th", "Tv"}:
            self.at -= 1
            self.offset()
            kind = "non-virtual" if two == "Th" else "virtual"
            return f"{kind} thunk to {self.encoding()}"
        if two == "Tc":
            self.offset()
            self.offset()
            return f"covariant return thunk to {self.encoding()}"
        if two == "TC":
            derived = self.type().text
            self.number()
            self.need("_")
            return f"construction vtable for {self.type().text}-in-{derived}"
        if two == "GR":
            name = self.name().text
            index = self.sequence() if self.peek() != "" else 0
            return f"reference temporary #{index} for {name}"
        if two == "GT":
            kind = self.peek()
            self.at += 1
            words = "transaction clone" if kind == "t" else "non-transaction clone"
            return f"{words} for {self.encoding()}"
        if two == "TA":
            return f"template parameter object for {self.template_argument().text}"
        raise Unknown

    def offset(self) -> None:
        """The offsets of a thunk; they are left out."""
        kind = self.peek()
        self.at += 1
        for _ in range({"h": 1, "v": 2}[kind] if kind in {"h", "v"} else 9):
            self.take("n")
            self.number()
            self.need("_")
