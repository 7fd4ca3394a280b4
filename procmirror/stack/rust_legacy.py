"""The legacy mangling of Rust: paths, with escapes that stand for characters.

Source: rustc_symbol_mangling/src/legacy.rs.
"""

from __future__ import annotations

import re

from procmirror.stack.rust_reader import Unknown

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


def legacy(text: str) -> str | None:
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
                raise Unknown
            return _ESCAPES[match[2]]
        return "::" if match[0] == ".." else "."

    if part.startswith("_$"):
        part = part[1:]
    return _ESCAPE.sub(character, part)
