"""The text of PID/fd: one use of a file a line, with what the kernel knows of its kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from procmirror.decoding.reasons import refusal
from procmirror.decoding.shares import bounded
from procmirror.decoding.text import columns, duration, size
from procmirror.decoding.view import Machine
from procmirror.views.pid import fdinfo, maps
from procmirror.views.pid import fdinfo_kinds as kinds
from procmirror.views.pid.used_file import Descriptor, Socket

# What the kernel calls the files of shared memory that are on none of the mounts (shmem_file_setup,
# mm/shmem.c): anonymous, of shmget(2), of memfd_create(2).
_MEMORY = re.compile(r"/dev/zero$|/SYSV[0-9a-f]{8}$|/memfd:|/anon_hugepage$")
# The other end of a socket that is connected to none; one without ports has the address alone.
_NO_PEER = frozenset(("0.0.0.0:*", "[::]:*", "*"))
_USUAL = frozenset(("O_CLOEXEC", "O_LARGEFILE", "O_DIRECTORY", "O_PATH"))


def text(descriptors: Iterable[Descriptor], _: Machine) -> str:
    """One use a line, as `lsof -p` has them, with what the kernel knows of its kind."""
    header = ("FD", "ACCESS", "TYPE", "SIZE", "OFFSET", "TARGET")
    return columns(_rows(descriptors), header, right=(0, 3, 4))


# The inode of each descriptor, None where the kernel does not tell it.
_Files = dict[int | None, int | None]


def _rows(descriptors: Iterable[Descriptor]) -> list[tuple[object, ...]]:
    """The rows; those of epoll instances are made when all descriptors are known."""
    rows: list[tuple[object, ...]] = []
    watching: list[tuple[int, Descriptor]] = []
    files: _Files = {}
    for one in bounded(descriptors, attrgetter("target")):
        if one.use == "fd":
            files[one.fd] = one.inode
        if one.epoll:
            watching.append((len(rows), one))
        rows.append(() if one.epoll else _row(one, {}))
    for at, one in watching:
        rows[at] = _row(one, files)
    return rows


def _row(one: Descriptor, files: _Files) -> tuple[object, ...]:
    target = _unknown(one) if one.target is None else one.target
    target += maps.DELETED if one.deleted else ""
    words = target if one.socket is None else _socket(one.socket)
    flags = [flag for flag in one.flags or [] if flag not in _USUAL]
    if one.pidfd:  # O_EXCL there is PIDFD_THREAD, which the words for it tell
        flags = [flag for flag in flags if flag != "O_EXCL"]
    notes = [f"incomplete: {part.part}: {refusal(part.reason)}" for part in one.incomplete]
    notes += filter(None, (_about(one, files), " ".join(flags), *map(_locked, one.locks or [])))
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
        if socket.peer and socket.peer not in _NO_PEER
        else socket.local
    )
    kind = socket.type if socket.netid == "unix" else None
    return " ".join(word for word in (socket.netid, kind, socket.state, ends) if word)


def _locked(lock: fdinfo.Lock) -> str:
    return f"{lock.kind} {lock.type} lock {lock.start}-{'end' if lock.end is None else lock.end}"


def _about(one: Descriptor, files: _Files) -> str:
    """What an anonymous file is about, in a few words."""
    if one.epoll:
        return _listed([_watched(watch, files) for watch in one.epoll])
    if one.pidfd:
        return _process(one.pidfd, is_thread="O_EXCL" in (one.flags or ()))
    told = _facts_of(one)
    if not any(told):
        return _terminal(one)
    return next(words(value) for words, value in zip(_ABOUT.values(), told, strict=True) if value)


def _terminal(one: Descriptor) -> str:
    """The terminal that a pseudoterminal's master drives."""
    return "" if one.tty_index is None else f"drives pts/{one.tty_index}"


def _timer(timer: kinds.Timerfd) -> str:
    period = f"every {duration(timer.interval)}" if timer.interval else "once"
    if timer.value:
        return f"{timer.clock}, in {duration(timer.value)}, {period}"
    # It is not started again before somebody reads it.
    return (
        f"{timer.clock}, expired and not read, {period}" if timer.ticks else f"{timer.clock}, off"
    )


def _process(process: kinds.Pidfd, *, is_thread: bool) -> str:
    """The process or thread of a pidfd; two numbers that none has say what became of it."""
    what = "thread" if is_thread else "process"
    told = {0: f"a {what} that is not visible here", -1: f"a {what} that is gone"}
    return told.get(process.pid, f"{what} {process.pid}")


def _faults(item: kinds.Userfaultfd) -> str:
    return f"{item.total} page faults wait, {item.pending} of them unread" if item.total else ""


def _watched(watch: kinds.Watch, files: _Files) -> str:
    """What an epoll instance watches, by the descriptor under which it was added.

    It stays watched while another descriptor leads to it, also when the first is closed.
    """
    inode = files.get(watch.fd)
    moved = "; it is closed here" if watch.fd not in files else ""
    if watch.inode is not None and inode is not None and inode != watch.inode:
        moved = f"; {watch.fd} is another file by now"
    return f"{watch.fd} ({_short(watch.events, 'EPOLL')}{moved})"


def _marked(marks: list[kinds.Mark]) -> str:
    return _listed([_mark(mark) for mark in marks]) if marks else ""


def _listed(watched: list[str]) -> str:
    """The first of what is watched; how many there are comes first where not all are shown."""
    if len(watched) <= 8:
        return f"watches {', '.join(watched)}"
    return f"watches {len(watched)}: {', '.join(watched[:8])} and {len(watched) - 8} more"


def _mark(mark: kinds.Mark) -> str:
    events = _events(mark)
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


def _events(mark: kinds.Mark) -> str:
    """What counts, and what does not: of a mark that only ignores, nothing counts."""
    counts, ignored = (_short(words, "IN_", "FAN_") for words in (mark.mask, mark.ignored_mask))
    return "; ".join(filter(None, (counts, f"ignores {ignored}" if ignored else "")))


def _short(words: Iterable[str], *prefixes: str) -> str:
    for prefix in prefixes:
        words = [word.removeprefix(prefix) for word in words]
    return " ".join(words).lower()


# The words for each kind, by the field that the kind fills.
_ABOUT: dict[str, Callable[[Any], str]] = {
    "inotify": _marked,
    "fanotify": lambda group: _marked(group.marks),
    "timerfd": _timer,
    "eventfd": lambda counter: f"counter {counter.count}",
    "signalfd": " ".join,
    "userfaultfd": _faults,
    "scm_fds": lambda count: f"{count} descriptors sent to it wait",
    "dmabuf": lambda buffer: f"{size(buffer.size)} from {buffer.exp_name}",
    "iff": lambda name: f"interface {name}",
    "bpf": lambda item: f"{item.type} {item.kind} {item.id or ''}".rstrip(),
}
_facts_of = attrgetter(*_ABOUT)
