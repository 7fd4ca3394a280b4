r"""/proc/PID/status: what a process is and may do, `Key: value`.

Source: proc_pid_status(5), fs/proc/array.c, task_mem in task_mmu.c.

Keys came and went: VmPMD was there from 4.0 to 4.14, NSpid since 4.1, CapAmb since 4.3. A kernel
thread and a zombie have no memory, a zombie no Umask. Name is the only foreign text; the kernel
writes its newlines and backslashes as `\n` and `\\`. Uid, Gid and Groups are numbers of the
opener's user namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from textwrap import fill
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decode.shapes import kilobytes, lines, numbers, pairs
from procmirror.decode.text import decoded, printable, size
from procmirror.decode.view import Extra, Machine, Record, doc
from procmirror.kernel import capabilities, signals

_ESCAPES = {b"\\n": b"\n", b"\\\\": b"\\"}
_ESCAPE = re.compile(rb"\\[n\\]")
_YES = {b"0": False, b"1": True}
_SECCOMP = {
    b"0": "disabled",
    b"1": "strict",
    b"2": "filter",
    b"3": "dead",
}  # include/uapi/linux/seccomp.h, kernel/seccomp.c


class Ids(Record, frozen=True):
    """The four user or group ids of a process; a name is null where /etc has none."""

    real: Annotated[int, doc("Who started it")]
    effective: Annotated[int, doc("Whose rights it has")]
    saved: Annotated[int, doc("Whose rights it may take back")]
    filesystem: Annotated[int, doc("Whose rights it has on files")]
    real_name: Annotated[str | None, doc("The name of `real`")]
    effective_name: Annotated[str | None, doc("The name of `effective`")]
    saved_name: Annotated[str | None, doc("The name of `saved`")]
    filesystem_name: Annotated[str | None, doc("The name of `filesystem`")]


class Queue(Record, frozen=True):
    """Queued signals of the real user id."""

    queued: Annotated[int, doc("Signals queued for the real user, over all its processes")]
    limit: Annotated[int | None, doc("The most there may be (RLIMIT_SIGPENDING); null: unlimited")]


# What is kept below cannot be changed.
Integers = tuple[int, ...]
Words = tuple[str, ...]
Signals = tuple[str, ...]
Capabilities = tuple[str, ...] | None
Rows = Mapping[str, object]


class Status(Record, frozen=True):
    """The keys under the kernel's own names; null where this kernel or process has none."""

    Name: Annotated[str, doc("The command name, as it is: the kernel's escapes resolved")]
    Umask: Annotated[str | None, doc("Mode bits that new files do not get, octal")]
    State: Annotated[str, doc("Letter and word of the state, as the kernel writes them")]
    Tgid: Annotated[int, doc("Thread group: the process id")]
    Ngid: Annotated[int | None, doc("NUMA group; 0: none")]
    Pid: Annotated[int, doc("Thread id")]
    PPid: Annotated[int, doc("Process id of the parent; 0: none that is visible")]
    TracerPid: Annotated[int, doc("Process id of the tracer; 0: none")]
    Uid: Annotated[Ids, doc("User ids")]
    Gid: Annotated[Ids, doc("Group ids")]
    FDSize: Annotated[int | None, doc("File descriptor slots allocated")]
    Groups: Annotated[Integers, doc("Supplementary groups")]
    NStgid: Annotated[Integers | None, doc("Tgid in each pid namespace, from the reader's inwards")]
    NSpid: Annotated[Integers | None, doc("Pid in each pid namespace, from the reader's inwards")]
    NSpgid: Annotated[
        Integers | None, doc("Process group in each pid namespace, from the reader's inwards")
    ]
    NSsid: Annotated[
        Integers | None, doc("Session in each pid namespace, from the reader's inwards")
    ]
    Kthread: Annotated[bool | None, doc("Is it a kernel thread?")]
    VmPeak: Annotated[int | None, doc("Most virtual memory it ever had", "bytes")]
    VmSize: Annotated[int | None, doc("Virtual memory", "bytes")]
    VmLck: Annotated[int | None, doc("Locked memory (mlock)", "bytes")]
    VmPin: Annotated[int | None, doc("Pinned memory, which cannot be moved", "bytes")]
    VmHWM: Annotated[int | None, doc("Most resident memory it ever had", "bytes")]
    VmRSS: Annotated[int | None, doc("Resident memory", "bytes")]
    RssAnon: Annotated[int | None, doc("Resident anonymous memory", "bytes")]
    RssFile: Annotated[int | None, doc("Resident file mappings", "bytes")]
    RssShmem: Annotated[int | None, doc("Resident shared memory", "bytes")]
    VmData: Annotated[int | None, doc("Private writable memory without the stack", "bytes")]
    VmStk: Annotated[int | None, doc("Stack", "bytes")]
    VmExe: Annotated[int | None, doc("Code of the program", "bytes")]
    VmLib: Annotated[int | None, doc("Code of libraries", "bytes")]
    VmPTE: Annotated[int | None, doc("Page tables", "bytes")]
    VmPMD: Annotated[int | None, doc("Second-level page tables", "bytes")]
    VmSwap: Annotated[int | None, doc("Swapped-out anonymous memory", "bytes")]
    HugetlbPages: Annotated[int | None, doc("Memory in hugetlb pages", "bytes")]
    CoreDumping: Annotated[bool | None, doc("Is it writing its core dump?")]
    THP_enabled: Annotated[bool | None, doc("May it have transparent huge pages?")]
    untag_mask: Annotated[str | None, doc("The bits of a pointer that are its address")]
    Threads: Annotated[int, doc("Threads of the process")]
    SigQ: Annotated[Queue | None, doc("Queued signals")]
    SigPnd: Annotated[Signals, doc("Signals pending for the thread")]
    ShdPnd: Annotated[Signals, doc("Signals pending for the process")]
    SigBlk: Annotated[Signals, doc("Blocked signals")]
    SigIgn: Annotated[Signals, doc("Ignored signals")]
    SigCgt: Annotated[Signals, doc("Signals with a handler")]
    CapInh: Annotated[Capabilities, doc("Inheritable capabilities")]
    CapPrm: Annotated[Capabilities, doc("Permitted capabilities")]
    CapEff: Annotated[Capabilities, doc("Effective capabilities")]
    CapBnd: Annotated[Capabilities, doc("Bounding set of capabilities")]
    CapAmb: Annotated[Capabilities, doc("Ambient capabilities")]
    NoNewPrivs: Annotated[bool | None, doc("Does execve never add rights?")]
    Seccomp: Annotated[str | None, doc("`disabled`, `strict`, `filter` or `dead`")]
    Seccomp_filters: Annotated[int | None, doc("Seccomp filters in place")]
    Speculation_Store_Bypass: Annotated[str | None, doc("Mitigation of speculative store bypass")]
    SpeculationIndirectBranch: Annotated[
        str | None, doc("Mitigation of indirect branch speculation")
    ]
    x86_Thread_features: Annotated[Words | None, doc("Shadow stack features that are on")]
    x86_Thread_features_locked: Annotated[
        Words | None, doc("Shadow stack features that can no longer change")
    ]
    Cpus_allowed: Annotated[
        str | None, doc("The CPUs it may run on, as the kernel's hexadecimal mask")
    ]
    Cpus_allowed_list: Annotated[tuple[int, ...] | None, doc("The CPUs it may run on")]
    Mems_allowed: Annotated[
        str | None, doc("The memory nodes it may use, as the kernel's hexadecimal mask")
    ]
    Mems_allowed_list: Annotated[tuple[int, ...] | None, doc("The memory nodes it may use")]
    voluntary_ctxt_switches: Annotated[int | None, doc("Times it gave up the CPU")]
    nonvoluntary_ctxt_switches: Annotated[int | None, doc("Times it was made to")]
    extra: Extra = UNSET


