"""Rust names as people write them: the legacy and the v0 mangling, with the output of c++filt.

Sources: RFC 2603 "Rust Symbol Mangling (v0)"; rustc_symbol_mangling/src/legacy.rs. Symbols come
from other users: the length of a text, the steps and the depth are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MOST_NAME = 4096
MOST_STEPS = 300
MOST_DEPTH = 60
MOST_PUNYCODE = 256

_HASH = re.compile(r"h[0-9a-f]{16}")
_ESCAPES = {
    "SP": "@",
    "BP": "*",
    "RF": "&",
    "LT": "<",
    "GT": ">",
    "LP": "(",
    "RP": ")",
    "C": ",",
}
_ESCAPE = re.compile(r"\$(?:u([0-9a-f]{1,6})|([A-Z]{1,2}))\$|\.\.|\.")
_SUFFIX = re.compile(r"\.llvm\.[0-9A-F@]+")
_CLONE = re.compile(r"\.[A-Za-z0-9_.$@-]+")
_BASIC = {
    "a": "i8",
    "b": "bool",
    "c": "char",
    "d": "f64",
    "e": "str",
    "f": "f32",
    "h": "u8",
    "i": "isize",
    "j": "usize",
    "l": "i32",
    "m": "u32",
    "n": "i128",
    "o": "u128",
    "p": "_",
    "s": "i16",
    "t": "u16",
    "u": "()",
    "v": "...",
    "x": "i64",
    "y": "u64",
    "z": "!",
}


class _Unknown(Exception):
    """The symbol is no name that this version understands, or it is too long."""


def demangled(symbol: bytes) -> str | None:
    """The name of a Rust symbol; None for every other symbol."""
    if len(symbol) > MOST_NAME or not symbol.startswith((b"_ZN", b"_R")):
        return None
    try:
        text = symbol.decode("ascii")
        found = _legacy(text) if text.startswith("_ZN") else _v0(text)
        if found is not None:
            found.encode()  # no half of a surrogate pair
    except (_Unknown, ValueError, IndexError, RecursionError):
        return None
    return found


def _legacy(text: str) -> str | None:
    """`_ZN…17h<hash>E`, whose escapes stand for characters; the hash is left out."""
    at, parts = 3, []
    while (match := re.compile(r"[1-9][0-9]{0,3}").match(text, at)) is not None:
        end = match.end() + int(match[0])
        parts.append(text[match.end() : end])
        at = end
    if len(parts) < 2 or text[at : at + 1] != "E" or not _HASH.fullmatch(parts[-1]):
        return None
    rest = text[at + 1 :]
    if rest and not _SUFFIX.fullmatch(rest) and not _CLONE.fullmatch(rest):
        return None
    return "::".join(map(_unescaped, parts[:-1]))


def _unescaped(part: str) -> str:
    def character(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2]:
            if match[2] not in _ESCAPES:
                raise _Unknown
            return _ESCAPES[match[2]]
        return "::" if match[0] == ".." else "."

    if part.startswith("_$"):
        part = part[1:]
    return _ESCAPE.sub(character, part)


def _v0(text: str) -> str:
    body, dot, _ = text[2:].partition(".")
    del dot
    parser = _Parser(body)
    parser.path(value=True)
    if parser.at < len(parser.raw):
        parser.silent = True
        parser.path(value=False)
    if parser.at != len(parser.raw):
        raise _Unknown
    return "".join(parser.out)


class _Parser:
    """One symbol; the text grows in `out`."""

    def __init__(self, raw: str) -> None:
        self.raw, self.at = raw, 0
        self.out: list[str] = []
        self.length = self.steps = self.depth = self.lifetimes = 0
        self.silent = False

    def put(self, text: str) -> None:
        if self.silent:
            return
        self.length += len(text)
        if self.length > MOST_NAME:
            raise _Unknown
        self.out.append(text)

    def next(self) -> str:
        letter = self.raw[self.at]
        self.at += 1
        return letter

    def take(self, letter: str) -> bool:
        if self.raw[self.at : self.at + 1] == letter:
            self.at += 1
            return True
        return False

    def deeper(self) -> None:
        self.steps += 1
        self.depth += 1
        if self.steps > MOST_STEPS or self.depth > MOST_DEPTH:
            raise _Unknown

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
                raise _Unknown
        return value + 1

    def optional(self, letter: str) -> int:
        """A number behind a letter, counted from 1; 0 without the letter."""
        return self.base62() + 1 if self.take(letter) else 0

    def identifier(self) -> tuple[str, int]:
        """A name and its disambiguator."""
        index = self.optional("s")
        return self.plain(), index

    def plain(self) -> str:
        encoded = self.take("u")
        match = re.compile(r"0|[1-9][0-9]{0,4}").match(self.raw, self.at)
        if match is None:
            raise _Unknown
        self.at = match.end()
        self.take("_")
        size = int(match[0])
        name = self.raw[self.at : self.at + size]
        if len(name) != size:
            raise _Unknown
        self.at += size
        return _punycode(name) if encoded else name

    def referred(self, parse: Callable[[], None]) -> None:
        """A part that stands earlier in the symbol."""
        start = self.at - 1
        place = self.base62()
        if place >= start:
            raise _Unknown
        if self.silent:
            return
        end, self.at = self.at, place
        parse()
        self.at = end

    # Paths.

    def path(self, *, value: bool) -> None:
        self.deeper()
        kind = self.next()
        match kind:
            case "C":
                name, _ = self.identifier()
                self.put(name)
            case "M" | "X" | "Y":
                self.implementation(kind)
            case "N":
                self.namespaced(value=value)
            case "I":
                self.path(value=value)
                self.put("::<" if value else "<")
                self.listed(self.generic_argument)
                self.put(">")
            case "B":
                self.referred(lambda: self.path(value=value))
            case _:
                raise _Unknown
        self.depth -= 1

    def implementation(self, kind: str) -> None:
        if kind != "Y":
            self.optional("s")
            silent, self.silent = self.silent, True
            self.path(value=False)
            self.silent = silent
        self.put("<")
        self.type()
        if kind != "M":
            self.put(" as ")
            self.path(value=False)
        self.put(">")

    def namespaced(self, *, value: bool) -> None:
        space = self.next()
        if not space.isalpha():
            raise _Unknown
        self.path(value=value)
        name, index = self.identifier()
        if space.islower():
            if name:
                self.put(f"::{name}")
            return
        words = {"C": "closure", "S": "shim"}.get(space, space)
        self.put(f"::{{{words}{':' if name else ''}{name}#{index}}}")

    def listed(self, parse: Callable[[], None], *, between: str = ", ") -> int:
        count = 0
        while not self.take("E"):
            if count:
                self.put(between)
            self.deeper()
            parse()
            self.depth -= 1
            count += 1
        return count

    def generic_argument(self) -> None:
        if self.take("L"):
            self.lifetime(self.base62())
        elif self.take("K"):
            self.constant()
        else:
            self.type()

    def lifetime(self, index: int) -> None:
        if index == 0:
            self.put("'_")
            return
        depth = self.lifetimes - index
        if depth < 0:
            raise _Unknown
        self.put(f"'{chr(ord('a') + depth)}" if depth < 26 else f"'_{depth}")

    # Types.

    def type(self) -> None:  # noqa: C901 - one case each
        self.deeper()
        letter = self.next()
        match letter:
            case _ if letter in _BASIC:
                self.put(_BASIC[letter])
            case "R" | "Q":
                self.put("&")
                if self.take("L") and (index := self.base62()):
                    self.lifetime(index)
                    self.put(" ")
                self.put("mut " if letter == "Q" else "")
                self.type()
            case "P" | "O":
                self.put("*const " if letter == "P" else "*mut ")
                self.type()
            case "A" | "S":
                self.put("[")
                self.type()
                if letter == "A":
                    self.put("; ")
                    self.constant()
                self.put("]")
            case "T":
                self.put("(")
                count = self.listed(self.type)
                self.put(",)" if count == 1 else ")")
            case "F":
                self.binder(self.function)
            case "D":
                self.dynamic()
            case "B":
                self.referred(self.type)
            case _:
                self.at -= 1
                self.path(value=False)
        self.depth -= 1

    def binder(self, parse: Callable[[], None]) -> None:
        """A part with lifetimes of its own: `for<'a> …`."""
        count = self.optional("G")
        if count > MOST_DEPTH:
            raise _Unknown
        if count:
            self.put("for<")
            for index in range(count):
                self.put(", " if index else "")
                self.lifetimes += 1
                self.lifetime(1)
            self.put("> ")
        parse()
        self.lifetimes -= count

    def function(self) -> None:
        self.put("unsafe " if self.take("U") else "")
        if self.take("K"):
            abi = "C" if self.take("C") else self.plain().replace("_", "-")
            self.put(f'extern "{abi}" ')
        self.put("fn(")
        self.listed(self.type)
        self.put(")")
        if self.take("u"):
            return
        self.put(" -> ")
        self.type()

    def dynamic(self) -> None:
        self.put("dyn ")
        self.binder(lambda: void(self.listed(self.trait, between=" + ")))
        if not self.take("L"):
            raise _Unknown
        if index := self.base62():
            self.put(" + ")
            self.lifetime(index)

    def trait(self) -> None:
        open_list = self.open_path()
        while self.take("p"):
            self.put(", " if open_list else "<")
            open_list = True
            self.put(f"{self.plain()} = ")
            self.type()
        self.put(">" if open_list else "")

    def open_path(self) -> bool:
        """A path of a trait whose list of arguments may go on; whether it has begun."""
        if self.take("B"):
            found = False

            def again() -> None:
                nonlocal found
                found = self.open_path()

            self.referred(again)
            return found
        if not self.take("I"):
            self.path(value=False)
            return False
        self.path(value=False)
        self.put("<")
        self.listed(self.generic_argument)
        return True

    # Constants.

    def constant(self) -> None:
        self.deeper()
        letter = self.next()
        if letter == "B":
            self.referred(self.constant)
        elif letter == "p":
            self.put("_")
        elif letter == "b":
            self.put({"0_": "false", "1_": "true"}[self.hexadecimal() + "_"])
        elif letter == "c":
            self.put(_quoted(chr(int(self.hexadecimal(), 16))))
        elif letter in "aslxnihtmyoj":
            self.put("-" if letter in "aslxni" and self.take("n") else "")
            digits = self.hexadecimal()
            self.put(str(int(digits, 16)) if len(digits) <= 16 else f"0x{digits}")
        else:
            raise _Unknown
        self.depth -= 1

    def hexadecimal(self) -> str:
        match = re.compile(r"([0-9a-f]*)_").match(self.raw, self.at)
        if match is None:
            raise _Unknown
        self.at = match.end()
        return match[1].lstrip("0") or "0"


def void(_: object) -> None:
    """Drop a value."""


def _quoted(character: str) -> str:
    escapes = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "'": "\\'", "\\": "\\\\"}
    if character in escapes:
        return f"'{escapes[character]}'"
    return f"'{character}'" if character.isprintable() else f"'\\u{{{ord(character):x}}}'"


def _punycode(name: str) -> str:
    """RFC 3492, with an underscore instead of the hyphen."""
    if len(name) > MOST_PUNYCODE:
        raise _Unknown
    basic, _, rest = name.rpartition("_")
    return (f"{basic}-{rest}" if basic else rest).encode().decode("punycode")
