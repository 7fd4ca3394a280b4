"""/proc/config.gz: how the kernel was configured.

Source: proc_config.gz(5), kernel/configs.c. A `.config` file compressed by gzip.

`# CONFIG_X is not set` stands for an option that is off. The text view is the file itself,
uncompressed.
"""

from __future__ import annotations

import re
import zlib

from procmirror.decoding.reasons import expected
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine

Value = str | int | None
# A configuration has less than 400 KB; what makes more of its few bytes is no configuration.
LIMIT = 16 << 20
LINE = re.compile(r"^(?:(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set)$", re.MULTILINE)


class Options(dict[str, Value]):
    """The options in their order.

    `y`, `m`, numbers, texts without their quotes, null for what is not set.
    """

    source = ""


def decode(raw: bytes, _: Machine) -> Options:
    """The options; numbers in hexadecimal stay texts."""
    gunzip = zlib.decompressobj(wbits=31)
    try:
        source = decoded(gunzip.decompress(raw, LIMIT))
    except zlib.error as error:
        raise expected("a file compressed by gzip", raw) from error
    if not gunzip.eof:
        raise ValueError("expected a whole file of less than 16 MiB, found one that goes on")
    options = Options(
        {
            name or unset: None if unset else _value(value)
            for name, value, unset in LINE.findall(source)
        }
    )
    options.source = source
    return options


def _value(text: str) -> str | int:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text


def text(options: Options, _: Machine) -> str:
    """The file, uncompressed."""
    return options.source
