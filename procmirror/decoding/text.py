"""Bytes of other processes as text: lossless in JSON, harmless to a terminal in `.txt`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

# Characters that move the cursor or hide text: controls, line separators, surrogates, and format
# characters (category Cf) of direction, of no width, and tags. Only the two joiners are kept, which
# some scripts and emoji need.
_FORMATS = (
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_FORMATS}]")
_UNSAFE_IN_TEXT = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff{_FORMATS}]")
# The same for pure ASCII text, as almost all text is. It takes a third of the time.
_UNSAFE_ASCII = re.compile("[\x00-\x1f\x7f]")
_UNSAFE_IN_ASCII_TEXT = re.compile("[\x00-\x09\x0b-\x1f\x7f]")
# What is in no word of ASCII.
_NO_WORD = re.compile("[\x00-\x20\x7f]")
_DIGITS = {"x": 2, "u": 4, "U": 8}
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def decoded(raw: bytes) -> str:
    r"""`raw` as UTF-8.

    A byte that is not UTF-8 becomes `\\xHH`; the raw file has the exact bytes.
    """
    return raw.decode("utf-8", "backslashreplace")


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    width = "x" if code < 0x100 else "u" if code < 0x10000 else "U"
    return _SHORT.get(char) or f"\\{width}{code:0{_DIGITS[width]}x}"


def printable(text: str) -> str:
    """`text` on one line.

    Control characters, line separators and format characters are escaped; a backslash is not.
    """
    return (_UNSAFE_ASCII if text.isascii() else _UNSAFE).sub(_escape, text)


def one_of_many(name: str) -> str:
    r"""A name among others with commas between: its own `, ` is `,\x20`.

    Else a program that calls itself `systemd(1), a` would be shown as two.
    """
    return name.replace(", ", ",\\x20")


def printable_lines(texts: Sequence[str]) -> str:
    """Each text `printable` on a line of its own; fast if none of them needs an escape."""
    together = "\n".join(texts) + "\n"
    unsafe = _UNSAFE_IN_ASCII_TEXT if together.isascii() else _UNSAFE_IN_TEXT
    if together.count("\n") == len(texts) and not unsafe.search(together):
        return together
    return "".join(f"{printable(text)}\n" for text in texts)


def harmless(text: str) -> str:
    """A whole `.txt` with everything escaped that `printable` escapes, except newlines.

    It is the last check of every `.txt`, whatever a view does.
    """
    return (_UNSAFE_IN_ASCII_TEXT if text.isascii() else _UNSAFE_IN_TEXT).sub(_escape, text)


# A cell longer than this does not widen its column: it moves what follows in its own row only.
WIDE = 40
# The same for a table whose last column would begin where a terminal of 80 columns ends.
NARROW = 24
_LAST_BEGINS = 68
_BLANKS = re.compile("[ \xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def word(cell: object) -> str:
    """A cell as one word: printable, its blanks as numbers, `-` where there is nothing.

    Programs divide lines at blanks, and names of others have them.
    """
    return _BLANKS.sub(_escape, printable(str(cell))) or "-"


def columns(
    rows: Iterable[Sequence[object]], header: Sequence[str] = (), right: Iterable[int] = ()
) -> str:
    """An aligned table, one row a line.

    Each cell is one word but for the last of a row, which is free text and never padded. The
    columns numbered in `right` are right-aligned. A cell of more than `WIDE` characters widens no
    column, nor one of more than `NARROW` in a table that is too wide for 80. Blanks at the
    beginning of a first cell are kept: they are its depth.

    Cells are made printable here, so that no cell can end its line or move another.
    """
    cells = _cells([["" if cell is None else str(cell) for cell in row] for row in rows])
    if header:
        cells.insert(0, list(header))
    if not cells:
        return ""
    widths = _widths(cells)
    flush = set(right)
    last = len(widths) - 1
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if at in flush else cell if at == last else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column, in characters."""
    lengths = [[len(cell) for cell in column] for column in zip(*cells, strict=True)]
    widths = [max((one for one in column if one <= WIDE), default=0) for column in lengths]
    if sum(widths[:-1]) + 2 * (len(widths) - 1) <= _LAST_BEGINS:
        return widths
    return [max((one for one in column if one <= NARROW), default=0) for column in lengths]


def printable_rows(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Each cell `printable`; fast if none of them needs an escape."""
    together = "".join(map("".join, rows))
    unsafe = _UNSAFE_ASCII if together.isascii() else _UNSAFE
    if not unsafe.search(together):
        return rows
    return [[printable(cell) for cell in row] for row in rows]


def _cells(rows: list[list[str]]) -> list[list[str]]:
    """The cells as words, the last of a row printable; fast if they are that already."""
    words = "".join("".join(row[:-1]) for row in rows)
    ends = "".join(row[-1] for row in rows)
    plain = words.isascii() and ends.isascii()
    if not plain or _NO_WORD.search(words) or _UNSAFE_ASCII.search(ends):
        return [_words(row) for row in rows]
    return [[*(cell or "-" for cell in row[:-1]), row[-1]] for row in rows]


def _words(cells: list[str]) -> list[str]:
    first = cells[0]
    depth = len(first) - len(first.lstrip(" ")) if len(cells) > 1 else 0
    made = [word(cell) for cell in cells[:-1]]
    if depth:
        made[0] = first[:depth] + word(first[depth:])
    return [*made, printable(cells[-1])]


def told(value: object) -> str:
    """A value for a line of text; `?` where it is not known."""
    return "?" if value is None else str(value)


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as the kernel prints lists of CPUs: `0-3,8`; `-` for none."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in found) or "-"


def page(rows: Iterable[tuple[str, object]]) -> str:
    """A page: a key of one word and its value a line; what is empty, None or 0 is left out."""
    return columns([row for row in rows if row[1]])


# What stands behind `at-0` in a line of 80 columns.
_AT_NOUGHT = 74


def at_nought(names: Sequence[str]) -> str:
    """The end of a text that leaves out what is 0: lines with the names, for a search."""
    lines = [""]
    for name in map(word, names):
        if len(lines[-1]) + len(name) >= _AT_NOUGHT:
            lines.append("")
        lines[-1] += f" {name}"
    return "".join(f"at-0 {line}\n" for line in lines if line)


def size(count: float | None) -> str:
    """A number of bytes in one word for people: `0`, `512B`, `4.0KiB`, `1.5GiB`.

    `-` where there is none. `sort -h` orders them.
    """
    if not count:
        return "-" if count is None else "0"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(value) < 1024 or unit == "PiB":
            break
        value /= 1024
    return f"{count}B" if unit == "B" else f"{value:.1f}{unit}"


def duration(seconds: float | None) -> str:
    """Seconds in one word for people: `0`, `0.25s`, `3m20s`, `2h05m`, `12d04h`.

    `-` where there are none.
    """
    if not seconds:
        return "-" if seconds is None else "0"
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 60:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def date(seconds: float | None) -> str | None:
    """A time since 1970 in seconds as ISO 8601 in UTC; None without one that a date can have."""
    try:
        found = datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
    except (OverflowError, ValueError, OSError):
        return None
    return f"{found:%Y-%m-%dT%H:%M:%SZ}" if found else None


def interval(seconds: float | None) -> str:
    """A time that may be short in one word for people: `0`, `50us`, `1.5ms`, `2.5s`.

    From a minute on as `duration` has it.
    """
    if not seconds or abs(seconds) >= 60:
        return duration(seconds)
    for size, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(seconds) >= size:
            return f"{seconds / size:.4g}{unit}"
    return f"{seconds / 1e-9:.4g}ns"
