"""Why something could not be decoded, in the words of a user rather than of Python."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from errno import errorcode

# The exceptions that a decoder may raise for bytes that it does not know; `View` turns each into
# DecodeError.
SURPRISES = (
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    struct.error,
    RecursionError,
)
_INT = re.compile(r"invalid literal for int\(\) with base (\d+): b?(.*)", re.DOTALL)
_FLOAT = re.compile(r"could not convert string to float: b?(.*)", re.DOTALL)
_COLUMNS = re.compile(r"not enough values to unpack \(expected (?:at least )?(\d+), got (\d+)\)")
_MORE = re.compile(r"too many values to unpack \(expected (\d+)(?:, got \d+)?\)")
_DIGITS = re.compile(r"Exceeds the limit \(\d+ digits\) for integer string conversion.*", re.DOTALL)
_LENGTHS = re.compile(r"zip\(\) argument .*")
_ABSENT = re.compile(r".* is not in list|(?:substring|subsection) not found", re.DOTALL)
_ADDRESS = re.compile(r"non-hexadecimal number found.*|invalid length of packed IP address.*")
_BASES = {"8": "an octal", "16": "a hexadecimal"}
# How many characters of an unexpected value are shown.
_SHOWN = 60


class LineError(ValueError):
    """A line that cannot be decoded: its number, counted from 1, and what was expected."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def why(failure: BaseException) -> str:
    """Why a part is missing: the name of the errno of an OSError, else `reason`."""
    if isinstance(failure, OSError):
        return errorcode.get(failure.errno or 0, str(failure.errno))
    return reason(failure)


_REFUSALS = {
    "EACCES": "not permitted",
    "EPERM": "not permitted",
    "ETIMEDOUT": "no answer in time: the kernel makes its readers wait",
    "EBUSY": "no answer in time: the kernel makes its readers wait",
    "EREMOTE": "another process or machine may serve the file, and is not asked",
    "ESTALE": "the name leads to another file or none",
    "EFBIG": "more than is shown of one process",
}


def refusal(reason: str) -> str:
    """The reason of a missing part for people: words for the commonest errnos, else itself."""
    return _REFUSALS.get(reason, reason)


def found(raw: bytes | str) -> str:
    """Bytes as a quoted word of a message: escaped, and shortened if they are long."""
    quoted = repr(raw[: _SHOWN + 1]).removeprefix("b")
    return quoted if len(raw) <= _SHOWN else f"{repr(raw[:_SHOWN]).removeprefix('b')}…"


def expected(what: str, raw: bytes | str) -> ValueError:
    """The error for a text that is not the expected one."""
    return ValueError(f"expected {what}, found {found(raw)}")


_WORDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_INT, lambda match: f"expected {_BASES.get(match[1], 'a')} number, found {match[2][:80]}"),
    (_FLOAT, lambda match: f"expected a number, found {match[1][:80]}"),
    (_COLUMNS, lambda match: f"expected {match[1]} columns, found {match[2]}"),
    (_MORE, lambda match: f"expected {match[1]} columns, found more"),
    (_DIGITS, lambda _: "expected a number of at most 64 bits, found one of thousands of digits"),
    (_ABSENT, lambda _: "expected another separator or more columns"),
    (_ADDRESS, lambda _: "expected an address in hexadecimal"),
    (_LENGTHS, lambda _: "expected as many columns as the header has"),
)


def reason(surprise: BaseException) -> str:
    """An exception of a decoder as a phrase: the expected value and the one found.

    `surprise` is one of SURPRISES. Python's own texts for the commonest of them name no column and
    no key. Exceptions without a better text keep Python's, with the name of their type.
    """
    words = str(surprise)
    if isinstance(surprise, KeyError):
        key = surprise.args[0] if surprise.args else ""
        return f"expected {key.decode('utf-8', 'replace') if isinstance(key, bytes) else key}"
    if isinstance(surprise, IndexError | StopIteration):
        return "expected more columns or lines"
    for pattern, plain in _WORDS:
        if match := pattern.fullmatch(words):
            return plain(match)
    return words if isinstance(surprise, ValueError) else f"{type(surprise).__name__}: {words}"
