r"""Names of directories from what processes call themselves, which may be any bytes.

They are escaped as in `.txt`: `\n` for a newline, `\xHH` for a byte that is not UTF-8; a backslash
stays. A slash is written as U+2215. A name with another meaning (the empty one, `.`, `..`, `pids`,
and a number if asked) or that looks like such a marked name gets a leading `=`, and so does one
with a U+2215 of its own. A name that is too long is cut, and ends in a hash of the whole.

Names without a backslash and without U+2215 have one origin only. Nothing has to be decoded: a name
is found again by encoding that of the process.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module
from typing import Any

from procmirror.decoding.text import printable

SLASH = "\u2215"
# NAME_MAX, in bytes.
LONGEST = 255
_TAKEN = frozenset({"", ".", "..", "pids"})
_HASH = 16
_CUT = re.compile(rf"…[0-9a-f]{{{_HASH}}}\Z")
_HEAD = LONGEST - _HASH - len("…".encode())
_DIGITS = re.compile(r"[0-9]+")


def _own_sha256() -> Any:
    """SHA-256 of Python itself, as random.py takes it: that of hashlib loads OpenSSL."""
    # Since Python 3.12, before, and where Python is built without its own.
    for name in ("_sha2", "_sha256"):
        with suppress(ImportError):
            return import_module(name).sha256
    return import_module("hashlib").sha256


_sha256 = _own_sha256()


def escaped(raw: str, *, numbers: bool = True) -> str:
    """The name of a directory for `raw`; without `numbers`, a name of digits only is marked too."""
    text = printable(raw)
    if _is_reserved(text, numbers=numbers) or SLASH in text:
        text = f"={text}"
    text = text.replace("/", SLASH)
    whole = text.encode()
    if len(whole) > LONGEST or (len(whole) > _HEAD and _CUT.search(text)):
        return f"{whole[:_HEAD].decode(errors='ignore')}…{_sha256(whole).hexdigest()[:_HASH]}"
    return text


def _is_reserved(text: str, *, numbers: bool) -> bool:
    return text in _TAKEN or text.startswith("=") or (not numbers and bool(_DIGITS.fullmatch(text)))


def is_name(name: str, *, numbers: bool = True) -> bool:
    """Whether `escaped` can return such a name."""
    if "/" in name or len(name.encode()) > LONGEST or printable(name) != name:
        return False
    if not name.startswith("="):
        return not _is_reserved(name, numbers=numbers)
    return _is_reserved(name[1:], numbers=numbers) or SLASH in name or bool(_CUT.search(name))
