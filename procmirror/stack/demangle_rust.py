"""Rust names as people write them: the legacy and the v0 mangling, with the output of c++filt.

Symbols are another's bytes: the length of a text, the steps and the depth are bounded.
"""

from __future__ import annotations

from procmirror.stack.rust_legacy import legacy
from procmirror.stack.rust_reader import MOST_NAME, Unknown
from procmirror.stack.rust_v0 import v0


def demangled(symbol: bytes) -> str | None:
    """The name of a Rust symbol; None for every other symbol."""
    if len(symbol) > MOST_NAME or not symbol.startswith((b"_ZN", b"_R")):
        return None
    try:
        text = symbol.decode("ascii")
        found = legacy(text) if text.startswith("_ZN") else v0(text)
        if found is not None:
            found.encode()  # no half of a surrogate pair
    except (Unknown, ValueError, LookupError, ArithmeticError, RecursionError):
        return None
    return found
