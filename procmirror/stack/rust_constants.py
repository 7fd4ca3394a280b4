"""Constants among the generic arguments of a mangled Rust name (v0)."""

from __future__ import annotations

import re

from procmirror.stack.rust_reader import RustReader, Unknown


class RustConstants(RustReader):
    """Reads one constant and appends it as Rust writes it."""

    def constant(self) -> None:
        """Read a constant."""
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
            raise Unknown
        self.depth -= 1

    def hexadecimal(self) -> str:
        """Hexadecimal digits up to an underscore, without leading zeros."""
        match = re.compile(r"([0-9a-f]*)_").match(self.raw, self.at)
        if match is None:
            raise Unknown
        self.at = match.end()
        return match[1].lstrip("0") or "0"


def _quoted(character: str) -> str:
    escapes = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "'": "\\'", "\\": "\\\\"}
    if character in escapes:
        return f"'{escapes[character]}'"
    return f"'{character}'" if character.isprintable() else f"'\\u{{{ord(character):x}}}'"