def _integers(value: bytes) -> Integers:
    return tuple(map(int, value.split()))


def _words(value: bytes) -> Words:
    return tuple(decoded(value).split())


def _queue(value: bytes) -> Queue:
    queued, limit = (int(word) for word in value.split(b"/"))
    return Queue(queued, None if limit >= 2**63 - 1 else limit)


def _seccomp(value: bytes) -> str:
    return _SECCOMP.get(value) or decoded(value)


def _signals(value: bytes) -> Signals:
    return signals.names(int(value, 16))


def _capabilities(value: bytes) -> Capabilities:
    return capabilities.names(int(value, 16))


def _numbers(value: bytes) -> tuple[int, ...]:
    return tuple(numbers(value))


@lru_cache(maxsize=1024)
def _four(value: bytes) -> tuple[int, int, int, int]:
    real, effective, saved, filesystem = map(int, value.split())
    return real, effective, saved, filesystem


def _ids(value: bytes, names: Mapping[int, str]) -> Ids:
    ids = _four(value)
    return Ids(*ids, *map(names.get, ids))


_READERS: dict[Callable[[bytes], Any], str] = {
    int: "Tgid Ngid Pid PPid TracerPid FDSize Threads Seccomp_filters voluntary_ctxt_switches nonvoluntary_ctxt_switches",
    kilobytes: "VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmPMD VmSwap "
    "HugetlbPages",
    bytes: "Uid Gid",
    _integers: "Groups NStgid NSpid NSpgid NSsid",
    _YES.__getitem__: "Kthread CoreDumping THP_enabled NoNewPrivs",
    _queue: "SigQ",
    _signals: "SigPnd ShdPnd SigBlk SigIgn SigCgt",
    _capabilities: "CapInh CapPrm CapEff CapBnd CapAmb",
    _seccomp: "Seccomp",
    _numbers: "Cpus_allowed_list Mems_allowed_list",
    _words: "x86_Thread_features x86_Thread_features_locked",
    decoded: "Umask State untag_mask Speculation_Store_Bypass SpeculationIndirectBranch Cpus_allowed Mems_allowed",
}
# By bytes, with the key as text beside it: a monitor reads this file of every process.
_KNOWN = {key.encode(): (key, read) for read, keys in _READERS.items() for key in keys.split()}


