"""The text of PID/fd: one use of a file a line, with what the kernel knows of its kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from procmirror.decoding.reasons import refusal
from procmirror.decoding.text import columns, duration, size
from procmirror.decoding.view import Machine
from procmirror.views.pid import fdinfo, maps
from procmirror.views.pid import fdinfo_kinds as kinds
from procmirror.views.pid.used_file import Descriptor, Socket

# What the kernel calls the files of shared memory that are on none of the mounts (shmem_file_setup,
# mm/shmem.c): anonymous, of shmget(2), of memfd_create(2).
_MEMORY = re.compile(r"/dev/zero$|/SYSV[0-9a-f]{8}$|/memfd:")
_USUAL = frozenset(("O_CLOEXEC", "O_LARGEFILE", "O_DIRECTORY", "O_PATH"))


def text(descriptors: Iterable[Descriptor], _: Machine) -> str:
    """One use a line, as `lsof -p` has them, with what the kernel knows of its kind."""
    header = ("FD", "ACCESS", "TYPE", "SIZE", "OFFSET", "TARGET")
    return columns(map(_row, descriptors), header, right=(0, 3, 4))


def _row(one: Descriptor) -> tuple[object, ...]:
    target = _unknown(one) if one.target is None else one.target
    target += maps.DELETED if one.deleted else ""
    words = target if one.socket is None else _socket(one.socket)
    flags = [flag for flag in one.flags or [] if flag not in _USUAL]
    notes = [f"incomplete: {part.part}: {refusal(part.reason)}" for part in one.incomplete]
    notes += filter(None, (_about(one), " ".join(flags), *map(_locked, one.locks or [])))
    notes += _deleted(one) or _reached(one)
    seekable = one.type in {"file", "memfd", "dmabuf"} or one.offset
    offset = one.offset if seekable and one.offset is not None else "-"
    occupied = size(one.size)
    number, access = (one.fd, one.access or "?") if one.use == "fd" else (one.use, one.access)
    return number, access, one.type or "?", occupied, offset, "; ".join([words, *notes])


def _unknown(one: Descriptor) -> str:
    """What stands for a name that cannot be read."""
    refused = {part.reason for part in one.incomplete} <= {"EACCES", "EPERM"}
    return "(not permitted)" if refused else "(not known)"


def _deleted(one: Descriptor) -> list[str]:
    """What a file that has no name left still takes, and where."""
    if one.links != 0 or not one.allocated or one.type != "file":
        return []
    in_memory = (one.device or "").startswith("0:") and _MEMORY.match(one.target or "")
    return [f"holds {size(one.allocated)} {'in memory' if in_memory else 'on disk'}"]


def _reached(one: Descriptor) -> list[str]:
    """What is known of a deleted file that is mapped, if the kernel does not tell its size."""
    if one.size is not None or not one.reached:
        return []
    return [f"mapped as far as {size(one.reached)}"]


def _socket(socket: Socket) -> str:
    if socket.ambiguous:
        return f"{socket.netid} (ambiguous: another row has its inode)"
    ends = (
        f"{socket.local} -> {socket.peer}"
        if socket.peer and not socket.peer.endswith(":*")
        else socket.local
    )
    kind = socket.type if socket.netid == "unix" else None
    return " ".join(word for word in (socket.netid, kind, socket.state, ends) if word)


def _locked(lock: fdinfo.Lock) -> str:
    return f"{lock.kind} {lock.type} lock {lock.start}-{'end' if lock.end is None else lock.end}"


def _about(one: Descriptor) -> str:
    """What an anonymous file is about, in a few words."""
    told = _told(one)
    if not any(told):
        return _terminal(one)
    return next(words(value) for words, value in zip(_ABOUT.values(), told, strict=True) if value)


def _terminal(one: Descriptor) -> str:
    """The terminal that a pseudoterminal's master drives (`tty-index`, drivers/tty/pty.c)."""
    index = one.extra.get("tty-index", []) if one.extra else []
    return " ".join(f"drives pts/{number}" for number in index)


def _timer(timer: kinds.Timerfd) -> str:
    if not timer.value:
        return f"{timer.clock}, off"
    return f"{timer.clock}, in {duration(timer.value)}, every {duration(timer.interval)}"


def _watched(watched: list[kinds.Watch]) -> str:
    return _listed([f"{watch.fd} ({_short(watch.events, 'EPOLL')})" for watch in watched])


def _marked(marks: list[kinds.Mark]) -> str:
    return _listed([_mark(mark) for mark in marks]) if marks else ""


def _listed(watched: list[str]) -> str:
    """The first of what is watched; how many there are comes first where not all are shown."""
    if len(watched) <= 8:
        return f"watches {', '.join(watched)}"
    return f"watches {len(watched)}: {', '.join(watched[:8])} and {len(watched) - 8} more"


def _mark(mark: kinds.Mark) -> str:
    events = _short(mark.mask, "IN_", "FAN_")
    if mark.path is not None:
        return f"{mark.path} ({events})"
    where = [
        f"{name} {value}"
        for name, value in (
            ("inode", mark.inode),
            ("mount", mark.mnt_id),
            ("mount namespace", mark.mnt_ns),
        )
        if value is not None
    ]
    if mark.mnt_id is None and mark.device is not None:
        where.append(f"on {mark.device}" if where else f"device {mark.device}")
    return f"{' '.join(where)} ({events})"


def _short(words: Iterable[str], *prefixes: str) -> str:
    for prefix in prefixes:
        words = [word.removeprefix(prefix) for word in words]
    return " ".join(words).lower()


# The words for each kind, by the field that the kind fills.
_ABOUT: dict[str, Callable[[Any], str]] = {
    "inotify": _marked,
    "fanotify": lambda group: _marked(group.marks),
    "timerfd": _timer,
    "epoll": _watched,
    "eventfd": lambda counter: f"counter {counter.count}",
    "signalfd": " ".join,
    "pidfd": lambda process: f"process {process.pid}",
    "bpf": lambda item: f"{item.type} {item.kind} {item.id or ''}".rstrip(),
}
_told = attrgetter(*_ABOUT)
