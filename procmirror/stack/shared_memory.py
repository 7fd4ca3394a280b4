"""Whether two processes share the memory at an address of one of them, by their `maps`."""

from __future__ import annotations

import re

# A mapping that is shared: addresses, then device and inode of its object, anonymous ones too.
_SHARED = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ..[-x]s [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+ \d+)(?: |$)", re.MULTILINE
)


def is_shared(address: int, own: bytes, other: bytes) -> bool:
    """Whether the object that is mapped at an address of the first is mapped by the other too."""
    for match in _SHARED.finditer(own):
        if int(match[1], 16) <= address < int(match[2], 16):
            return any(one[3] == match[3] for one in _SHARED.finditer(other))
    return False
