"""The text of /proc/PID/status: one block a subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from textwrap import fill

from procmirror.decoding.text import printable_rows, size, told
from procmirror.decoding.view import Machine
from procmirror.kernel import capabilities, signals
from procmirror.views.pid.status import Ids, Status

Rows = Mapping[str, object]

_CAPABILITIES, _SIGNALS = tuple(capabilities.NAMES), tuple(signals.NAMES.values())


def text(status: Status, machine: Machine) -> Iterator[str]:
    """One block a subject; what is not there is left out, what is empty is named at its end."""
    thread = "" if status.Pid == status.Tgid else f" of {told(status.Tgid)}"
    first: Rows = {
        "process": f"{status.Pid}{thread} {status.Name}",
        "state": status.State,
        "threads": status.Threads,
    }
    yield "".join(line.removeprefix("  ") for line in _lines(first))
    blocks = {
        "Identity": _identity(status, machine),
        "Memory": _memory(status),
        "Capabilities": _rights(status),
        "Signals": _signalling(status),
        "Confinement": _confinement(status),
        "Scheduling": _scheduling(status),
        "Keys that this version does not know": status.extra or {},
    }
    for title, rows in blocks.items():
        there = {label: value for label, value in rows.items() if value}
        if shown := "".join(_lines(there)):
            yield f"\n{title}\n{shown}"


def _lines(rows: Rows) -> list[str]:
    """The lines of a block, in which no value of another process can end one."""
    shown = printable_rows([(label, str(value)) for label, value in rows.items()])
    return [_line(label, value) for label, value in shown]


def _line(label: str, value: str) -> str:
    line = f"  {label:<16}  {value}"
    return (
        line
        if len(line) <= 100
        else fill(line, 100, subsequent_indent=" " * 20, break_on_hyphens=False)
    ) + "\n"


def _identity(status: Status, machine: Machine) -> Rows:
    return {
        "parent": status.PPid,
        "traced-by": status.TracerPid,
        "pid-inside": ", ".join(map(str, (status.NSpid or [])[1:])),
        "user": _who(status.Uid),
        "group": _who(status.Gid),
        "groups": ", ".join(
            _named(group, machine.groups.get(group)) for group in status.Groups or ()
        ),
        "umask": status.Umask,
        "kernel-thread": "yes" if status.Kthread else "",
    }


def _named(number: int, name: str | None) -> str:
    return str(number) if name is None else f"{name} ({number})"


def _who(ids: Ids | None) -> str:
    if ids is None:
        return ""
    others = {
        "effective": _named(ids.effective, ids.effective_name),
        "saved": _named(ids.saved, ids.saved_name),
        "filesystem": _named(ids.filesystem, ids.filesystem_name),
    }
    real = _named(ids.real, ids.real_name)
    return ", ".join(
        [real, *(f"{word} {named}" for word, named in others.items() if named != real)]
    )


def _memory(status: Status) -> Rows:
    if status.VmSize is None:
        return {}
    parts = {"anonymous": status.RssAnon, "files": status.RssFile, "shared": status.RssShmem}
    always: Rows = {
        "resident": _with_peak(status.VmRSS, status.VmHWM),
        "of-which": ", ".join(
            f"{word} {size(part)}" for word, part in parts.items() if part is not None
        ),
        "virtual": _with_peak(status.VmSize, status.VmPeak),
    }
    rest = {
        "swapped-out": status.VmSwap,
        "data": status.VmData,
        "stack": status.VmStk,
        "program": status.VmExe,
        "libraries": status.VmLib,
        "page-tables": (status.VmPTE or 0) + (status.VmPMD or 0),
        "locked": status.VmLck,
        "pinned": status.VmPin,
        "hugetlb-pages": status.HugetlbPages,
    }
    words = {
        "huge-pages": "not allowed" if status.THP_enabled is False else "",
        "core-dump": "being written" if status.CoreDumping else "",
    }
    shown = {label: size(count) for label, count in rest.items() if count}
    at_nought = " ".join(label for label, count in rest.items() if count == 0)
    return {**always, **shown, **words, "at-0": at_nought}


def _with_peak(now: int | None, peak: int | None) -> str:
    return size(now) if peak is None else f"{size(now)}, at most {size(peak)}"


def _rights(status: Status) -> Rows:
    sets = {
        "effective": "CapEff",
        "permitted": "CapPrm",
        "inheritable": "CapInh",
        "ambient": "CapAmb",
        "bounding": "CapBnd",
    }
    return _sets({label: getattr(status, key) for label, key in sets.items()}, _CAPABILITIES)


def _signalling(status: Status) -> Rows:
    sets = {
        "pending": status.ShdPnd,
        "for-this-thread": status.SigPnd,
        "blocked": status.SigBlk,
        "ignored": status.SigIgn,
        "handled": status.SigCgt,
    }
    queue = status.SigQ
    most = "any number" if queue is None or queue.limit is None else queue.limit
    queued = queue and f"{queue.queued} of {most}"
    return {"queued": queued, **_sets(sets, _SIGNALS)}


def _sets(found: Mapping[str, tuple[str, ...] | None], every: tuple[str, ...]) -> Rows:
    """The sets that have members, and the names of those that have none."""
    empty = " ".join(label for label, names in found.items() if names is not None and not names)
    return {
        **{label: _brief(names, every) for label, names in found.items() if names},
        "none": empty,
    }


@lru_cache(maxsize=256)
def _brief(names: tuple[str, ...], every: tuple[str, ...]) -> str:
    """The names, or those that are missing from a nearly full set up to its last.

    An older kernel knows fewer. Kept, because most processes have the same sets.
    """
    named = [name for name in names if name in every]
    if len(named) < 16:
        return ", ".join(names)
    missing = [name for name in every[: every.index(named[-1])] if name not in named]
    if len(missing) * 2 > len(named):
        return ", ".join(names)
    unnamed = names[len(named) :]
    return ", ".join(
        [f"all {len(named)}" if not missing else f"all but {', '.join(missing)}", *unnamed]
    )


def _confinement(status: Status) -> Rows:
    filters = f", {status.Seccomp_filters} in place" if status.Seccomp_filters else ""
    return {
        "new-privileges": "never" if status.NoNewPrivs else "",
        "seccomp": f"{status.Seccomp}{filters}" if status.Seccomp else "",
        "store-bypass": status.Speculation_Store_Bypass,
        "indirect-branch": status.SpeculationIndirectBranch,
        "shadow-stack": " ".join(status.x86_Thread_features or []),
    }


def _scheduling(status: Status) -> Rows:
    switches = (status.voluntary_ctxt_switches, status.nonvoluntary_ctxt_switches)
    return {
        "CPUs": _ranges(status.Cpus_allowed_list or ()),
        "memory-nodes": _ranges(status.Mems_allowed_list or ()),
        "NUMA-group": status.Ngid,
        "switches": "" if None in switches else "{} by itself, {} by force".format(*switches),
    }


@lru_cache(maxsize=64)
def _ranges(found: tuple[int, ...]) -> str:
    members = set(found)
    starts = [at for at in found if at - 1 not in members]
    ends = [at for at in found if at + 1 not in members]
    return ",".join(
        str(start) if start == end else f"{start}-{end}"
        for start, end in zip(starts, ends, strict=True)
    )
