"""The v0 mangling of Rust: paths, types and constants.

Source: RFC 2603 "Rust Symbol Mangling (v0)".
"""

from __future__ import annotations

from collections.abc import Callable

from procmirror.stack.rust_constants import RustConstants
from procmirror.stack.rust_reader import MOST_DEPTH, Unknown

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


def v0(text: str) -> str:
    """The name in `_R…`; Unknown, ValueError or IndexError for anything else."""
    body, dot, _ = text[2:].partition(".")
    del dot
    parser = _Parser(body)
    parser.path(value=True)
    if parser.at < len(parser.raw):
        parser.silent = True
        parser.path(value=False)
    if parser.at != len(parser.raw):
        raise Unknown
    return "".join(parser.out)


class _Parser(RustConstants):
    """Paths and types; each method reads one part and appends its text."""

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
                raise Unknown
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
            raise Unknown
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
            raise Unknown
        self.put(f"'{chr(ord('a') + depth)}" if depth < 26 else f"'_{depth}")

    def type(self) -> None:
        self.deeper()
        letter = self.next()
        match letter:
            case _ if letter in _BASIC:
                self.put(_BASIC[letter])
            case "R" | "Q":
                self.reference("mut " if letter == "Q" else "")
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

    def reference(self, mutable: str) -> None:
        self.put("&")
        if self.take("L") and (index := self.base62()):
            self.lifetime(index)
            self.put(" ")
        self.put(mutable)
        self.type()

    def binder(self, parse: Callable[[], None]) -> None:
        """A part with lifetimes of its own: `for<'a> …`."""
        count = self.optional("G")
        if count > MOST_DEPTH:
            raise Unknown
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
            raise Unknown
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


def void(_: object) -> None:
    """Drop a value."""
