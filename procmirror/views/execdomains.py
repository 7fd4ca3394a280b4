"""/proc/execdomains: the personalities that the kernel can execute.

Source: proc_execdomains(5), kernel/exec_domain.c.

Since Linux 4.1 there is one line, for Linux itself.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

LINE = re.compile(r"(\d+)-(\d+)\t([^\t]*+)\t\[(.*)\]")


class Domain(Record, frozen=True):
    """One execution domain."""

    low: Annotated[int, doc("First personality that it handles")]
    high: Annotated[int, doc("Last personality that it handles")]
    name: Annotated[str, doc("Its name")]
    module: Annotated[str, doc("The module it is in, or kernel")]


def decode(raw: bytes, _: Machine) -> list[Domain]:
    """One domain a line."""
    return rows(raw, lambda line: _domain(decoded(line)))


def _domain(line: str) -> Domain:
    match = matched(LINE, line, "LOW-HIGH NAME [MODULE]")
    return Domain(int(match[1]), int(match[2]), match[3].rstrip(" "), match[4])
