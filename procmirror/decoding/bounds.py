"""Numbers of more than 64 bits: no kernel prints any, and parsers of JSON round or refuse them."""

from __future__ import annotations

from json import loads
from typing import Any

import msgspec

# Maps every digit to 0: a search for twenty zeros takes a tenth of the time of a regular
# expression.
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 20


def may_exceed(raw: bytes) -> bool:
    """Whether so many digits stand in a row that they may be a number of more than 64 bits."""
    return _LONG in raw.translate(_ZEROS)


def check(record: Any) -> None:
    """ValueError if a record has such a number."""
    check_encoded(msgspec.json.encode(record))


def check_encoded(encoded: bytes) -> None:
    """ValueError if a JSON document has such a number."""
    if may_exceed(encoded):
        loads(encoded, parse_int=_held)


def _held(digits: str) -> None:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"{digits[:40]} has more than 64 bits")