# What a status of any age and any process has, and what stands for the rest where it is missing.
_ALWAYS = frozenset(
    ("Name", "State", "Tgid", "Pid", "PPid", "TracerPid", "Uid", "Gid", "Groups", "Threads")
) | frozenset(("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"))
_NONE: dict[str, Any] = dict.fromkeys(Status.__struct_fields__) | {"extra": UNSET}

# Most lines say the same in most processes. A file that is longer than any but a hostile one is not
# kept.
_LONG = 1 << 12


@lru_cache(maxsize=4096)
def _line(line: bytes) -> tuple[str, Any] | None:
    """The key of a line and its value; None for a key that this version does not know."""
    key, _, value = line.partition(b":\t")
    known = _KNOWN.get(key)
    return known and (known[0], known[1](value))


@lru_cache(maxsize=64)
def _sizes(keys: tuple[bytes, ...]) -> tuple[str, ...] | None:
    """The names of keys whose values are sizes; None if any is not one of these."""
    known = [_KNOWN.get(key.removesuffix(b":")) for key in keys]
    return (
        tuple(one[0] for one in known if one)
        if all(one and one[1] is kilobytes for one in known)
        else None
    )


def _memory_lines(rest: bytes) -> tuple[dict[str, int], bytes]:
    """The sizes, which stand together and differ from process to process, and what is before and behind them.

    Read at once they take a third of the time; none where they are not as the kernel writes them,
    as each then tells itself.
    """
    begin, end = rest.find(b"\nVmPeak:") + 1, rest.rfind(b" kB\n") + 4
    block = rest[begin:end] if 0 < begin < end and end - begin < _LONG else b""
    words = block.replace(b" kB\n", b"\n").split()
    names = _sizes(tuple(words[::2])) if words else None
    if (
        names is None
        or not block.count(b"\n") == block.count(b" kB\n") == len(names) == len(words) / 2
    ):
        return {}, rest
    return dict(zip(names, [int(word) * 1024 for word in words[1::2]], strict=True)), rest[
        :begin
    ] + rest[end:]


@lru_cache(maxsize=256)
def _block(lines_of_it: bytes) -> dict[str, Any] | None:
    """The values of some lines; None if there is one among them that this version does not know."""
    read = [_line.__wrapped__(line) for line in lines(lines_of_it)]
    return dict(filter(None, read)) if all(read) else None


def _lines_of_rights(rest: bytes) -> tuple[dict[str, Any], bytes]:
    """Signals, capabilities and what else stands between the limits and the counters, and what is before and behind it.

    It is the same for many processes, and again for each as long as it lives.
    """
    begin, end = rest.find(b"\nSigPnd:") + 1, rest.find(b"\nvoluntary_ctxt_switches:") + 1
    known = _block(rest[begin:end]) if 0 < begin < end and end - begin < _LONG else None
    return ({}, rest) if known is None else (known, rest[:begin] + rest[end:])


def decode(raw: bytes, machine: Machine) -> Status:
    """The keys of the file; those that this version does not know under `extra`."""
    name, _, rest = raw.partition(b"\n")
    if not name.startswith(b"Name:\t"):
        raise ValueError("the first line is not Name")
    values: dict[str, Any] = {
        "Name": decoded(
            _ESCAPE.sub(lambda match: _ESCAPES[match[0]], name[6:]) if b"\\" in name else name[6:]
        )
    }
    memory, rest = _memory_lines(rest)
    rights, rest = _lines_of_rights(rest)
    every = lines(rest)
    read = list(map(_line if len(raw) < _LONG else _line.__wrapped__, every))
    if not all(read):
        unknown = b"\n".join(line for line, one in zip(every, read, strict=True) if one is None)
        values["extra"] = {key: decoded(value) for key, value in pairs(unknown)}
    values |= filter(None, read)
    values |= memory
    values |= rights
    if not values.keys() >= _ALWAYS:
        raise ValueError(f"no {' '.join(sorted(_ALWAYS - values.keys()))}")
    values["Uid"] = _ids(values["Uid"], machine.users)
    values["Gid"] = _ids(values["Gid"], machine.groups)
    # By place: a record of so many fields takes six times as long to make by name.
    return Status(*(_NONE | values).values())


