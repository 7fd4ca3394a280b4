"""The lines of /proc/TID/status that tell a task's rights (proc_pid_status, fs/proc/array.c)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_KEYS = (b"Tgid", b"Uid", b"Gid", b"Groups", b"CapPrm", b"CapEff")
_FIELD = re.compile(rb"\n(%s):\t([^\n]*)(?=\n)" % b"|".join(_KEYS))
_REAL_UID = re.compile(rb"\nUid:\t(\d+)\t")
# The longest lines of ids that are cached, in bytes: a task may have 65,536 groups.
_CACHED = 1 << 12


class StatusIds(NamedTuple):
    """The identity lines of a status file.

    `uids` and `gids` are real, effective, saved and file system ids; `permitted` and `effective`
    are capabilities as masks.
    """

    tgid: int
    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    permitted: int
    effective: int


def parse_status(content: bytes) -> StatusIds:
    """The identity lines of a status file.

    The first line holds the name of the task, which may contain anything, and is skipped. Raises
    ValueError unless each key occurs once, in the kernel's order.
    """
    start = content.index(b"\n")
    groups = content.index(b"\nGroups:", start)
    capabilities = content.index(b"\nCapInh:", groups)
    if content.find(b"\nGroups:", groups + 1, capabilities) >= 0:
        raise ValueError("two lines of groups instead of one")
    # All lines before the memory sizes, and the lines from the inheritable capabilities to the
    # bounding set.
    ids = content[start : content.index(b"\n", groups + 1) + 1]
    masks = content[capabilities : content.index(b"\nCapBnd:", capabilities) + 1]
    parse = _parse_lines if len(ids) < _CACHED else _parse_lines.__wrapped__
    return parse(ids, masks)


def real_uid(content: bytes) -> int:
    """The real user id in a status file, of which a name is the first line; ValueError without."""
    line = _REAL_UID.search(content, content.index(b"\n"))
    if line is None:
        raise ValueError("no user ids")
    return int(line[1])


@lru_cache(maxsize=64)
def _parse_lines(ids: bytes, masks: bytes) -> StatusIds:
    """The identity in the lines of ids and of capabilities.

    Cached, because the lines of a requester rarely change.
    """
    keys, values = zip(*_FIELD.findall(ids + masks), strict=True)
    if keys != _KEYS:
        raise ValueError(f"{keys} instead of {_KEYS}")
    tgid, uids, gids, groups, permitted, effective = values
    ruid, euid, suid, fsuid = map(int, uids.split())
    rgid, egid, sgid, fsgid = map(int, gids.split())
    return StatusIds(
        int(tgid),
        (ruid, euid, suid, fsuid),
        (rgid, egid, sgid, fsgid),
        _parse_groups(groups),
        int(permitted, 16),
        int(effective, 16),
    )


@lru_cache(maxsize=8)
def _parse_groups(value: bytes) -> tuple[int, ...]:
    """Group ids. Cached, so that a requester with thousands of groups holds one tuple of them."""
    return tuple(map(int, value.split()))
