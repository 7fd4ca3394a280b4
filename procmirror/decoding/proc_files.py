"""Parsers for files of /proc that several parts of the program read.

Sources: proc_pid_stat(5), proc_pid_status(5), proc_pid_mountinfo(5), proc_pid_fd(5).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from procmirror.decoding.shapes import unescaped

# The longest mountinfo of which the meaning is kept for the next request, in bytes.
KEPT_MOUNTINFO = 1 << 16
_SOCKET = re.compile(r"socket:\[([0-9]{1,20})\]")


class MountLine(NamedTuple):
    """One line of mountinfo.

    `mount_id`, `parent_id` and `device` (major:minor) identify it. Octal escapes are resolved,
    except in the options, whose commas may be escaped, and in the optional fields, which have none.
    """

    mount_id: int
    parent_id: int
    device: bytes
    root: bytes
    mount_point: bytes
    options: bytes
    optional: list[bytes]
    fs_type: bytes
    source: bytes
    super_options: bytes


def stat_columns(content: bytes) -> list[bytes]:
    """The columns of /proc/PID/stat after the name of the task, from the state (column 3) on.

    The name stands in parentheses and may hold any byte, also blanks and parentheses, so the last
    `)` ends it. Raises ValueError without one.
    """
    return content[content.rindex(b")") + 1 :].split()


def status_value(content: bytes, key: bytes) -> bytes:
    """The value of a key in /proc/PID/status, stripped of blanks.

    The first line is skipped: it holds the name of the task, which may contain anything. Raises
    ValueError if there is no such key.
    """
    at = content.find(b"\n%s:" % key)
    if at < 0:
        raise ValueError(f"no {key.decode()} in status")
    at += len(key) + 2
    end = content.find(b"\n", at)
    return content[at : end if end >= 0 else None].strip()


def socket_inode(link: str) -> int | None:
    """The inode of the socket that a link of /proc/PID/fd names; None for any other file."""
    match = _SOCKET.fullmatch(link)
    return int(match[1]) if match else None


def mount_line(line: bytes) -> MountLine:
    """The fields of a line of mountinfo without its newline.

    An empty source leaves two blanks side by side. Raises ValueError for any other line.
    """
    words = line.split(b" ")
    dash = words.index(b"-", 6)
    mount_id, parent_id, device, root, mount_point, options = words[:6]
    fs_type, source, *rest = words[dash + 1 :]
    return MountLine(
        int(mount_id),
        int(parent_id),
        device,
        unescaped(root),
        unescaped(mount_point),
        options,
        words[6:dash],
        unescaped(fs_type),
        unescaped(source),
        b" ".join(rest),
    )


def mount_lines(content: bytes) -> list[MountLine]:
    """All lines of mountinfo, in the order in which they were mounted.

    Most processes see the same mounts, which rarely change: those of a short content are kept.
    """
    return list(_mount_lines(content) if len(content) < KEPT_MOUNTINFO else _lines(content))


def _lines(content: bytes) -> tuple[MountLine, ...]:
    return tuple(mount_line(line) for line in content.split(b"\n") if line)


_mount_lines = lru_cache(8)(_lines)
