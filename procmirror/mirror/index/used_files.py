"""The files that a process uses, for the index by-file: descriptors, cwd, root, exe and mappings.

A file is named as the kernel names it to the process, without its mark of deletion. What is on no
path (pipes, sockets) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from procmirror.decoding.text import decoded
from procmirror.decoding.view import MOST_DESCRIPTORS, MOST_OF_MAPS, Machine, Reading
from procmirror.mirror.index.names import escaped
from procmirror.views.pid.maps import DELETED

# The path of a mapping in a line of maps, after its inode; the kernel writes a newline as \\012.
_MAPPED = re.compile(rb"^\S+ \S+ \S+ \S+ [1-9]\d* +(/.*)$", re.MULTILINE)


def by_file(pid: str, reading: Reading, _: Machine) -> Iterator[tuple[tuple[str, ...], bool]]:
    """By each file that it uses; OSError if the requester may not list its descriptors."""
    names = reading.names(f"{pid}/fd")[:MOST_DESCRIPTORS]
    links = (*(f"fd/{name}" for name in names), "cwd", "root", "exe")
    found: dict[str, None] = {}
    for link in links:
        with suppress(OSError):
            found[reading.link(f"{pid}/{link}")] = None
    with suppress(OSError):
        raw = reading.read(f"{pid}/maps")
        found |= dict.fromkeys(
            decoded(path).replace("\\012", "\n") for path in _MAPPED.findall(raw[:MOST_OF_MAPS])
        )
    for path in dict.fromkeys(one.removesuffix(DELETED) for one in found if one.startswith("/")):
        parts = path.removeprefix("/").split("/") if path != "/" else ()
        yield tuple(map(escaped, parts)), True