def text(status: Status, machine: Machine) -> Iterator[str]:
    """One block a subject; what is empty or not there is left out."""
    thread = "" if status.Pid == status.Tgid else f" of {status.Tgid}"
    threads = "1 thread" if status.Threads == 1 else f"{status.Threads} threads"
    yield f"{printable(status.Name)} ({status.Pid}{thread})  {printable(status.State)}  {threads}\n"
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
        shown = "".join(_row(label, str(value)) for label, value in rows.items() if value)
        if shown:
            yield f"\n{title}\n{shown}"


def _row(label: str, value: str) -> str:
    line = f"  {printable(label):<16}  {printable(value)}"
    return (
        line
        if len(line) <= 100
        else fill(line, 100, subsequent_indent=" " * 20, break_on_hyphens=False)
    ) + "\n"


def _identity(status: Status, machine: Machine) -> Rows:
    return {
        "parent": status.PPid,
        "traced by": status.TracerPid,
        "pid inside": ", ".join(map(str, (status.NSpid or [])[1:])),
        "user": _who(status.Uid),
        "group": _who(status.Gid),
        "groups": ", ".join(_named(group, machine.groups.get(group)) for group in status.Groups),
        "umask": status.Umask,
        "kernel thread": "yes" if status.Kthread else "",
    }


def _named(number: int, name: str | None) -> str:
    return str(number) if name is None else f"{name} ({number})"


def _who(ids: Ids) -> str:
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
        "of which": ", ".join(
            f"{word} {size(part)}" for word, part in parts.items() if part is not None
        ),
        "virtual": _with_peak(status.VmSize, status.VmPeak),
    }
    rest = {
        "swapped out": status.VmSwap,
        "data": status.VmData,
        "stack": status.VmStk,
        "program": status.VmExe,
        "libraries": status.VmLib,
        "page tables": (status.VmPTE or 0) + (status.VmPMD or 0),
        "locked": status.VmLck,
        "pinned": status.VmPin,
        "hugetlb pages": status.HugetlbPages,
    }
    words = {
        "huge pages": "not allowed" if status.THP_enabled is False else "",
        "core dump": "being written" if status.CoreDumping else "",
    }
    return {**always, **{label: size(count) for label, count in rest.items() if count}, **words}


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
    every = list(capabilities.NAMES)
    return {label: _brief(getattr(status, key) or (), every) for label, key in sets.items()}


def _signalling(status: Status) -> Rows:
    every = list(signals.NAMES.values())
    return {
        "pending": _brief(status.ShdPnd, every),
        "for this thread": _brief(status.SigPnd, every),
        "blocked": _brief(status.SigBlk, every),
        "ignored": _brief(status.SigIgn, every),
        "handled": _brief(status.SigCgt, every),
        "queued": status.SigQ and f"{status.SigQ.queued} of {status.SigQ.limit or 'any number'}",
    }


def _brief(names: tuple[str, ...], every: list[str]) -> str:
    """The names, or those that are missing from a nearly full set (up to the last.

    An older kernel knows fewer).
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
        "new privileges": "never" if status.NoNewPrivs else "",
        "seccomp": f"{status.Seccomp}{filters}" if status.Seccomp else "",
        "store bypass": status.Speculation_Store_Bypass,
        "indirect branch": status.SpeculationIndirectBranch,
        "shadow stack": " ".join(status.x86_Thread_features or []),
    }


def _scheduling(status: Status) -> Rows:
    switches = (status.voluntary_ctxt_switches, status.nonvoluntary_ctxt_switches)
    return {
        "CPUs": _ranges(status.Cpus_allowed_list or ()),
        "memory nodes": _ranges(status.Mems_allowed_list or ()),
        "NUMA group": status.Ngid,
        "switches": "" if None in switches else "{} by itself, {} by force".format(*switches),
    }


def _ranges(found: tuple[int, ...]) -> str:
    members = set(found)
    starts = [at for at in found if at - 1 not in members]
    ends = [at for at in found if at + 1 not in members]
    return ",".join(
        str(start) if start == end else f"{start}-{end}"
        for start, end in zip(starts, ends, strict=True)
    )
