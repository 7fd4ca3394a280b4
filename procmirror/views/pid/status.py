r"""/proc/PID/status: what a process is and may do, `Key: value`.

Source: proc_pid_status(5), fs/proc/array.c, task_mem in task_mmu.c.

Keys came and went: VmPMD was there from 4.0 to 4.14, NSpid since 4.1, CapAmb since 4.3. A kernel
thread and a zombie have no memory, a zombie no Umask. Name is the only foreign text; the kernel
writes its newlines and backslashes as `\n` and `\\`. Uid, Gid and Groups are numbers of the
opener's user namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.reasons import LineError, found
from procmirror.decoding.shapes import hexadecimal, kilobytes, lines, number, numbers, pair
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel import capabilities, signals

_ESCAPES = {b"\\n": b"\n", b"\\\\": b"\\"}
_ESCAPE = re.compile(rb"\\[n\\]")
_YES = {b"0": False, b"1": True}
# RLIM_INFINITY of 32-bit kernels, and the least one of 64-bit kernels (Alpha's).
_UNLIMITED_32, _UNLIMITED = 2**32 - 1, 2**63 - 1
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
Four = tuple[int, int, int, int]
Capabilities = tuple[str, ...] | None


class Status(Record, frozen=True):
    """The keys under the kernel's own names; null where this kernel or process has none.

    A value of another form is null too, and stands in `extra`.
    """

    Name: Annotated[str, doc("The command name, as it is: the kernel's escapes resolved")]
    Umask: Annotated[str | None, doc("Mode bits that new files do not get, octal")]
    State: Annotated[str | None, doc("Letter and word of the state, as the kernel writes them")]
    Tgid: Annotated[int | None, doc("Thread group: the process id")]
    Ngid: Annotated[int | None, doc("NUMA group; 0: none")]
    Pid: Annotated[int, doc("Thread id")]
    PPid: Annotated[int, doc("Process id of the parent; 0: none that is visible")]
    TracerPid: Annotated[int | None, doc("Process id of the tracer; 0: none")]
    Uid: Annotated[Ids | None, doc("User ids; null where a sandbox does not tell")]
    Gid: Annotated[Ids | None, doc("Group ids; likewise")]
    FDSize: Annotated[int | None, doc("File descriptor slots allocated")]
    Groups: Annotated[Integers | None, doc("Supplementary groups; likewise")]
    NStgid: Annotated[
        Integers | None, doc("Tgid in each pid namespace, from the requester's inwards")
    ]
    NSpid: Annotated[
        Integers | None, doc("Pid in each pid namespace, from the requester's inwards")
    ]
    NSpgid: Annotated[
        Integers | None, doc("Process group in each pid namespace, from the requester's inwards")
    ]
    NSsid: Annotated[
        Integers | None, doc("Session in each pid namespace, from the requester's inwards")
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
    VmSwap: Annotated[
        int | None, doc("Swapped-out private memory; shared memory is not in it", "bytes")
    ]
    HugetlbPages: Annotated[int | None, doc("Memory in hugetlb pages", "bytes")]
    CoreDumping: Annotated[bool | None, doc("Is it writing its core dump?")]
    THP_enabled: Annotated[bool | None, doc("May it have transparent huge pages?")]
    untag_mask: Annotated[str | None, doc("The bits of a pointer that are its address")]
    Threads: Annotated[int | None, doc("Threads of the process")]
    SigQ: Annotated[Queue | None, doc("Queued signals")]
    SigPnd: Annotated[Signals | None, doc("Signals pending for the thread")]
    ShdPnd: Annotated[Signals | None, doc("Signals pending for the process")]
    SigBlk: Annotated[Signals | None, doc("Blocked signals")]
    SigIgn: Annotated[Signals | None, doc("Ignored signals")]
    SigCgt: Annotated[Signals | None, doc("Signals with a handler")]
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
    voluntary_ctxt_switches: Annotated[int | None, counted("Times it gave up the CPU")]
    nonvoluntary_ctxt_switches: Annotated[int | None, counted("Times it was made to")]
    extra: Extra = UNSET


def _integers(value: bytes) -> Integers:
    return tuple(map(number, value.split()))


def _words(value: bytes) -> Words:
    return tuple(decoded(value).split())


def _queue(value: bytes) -> Queue:
    queued, limit = map(number, value.split(b"/"))
    unlimited = limit == _UNLIMITED_32 or limit >= _UNLIMITED
    return Queue(queued, None if unlimited else limit)


def _seccomp(value: bytes) -> str:
    return _SECCOMP.get(value) or decoded(value)


def _signals(value: bytes) -> Signals:
    return signals.names(hexadecimal(value))


def _capabilities(value: bytes) -> Capabilities:
    return capabilities.names(hexadecimal(value))


def _numbers(value: bytes) -> tuple[int, ...]:
    return tuple(numbers(value))


def four_ids(value: bytes) -> Four:
    """The real, effective, saved and filesystem id of a line."""
    real, effective, saved, filesystem = map(number, value.split())
    return real, effective, saved, filesystem


def ids(four: Four, names: Mapping[int, str]) -> Ids:
    """The ids of a line with their names."""
    return Ids(*four, *map(names.get, four))


_READERS: dict[Callable[[bytes], Any], str] = {
    number: "Tgid Ngid Pid PPid TracerPid FDSize Threads Seccomp_filters voluntary_ctxt_switches "
    "nonvoluntary_ctxt_switches",
    kilobytes: "VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe "
    "VmLib VmPTE VmPMD VmSwap "
    "HugetlbPages",
    four_ids: "Uid Gid",
    _integers: "Groups NStgid NSpid NSpgid NSsid",
    _YES.__getitem__: "Kthread CoreDumping THP_enabled NoNewPrivs",
    _queue: "SigQ",
    _signals: "SigPnd ShdPnd SigBlk SigIgn SigCgt",
    _capabilities: "CapInh CapPrm CapEff CapBnd CapAmb",
    _seccomp: "Seccomp",
    _numbers: "Cpus_allowed_list Mems_allowed_list",
    _words: "x86_Thread_features x86_Thread_features_locked",
    decoded: "Umask State untag_mask Speculation_Store_Bypass SpeculationIndirectBranch "
    "Cpus_allowed Mems_allowed",
}
# By bytes, with the key as text beside it.
KNOWN = {key.encode(): (key, read) for read, keys in _READERS.items() for key in keys.split()}
# What a status of any age and any process has, and without what it is none.
ALWAYS = frozenset(("Name", "State", "Tgid", "Pid", "PPid", "TracerPid", "Threads"))
_NEEDED = frozenset(("Name", "Pid", "PPid"))
# What stands for a key that is missing.
_NONE: dict[str, Any] = dict.fromkeys(Status.__struct_fields__) | {"extra": UNSET}


def owner(told: Status | None) -> tuple[int | None, str | None]:
    """The effective user id and its name; None for what is not known."""
    ids = told and told.Uid
    return (ids.effective, ids.effective_name) if ids else (None, None)


def known_line(line: bytes) -> tuple[str, Any] | None:
    """The key of a line and its value.

    None for a key that this version does not know, and for a value that is not of its type.
    """
    key, _, value = line.partition(b":")
    known = KNOWN.get(key)
    try:
        return known and (known[0], known[1](value.strip()))
    except (ValueError, LookupError):
        return None


def name_of(first: bytes) -> str:
    """The name in the first line of the file, the kernel's escapes resolved."""
    key, colon, name = first.partition(b":")
    if key != b"Name" or not colon:
        raise LineError(1, f"expected Name:, found {found(first)}")
    name = name[1:] if name.startswith(b"\t") else name.lstrip(b" ")
    return decoded(_ESCAPE.sub(lambda match: _ESCAPES[match[0]], name) if b"\\" in name else name)


