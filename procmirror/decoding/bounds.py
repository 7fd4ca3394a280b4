"""Numbers of more than 64 bits: no kernel prints any, and parsers of JSON round or refuse them."""

from __future__ import annotations

from json import loads
from typing import Any

import msgspec

# Maps every digit to 0: a search for twenty zeros takes a tenth of the time of a regular
# expression.
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG, _LONG_NEGATIVE = b"0" * 20, b"-" + b"0" * 19
_LONG_EITHER_WAY = b"0" * 19
# Times the largest size of a page, a number with fewer digits has at most 64 bits.
_LONG_TIMES_A_UNIT = b"0" * 15


def may_exceed(raw: bytes) -> bool:
    """Whether so many digits stand in a row that they may be a number of more than 64 bits."""
    zeros = raw.translate(_ZEROS)
    # What has neither has no such row either, mostly.
    return _LONG_EITHER_WAY in zeros and (_LONG in zeros or _LONG_NEGATIVE in zeros)


def may_exceed_as_size(raw: bytes) -> bool:
    """Whether the same may be so of a number times a unit, such as the size of a page."""
    return _LONG_TIMES_A_UNIT in raw.translate(_ZEROS)


def check(record: Any) -> None:
    """ValueError if a record has such a number; of what is no part of an answer nothing is said."""
    try:
        encoded = msgspec.json.encode(record)
    except TypeError:  # an object of our own
        return
    check_encoded(encoded)


def check_encoded(encoded: bytes) -> None:
    """ValueError if a JSON document has such a number."""
    if may_exceed(encoded):
        loads(encoded, parse_int=_held)


def _held(digits: str) -> None:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"{digits[:40]} has more than 64 bits")
