"""Files that the daemon reads itself: by ftrace, whether one of them takes a lock that sleeps.

What every read of such a file calls is traced for this process alone. Each file is read several
times, and what is told of it was called each time: a processor that is taken away while one is read
is no wait of the file's (Documentation/trace/ftrace.rst of the kernel).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from procmirror.mirror.places import PLACES
from tests.kernels.findings import Findings

_TRACING = Path("/sys/kernel/tracing")
# Functions that sleep or may, or wait for other processors, by pattern; not every kernel has each.
# schedule() is left out: it is called where a processor is taken away, too.
_SLEEPING = (
    *("mutex_lock*", "mutex_trylock*", "__mutex_lock*", "rt_mutex_*lock*", "ww_mutex_lock*"),
    *("rtnl_*lock*", "down", "down_*", "percpu_down_*", "__percpu_down_*", "cpus_read_lock"),
    *("console_lock", "lock_sock_nested", "wait_for_completion*", "prepare_to_wait*"),
    *("out_of_line_wait*", "schedule_timeout*", "io_schedule*", "msleep*", "usleep_range*"),
    *("synchronize_*", "flush_work*", "__flush_work*", "flush_workqueue", "__request_module"),
    *("smp_call_function_single", "smp_call_function_many*", "on_each_cpu*", "stop_machine*"),
)
# The lock of an open file, which no other process has open (fs/seq_file.c).
_OWN = {"mutex_lock <-seq_read", "mutex_lock <-seq_read_iter"}
# These do take one: where that is not seen, nothing is known of the others.
_LOCKED = ("sys/net/core/dev_weight", "sys/kernel/hostname", "misc")
_MODULES = ("ipv6", "nf_conntrack", "br_netfilter", "sctp", "xfs", "vrf", "quota_v2")
_TIMES = 3
_LINE = re.compile(r": (?:tracing_mark_write: read (?P<path>.+)|(?P<call>\S+ <-[\w.]+).*)$")


def examined(findings: Findings) -> None:
    """Read every file that is there, and tell which ones take a lock."""
    for module in _MODULES:
        subprocess.run(["modprobe", module], check=False, capture_output=True)
    listed = sorted(set(_listed()))
    there = [path for path in listed if _read(path)]
    traced = _traced(sorted({*there, *_LOCKED}))
    for path in there:
        findings.count += 1
        calls = traced[path] - _OWN
        if calls:
            findings.fail(f"{path}: {', '.join(sorted(calls))}")
    for path in _LOCKED:
        if not traced[path] - _OWN:
            findings.fail(f"{path}: its lock is not seen")
    findings.remarks.append(f"{len(listed) - len(there)} that are listed are not there")


def _listed() -> Iterator[str]:
    """The prompt files of all places: of process 1, and of interfaces that every machine has."""
    for pattern, place in PLACES.items():
        start = f"{pattern}/".replace("PID/", "1/").lstrip("/")
        for name in place.prompt:
            path = f"{start}{os.fsdecode(name)}"
            yield from (path.replace("*", one) for one in ("lo", "default"))


def _read(path: str) -> bool:
    """Read the first piece of a file as the daemon does; False where there is none."""
    try:
        opened = os.open(f"/proc/{path}", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.pread(opened, 1 << 12, 0)
    finally:
        os.close(opened)
    return True


def _traced(paths: list[str]) -> dict[str, set[str]]:
    """By path what was called in each of its reads; LookupError where part of the trace is lost."""
    subprocess.run(["mount", "-t", "tracefs", "tracefs", _TRACING], check=False)
    for pattern in _SLEEPING:
        with suppress(OSError), (_TRACING / "set_ftrace_filter").open("a") as functions:
            functions.write(pattern)
    (_TRACING / "set_ftrace_pid").write_text(str(os.getpid()))
    (_TRACING / "buffer_size_kb").write_text("8192")
    (_TRACING / "current_tracer").write_text("function")
    (_TRACING / "tracing_on").write_text("1")
    with (_TRACING / "trace_marker").open("wb", buffering=0) as marker:
        for path in paths * _TIMES:
            marker.write(f"read {path}".encode())
            _read(path)
            marker.write(b"read nothing")
    # Else what the read of the trace calls is added to it without an end.
    (_TRACING / "tracing_on").write_text("0")
    told = (_TRACING / "trace").read_text()
    (_TRACING / "current_tracer").write_text("nop")
    reads = _reads(told)
    if any(len(reads[path]) != _TIMES for path in paths):
        raise LookupError("part of the trace is lost")
    return {path: set.intersection(*reads[path]) for path in paths}


def _reads(told: str) -> dict[str, list[set[str]]]:
    """By path what was called in each read, of the text of a trace."""
    reads: dict[str, list[set[str]]] = defaultdict(list)
    calls: set[str] = set()
    for line in told.splitlines():
        found = _LINE.search(line)
        if found and found["path"]:
            calls = set()
            reads[found["path"]].append(calls)
        elif found:
            calls.add(found["call"])
    return reads
