"""/proc/fs/fscache/stats and /proc/fs/netfs/stats: the cache of network file systems.

Source: fs/netfs/fscache_stats.c and fs/netfs/stats.c (before Linux 6.8 fs/fscache/stats.c),
Documentation/filesystems/caching/fscache.rst.

From 6.8 on /proc/fs/fscache is a link to /proc/fs/netfs.

Lines `Title  : key=number …` below a title. Several lines may have the same title; their keys are
shown together. A key that comes again under one title has the number of its line behind it.
"""

from __future__ import annotations

import re

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import counter, lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine

_LINE = re.compile(rb"([A-Za-z][^:=]*+):((?: *+[0-9A-Za-z]++=-?[0-9]++)++) *+")
_PAIR = re.compile(rb"([0-9A-Za-z]+)=(-?[0-9]+)")


def decode(raw: bytes, _: Machine) -> dict[str, dict[str, int]]:
    """By title: the counters under the kernel's keys; an odd line is a title without counters."""
    found: dict[str, dict[str, int]] = {}
    for at, line in enumerate(lines(raw), 1):
        match = _LINE.fullmatch(line)
        if match:
            counts = found.setdefault(decoded(match[1].rstrip(b" ")), {})
            for key, number in _PAIR.findall(match[2]):
                name = decoded(key)
                counts[f"{name}:{at}" if name in counts else name] = counter(number)
        elif line.strip() and not line.lower().strip(b"- ").endswith(b"statistics"):
            found[decoded(line.strip())] = {}
    if not any(found.values()):
        raise expected("TITLE : KEY=NUMBER …", raw)
    return found
