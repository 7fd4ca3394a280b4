"""Names of functions as their sources have them, from the names in symbol tables."""

from __future__ import annotations

from functools import lru_cache

from procmirror.decoding.text import decoded
from procmirror.stack import demangle_cxx, demangle_rust

REMEMBERED = 2048


@lru_cache(REMEMBERED)
def function_name(symbol: bytes) -> str:
    """The function of a C++ or Rust symbol; every other symbol is a name as it is.

    A symbol that no compiler wrote, or that stands for more than 4 KiB, stays as it is, too.
    """
    if not symbol.startswith((b"_Z", b"_R", b"__Z", b"_GLOBAL__")):
        return decoded(symbol)
    try:
        found = demangle_rust.demangled(symbol) or demangle_cxx.demangled(symbol)
    except Exception:  # noqa: BLE001 - a symbol that another wrote never costs the other frames
        found = None
    return found or decoded(symbol)
