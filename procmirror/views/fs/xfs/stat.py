"""/proc/fs/xfs/stat: what XFS did on all its file systems.

Source: fs/xfs/xfs_stats.c, the names in fs/xfs/xfs_stats.h.

Groups are added and grow: a group without names here, and numbers beyond the known names, have
their positions for names. All but those of `xpc` are of 32 bits and wrap around.
"""

from __future__ import annotations

from itertools import zip_longest

from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine

BTREE = (
    "lookup compare insrec delrec newroot killroot increment decrement lshift rshift split join "
    "alloc free moves"
)
BUFFERS = (
    "get create get_locked get_locked_waited busy_locked miss_locked page_retries page_found "
    "get_read"
)
LOG_TAIL = (
    "try_logspace sleep_logspace pushes success pushbuf pinned locked flushing restarts flush"
)
QUOTA = (
    "dqreclaims dqreclaim_misses dquot_dups dqcachemisses dqcachehits dqwants dquot dquot_unused"
)
GROUPS = {
    "extent_alloc": "allocx allocb freex freeb",
    "abt": "lookup compare insrec delrec",
    "blk_map": "blk_mapr blk_mapw blk_unmap add_exlist del_exlist look_exlist cmp_exlist",
    "bmbt": "lookup compare insrec delrec",
    "dir": "lookup create remove getdents",
    "trans": "sync async empty",
    "ig": "attempts found frecycle missed dup reclaims attrchg",
    "log": "writes blocks noiclogs force force_sleep",
    "push_ail": LOG_TAIL,
    "xstrat": "quick split",
    "rw": "write_calls read_calls",
    "attr": "get set remove list",
    "icluster": "iflush_count icluster_flushcnt icluster_flushinode",
    "vnodes": "active alloc get hold rele reclaim remove free",
    "buf": BUFFERS,
    "qm": QUOTA,
    "xpc": "xstrat_bytes write_bytes read_bytes",
    "zoned": "gc_read_calls gc_write_calls gc_zone_reset_calls",
    "gc xpc": "gc_bytes",
    **dict.fromkeys(("abtb2", "abtc2", "bmbt2", "ibt2", "fibt2", "rmapbt", "refcntbt"), BTREE),
    **dict.fromkeys(("rmapbt_mem", "rcbagbt", "rtrmapbt", "rtrmapbt_mem", "rtrefcntbt"), BTREE),
}


def decode(raw: bytes, _: Machine) -> dict[str, dict[str, int]]:
    """The groups in their order, each with its numbers by name."""
    return dict(_group(decoded(line).split()) for line in lines(raw))


def _group(words: list[str]) -> tuple[str, dict[str, int]]:
    """The name of a group, which may be of several words (`gc xpc`), and its numbers.

    If not only numbers follow a number, all words are the name.
    """
    first = next((at for at, word in enumerate(words) if word.isdecimal()), len(words))
    if not all(map(_is_number, words[first:])):
        first = len(words)
    group = " ".join(words[:first])
    return group, _numbers(group, words[first:])


def _is_number(word: str) -> bool:
    return word.isdecimal() and len(word) < 20


def _numbers(group: str, words: list[str]) -> dict[str, int]:
    names = zip_longest(GROUPS.get(group, "").split(), range(1, len(words) + 1))
    return {name or str(at): int(word) for (name, at), word in zip(names, words, strict=False)}
