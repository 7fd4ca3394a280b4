"""/proc/spl/kstat/zfs/*: the named statistics of ZFS (OpenZFS, module/os/linux/spl/spl-kstat.c).

A line of numbers about the statistics, the header `name type data`, then a row for each. Type 3 and
5 are signed, 4 and 6 unsigned numbers, 7 a text.
"""

from __future__ import annotations

from procmirror.decoding.shapes import counter
from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine

Value = int | str
_TEXTS = {b"0", b"7"}


def decode(raw: bytes, _: Machine) -> dict[str, Value]:
    """The statistics by name, in their order; sizes are bytes as ZFS counts them.

    Of a row that has another form the rest of its line stands as text.
    """
    columns_of(raw, "name type data", 1)
    found = rows(raw, _named, 2)
    texts = (bad.line.partition(" ") for bad in found.undecoded)
    return {name: rest.strip() for name, _, rest in texts} | dict(found)


def _named(line: bytes) -> tuple[str, Value]:
    name, kind, *data = line.split(None, 2)
    if kind in _TEXTS:
        return decoded(name), decoded(b"".join(data).rstrip())
    (number,) = data
    return decoded(name), counter(number)