def unknown(unread: list[bytes]) -> dict[str, str]:
    """The lines whose keys this version does not know, for the field `extra`."""
    found = map(pair, filter(bytes.strip, unread))
    return {key: decoded(value) for key, value in found}


def _status_of(values: dict[str, Any], machine: Machine) -> Status:
    """The record of the values of the keys.

    ValueError if it is not said which process it is.
    """
    if not values.keys() >= _NEEDED:
        raise ValueError(f"expected {', '.join(sorted(_NEEDED - values.keys()))}")
    for key, names in (("Uid", machine.users), ("Gid", machine.groups)):
        if key in values:
            values[key] = ids(values[key], names)
    # By place: a record of so many fields takes six times as long to make by name.
    return Status(*(_NONE | values).values())


def decode(raw: bytes, machine: Machine) -> Status:
    """The keys of the file; those that this version does not know under `extra`.

    status_fast gives the same in less time.
    """
    first, _, rest = raw.partition(b"\n")
    values: dict[str, Any] = {"Name": name_of(first)}
    unread: list[bytes] = []
    for line in lines(rest):
        if read := known_line(line):
            if read[0] in values:  # the kernel says each but once
                unread.append(line)
            else:
                values[read[0]] = read[1]
        else:
            unread.append(line)
    if left := unknown(unread):
        values["extra"] = left
    return _status_of(values, machine)
