"""The text of PID/process: one page, what is asked first on top."""

from __future__ import annotations

from procmirror.decoding.reasons import refusal
from procmirror.decoding.text import duration, page, size, told
from procmirror.decoding.view import Machine
from procmirror.views.pid import stat, status
from procmirror.views.pid.process import Process, comm, command, share, state, user

# How many children are named.
_MOST_CHILDREN = 10
# How many addresses are, as many as a line has room for.
_MOST_ADDRESSES = 4
# Lines of the text and the parts without which they cannot be written.
_REFUSABLE = {"command": "cmdline", "program": "exe", "directory": "cwd", "storage": "io"}


def text(process: Process, machine: Machine) -> str:
    """One page, what is asked first on top; what is empty or not there is left out."""
    missing = {one.part: one.reason for one in process.incomplete}
    refused = {
        label: f"({refusal(missing[part])})"
        for label, part in _REFUSABLE.items()
        if part in missing
    }
    rows = {**_identity(process, machine), **_use(process), **_confinement(process), **refused}
    return page(rows.items())


def _identity(process: Process, machine: Machine) -> dict[str, object]:
    found, words = process.stat, process.status
    ids = words.Uid if words else None
    started_by = "" if ids is None or ids.real == ids.effective else ids.real_name or ids.real
    parent = found.ppid if found else words and words.PPid
    return {
        "process": f"{process.pid} {comm(process)}",
        "state": state(process) + _living(process),
        "command": command(process, machine, 1000),
        "program": process.exe,
        "directory": process.cwd,
        "root": "" if process.root == "/" else process.root,
        "user": user(process) + (f", started by {started_by}" if started_by else ""),
        "parent": f"{parent or ''} {process.parent_name or ''}".rstrip(),
        "children": _children(process.children or []),
        "traced-by": words and words.TracerPid,
        "terminal": found and (found.tty or found.tty_nr),
        "started": found and found.started,
        "elapsed": process.elapsed and duration(process.elapsed),
        "waits-for": process.waits_for,
        "listens": _listens(process.listening or []),
    }


def _living(process: Process) -> str:
    """What a process does whose first thread has ended and others have not: it is no zombie yet."""
    found = process.stat
    threads = found.num_threads - 1 if found and found.state == "Z" and found.num_threads else 0
    return f"; {threads} of its threads live on (task.txt)" if threads > 0 else ""


def _use(process: Process) -> dict[str, object]:
    words, io_ = process.status, process.io
    swapped = words.VmSwap if words else None
    return {
        **(_counted(process.stat, words, share(process)) if process.stat else {}),
        "swapped": f"{size(swapped)} without shared memory" if swapped else "",
        "storage": io_ and f"{size(io_.read_bytes)} read, {size(io_.write_bytes)} written",
        "descriptors": _descriptors(process),
    }


def _counted(found: stat.Stat, words: status.Status | None, used: str) -> dict[str, object]:
    resident = (words and words.VmRSS) or found.rss
    return {
        "threads": found.num_threads,
        "cpu-time": f"{duration(found.utime)} user, {duration(found.stime)} system, {used} of a "
        f"CPU in its life, last on CPU {told(found.processor)}",
        "priority": f"{told(found.policy)}, nice {told(found.nice)}"
        + (f", real-time {found.rt_priority}" if found.rt_priority else ""),
        "memory": f"{size(resident)} resident{_huge(words)}, {size(found.vsize)} virtual"
        if found.vsize
        else "",
    }


def _huge(words: status.Status | None) -> str:
    """The memory in hugetlb pages, which the kernel does not count as resident."""
    huge = words.HugetlbPages if words else None
    return f", {size(huge)} in hugetlb pages" if huge else ""


def _listens(found: list[str]) -> str:
    more = len(found) - _MOST_ADDRESSES
    named = ", ".join(found[:_MOST_ADDRESSES])
    return f"{named}, and {more} more (fd.txt)" if more > 0 else named


def _children(found: list[int]) -> str:
    more = len(found) - _MOST_CHILDREN
    named = " ".join(map(str, found[:_MOST_CHILDREN]))
    return f"{named} and {more} more" if more > 0 else named


def _descriptors(process: Process) -> str:
    found = process.stat
    if process.fds is None and found and found.vsize == 0:
        return ""  # a kernel thread or a zombie: the kernel tells 0 of them, as old ones of all
    limit = next((one for one in process.limits or [] if one.resource == "RLIMIT_NOFILE"), None)
    if process.fds is None and limit is None:
        return ""
    most = "?" if limit is None else "any number" if limit.soft is None else limit.soft
    return f"{'?' if process.fds is None else process.fds} of {most}"


def _rights(process: Process) -> str:
    """What it may do that its user may not, or may not do that root may."""
    words = process.status
    if words is None or words.Uid is None:
        return ""
    held, may = words.CapEff or (), words.CapBnd or ()
    if words.Uid.effective:
        return " ".join(held)
    missing = [name for name in may if name not in held]
    return f"root without {' '.join(missing)}" if missing and held else ""


def _confinement(process: Process) -> dict[str, object]:
    words = process.status
    other = [one.name for one in process.ns or [] if one.same is False]
    groups = [one.path for one in process.cgroup or [] if one.path != "/"]
    seccomp = words.Seccomp if words else None
    return {
        "cgroup": " ".join(dict.fromkeys(groups)),
        "namespaces": f"others than yours: {' '.join(other)}" if other else "",
        "rights": _rights(process),
        "seccomp": "" if seccomp == "disabled" else seccomp,
        "incomplete": ", ".join(f"{one.part}: {one.reason}" for one in process.incomplete),
    }
