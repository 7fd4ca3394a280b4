"""The views of a process against tools that read the same process.

Psutil, procps, util-linux, libcap, bash, the C library.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from procmirror.decoding.view import Machine
from procmirror.kernel import capabilities, signals
from procmirror.views.pid import auxv, cgroup, cmdline, environ, io, limits, stat, statm, status
from tests.harness import steady
from tests.live import of

# A process that stands still and differs from a default one in most of what is compared.
STILL = """
import os, resource, signal, sys, threading, time
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
os.nice(3)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.umask(0o027)
resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))
resource.setrlimit(resource.RLIMIT_RTTIME, (200_000, resource.RLIM_INFINITY))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMIN + 2})
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGUSR2, print)
os.kill(os.getpid(), signal.SIGUSR1)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
child = os.fork()
if child == 0:
    os._exit(3)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
x = bytearray(3 << 20)
print("standing", flush=True)
time.sleep(600)
"""
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "EMPTY": "",
    "LINE": "a\nb",
    "BYTES": "\udcff=\udcfe",
    "LANG": "C.UTF-8",
}
ARGUMENTS = [
    "two words",
    "",
    "it's",
    "line\nend",
    "\udcff\x1b[31m",
    "*.c",
    "é",
    "a\u2028b",
    r"back\slash",
    "$HOME `id`",
    "-",
]


@pytest.fixture(scope="module")
def still() -> Iterator[psutil.Popen]:
    command = [sys.executable, "-c", STILL, *ARGUMENTS]
    with psutil.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"standing\n"
        # Only when every thread has stopped do two readings agree, and waitpid(2) tells when.
        process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        yield process
        process.kill()


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def place(process: psutil.Process) -> str:
    return f"/proc/{process.pid}"


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_a_signal_has_the_name_that_bash_gives_it(number: int) -> None:
    assert output("bash", "-c", f"kill -l {signals.name(number)}").strip() == str(number)


@pytest.mark.parametrize("mask", [0, 1, 0x1FFFFFFFFFF, 0xA80425FB, 1 << 40, 1 << 41, 1 << 63])
def test_capabilities_have_the_names_of_capsh(mask: int) -> None:
    theirs = output("capsh", f"--decode={mask:016x}").strip().partition("=")[2]
    ours = [
        name if name.startswith("cap_") else str(int(name, 16).bit_length() - 1)
        for name in capabilities.names(mask)
    ]
    assert ours == (theirs.split(",") if theirs else [])


def test_status_says_what_psutil_says(still: psutil.Popen) -> None:
    ours: status.Status = of("PID/status", place(still))
    with still.oneshot():
        assert (ours.Name, ours.Pid, ours.PPid) == (still.name(), still.pid, still.ppid())
        assert ours.State == f"T ({still.status()})"
        assert ours.Uid and ours.Gid
        assert (ours.Uid.real, ours.Uid.effective, ours.Uid.saved) == still.uids()
        assert (ours.Gid.real, ours.Gid.effective, ours.Gid.saved) == still.gids()
        assert ours.Uid.real_name == still.username()
        assert ours.Threads == still.num_threads() == 2
        assert (
            ours.voluntary_ctxt_switches,
            ours.nonvoluntary_ctxt_switches,
        ) == still.num_ctx_switches()
        assert list(ours.Cpus_allowed_list or ()) == still.cpu_affinity()
        assert (ours.VmRSS, ours.VmSize) == still.memory_info()[:2]


def test_stat_says_what_psutil_says(still: psutil.Popen) -> None:
    ours: stat.Stat = of("PID/stat", place(still))
    with still.oneshot():
        assert (ours.pid, ours.comm, ours.ppid, ours.nice) == (
            still.pid,
            still.name(),
            still.ppid(),
            still.nice(),
        )
        times = still.cpu_times()
        assert (ours.utime, ours.stime, ours.cutime, ours.cstime) == times[:4]
        assert ours.delayacct_blkio_ticks == times.iowait
        assert (ours.processor, ours.num_threads) == (still.cpu_num(), still.num_threads())
        assert (ours.tty_nr is None) == (still.terminal() is None)
        assert ours.started
        # psutil counts from a boot time in whole seconds.
        assert abs(datetime.fromisoformat(ours.started).timestamp() - still.create_time()) < 1.5


def test_statm_and_io_say_what_psutil_says(still: psutil.Popen) -> None:
    memory, counters = still.memory_info(), still.io_counters()
    ours: statm.Statm = of("PID/statm", place(still))
    assert (ours.resident, ours.size, ours.shared, ours.text, ours.data) == (
        memory.rss, memory.vms, memory.shared, memory.text, memory.data,
    )  # fmt: skip
    mine: io.Io = of("PID/io", place(still))
    assert (
        mine.syscr,
        mine.syscw,
        mine.read_bytes,
        mine.write_bytes,
        mine.rchar,
        mine.wchar,
    ) == counters


def test_environ_is_what_the_process_was_given(still: psutil.Popen) -> None:
    ours: list[environ.Variable] = of("PID/environ", place(still))
    escaped = {
        name: os.fsencode(value).decode("utf-8", "backslashreplace")
        for name, value in ENVIRONMENT.items()
    }
    assert {one.name: one.value for one in ours} == escaped
    assert {one.name for one in ours} == set(still.environ())


def test_cmdline_is_what_psutil_reads_and_what_bash_takes_back(still: psutil.Popen) -> None:
    ours: cmdline.Arguments = of("PID/cmdline", place(still))
    assert ours.raw == [os.fsencode(argument) for argument in still.cmdline()]
    line = cmdline.text(ours, Machine())
    assert line.removesuffix("\n").isprintable()
    again = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], check=True, capture_output=True
    ).stdout
    assert again == b"".join(argument + b"\0" for argument in ours.raw)


def test_threads_have_their_own_stat(still: psutil.Popen) -> None:
    for thread in still.threads():
        ours: stat.Stat = of("PID/stat", f"{place(still)}/task/{thread.id}")
        assert (ours.pid, ours.utime, ours.stime) == (
            thread.id,
            thread.user_time,
            thread.system_time,
        )


def test_a_zombie_and_a_kernel_thread_have_what_they_have(still: psutil.Popen) -> None:
    (zombie,) = still.children()
    gone: status.Status = of("PID/status", place(zombie))
    assert gone.State == f"Z ({zombie.status()})" and gone.VmRSS is None and gone.Umask is None
    ended: stat.Stat = of("PID/stat", place(zombie))
    assert ended.exit_code == 3 << 8 and ended.ppid == still.pid
    assert of("PID/cmdline", place(zombie)) == []
    assert of("PID/task/TID/children", f"{place(still)}/task/{still.pid}") == [zombie.pid]


def test_stat_and_status_say_what_ps_says(still: psutil.Popen) -> None:
    names = "ppid pgid sid tpgid nlwp ni psr vsz rss cls uid gid fuid fgid minflt majflt pending blocked ignored caught ucmd"
    columns = [option for name in names.split() for option in ("-o", f"{name}:24=")]
    theirs = dict(
        zip(names.split(), output("ps", "-p", str(still.pid), *columns).split(), strict=True)
    )
    now: stat.Stat = of("PID/stat", place(still))
    ours: status.Status = of("PID/status", place(still))
    numbers = (
        now.ppid,
        now.pgrp,
        now.session,
        now.num_threads,
        now.nice,
        now.processor,
        now.minflt,
        now.majflt,
    )
    assert numbers == tuple(
        int(theirs[name])
        for name in ("ppid", "pgid", "sid", "nlwp", "ni", "psr", "minflt", "majflt")
    )
    assert now.tpgid == (None if theirs["tpgid"] == "-1" else int(theirs["tpgid"]))
    assert (now.policy, theirs["cls"], theirs["ucmd"]) == ("SCHED_BATCH", "B", now.comm)
    assert (ours.VmSize, ours.VmRSS) == (int(theirs["vsz"]) * 1024, int(theirs["rss"]) * 1024)
    assert ours.Uid and ours.Gid
    assert (ours.Uid.filesystem, ours.Gid.filesystem) == (int(theirs["fuid"]), int(theirs["fgid"]))
    masks = {
        "pending": ours.ShdPnd,
        "blocked": ours.SigBlk,
        "ignored": ours.SigIgn,
        "caught": ours.SigCgt,
    }
    for name, words in masks.items():
        assert signals.names(int(theirs[name], 16)) == words
    assert (
        "SIGUSR1" in (ours.ShdPnd or ())
        and "SIGRTMIN+2" in (ours.SigBlk or ())
        and "SIGHUP" in (ours.SigIgn or ())
        and "SIGUSR2" in (ours.SigCgt or ())
    )


def test_limits_are_those_of_prlimit(still: psutil.Popen) -> None:
    lines = output(
        "prlimit",
        "--pid",
        str(still.pid),
        "--output",
        "RESOURCE,SOFT,HARD",
        "--noheadings",
        "--raw",
    ).splitlines()
    theirs = {f"RLIMIT_{name}": bounds for name, *bounds in map(str.split, lines)}
    ours: list[limits.Limit] = of("PID/limits", place(still))
    micro = {"RLIMIT_RTTIME": 10**6}

    def printed(bound: float | None, name: str) -> str:
        return "unlimited" if bound is None else str(int(bound * micro.get(name, 1)))

    assert {
        row.resource: [printed(bound, row.resource or "") for bound in (row.soft, row.hard)]
        for row in ours
    } == theirs


def test_limits_are_those_of_getrlimit() -> None:
    for row in of("PID/limits", "/proc/self"):
        if hasattr(resource, row.resource):
            bounds = resource.getrlimit(getattr(resource, row.resource))
            assert [row.soft, row.hard] == [
                None if bound == resource.RLIM_INFINITY else bound for bound in bounds
            ]


def clauses(text: str) -> dict[str, set[str]]:
    """The sets of cap_to_text(3)."""
    every = set(capabilities.NAMES[: int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1])
    sets: dict[str, set[str]] = {flag: set() for flag in "eip"}
    for names, operations in re.findall(r"([a-z_,0-9]*)((?:[=+-][eip]*)+)", text):
        chosen = set(names.split(",")) if names else every
        for operator, flags in re.findall(r"([=+-])([eip]*)", operations):
            for flag in sets if operator == "=" else flags:
                sets[flag] -= chosen
            for flag in flags if operator != "-" else "":
                sets[flag] |= chosen
    return sets


def test_capabilities_are_those_of_getpcaps(still: psutil.Popen) -> None:
    ours: status.Status = of("PID/status", place(still))
    theirs = clauses(output("getpcaps", str(still.pid)).partition(":")[2])
    assert {
        "e": set(ours.CapEff or ()),
        "i": set(ours.CapInh or ()),
        "p": set(ours.CapPrm or ()),
    } == theirs


def test_oom_scores_are_those_of_choom(still: psutil.Popen) -> None:
    def theirs() -> list[int]:
        """It depends on how much memory and swap the machine has."""
        said = output("choom", "-p", str(still.pid))
        return [int(number) for number in re.findall(r": (-?\d+)$", said, re.MULTILINE)]

    def ours() -> list[int]:
        score, adjusted = (
            of(f"PID/{name}", place(still)) for name in ("oom_score", "oom_score_adj")
        )
        return [score.oom_score, adjusted.oom_score_adj]

    told, found = steady(theirs, ours)
    assert found == told


def test_cgroups_and_login_are_those_of_ps(still: psutil.Popen) -> None:
    ours: list[cgroup.Cgroup] = of("PID/cgroup", place(still))
    # ps leaves out the hierarchies in whose root the process is.
    theirs = output("ps", "-ww", "-p", str(still.pid), "-o", "cgroup=").strip().split(",")
    assert set(theirs) <= {
        f"{one.hierarchy}:{','.join(one.controllers)}:{one.path}" for one in ours
    } | {"-"}
    login = of("PID/loginuid", place(still)).loginuid
    assert output("ps", "-p", str(still.pid), "-o", "luid=").strip() == (
        "-" if login is None else str(login)
    )


def test_the_auxiliary_vector_is_that_of_the_c_library() -> None:
    library = ctypes.CDLL(None)
    library.getauxval.restype = ctypes.c_ulong
    flags = set(
        re.findall(
            r"^(?:flags|Features)\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
        )[0].split()
    )
    entries: list[auxv.Entry] = of("PID/auxv", "/proc/self")
    assert {"AT_EXECFN", "AT_PAGESZ", "AT_HWCAP"} <= {entry.name for entry in entries}
    for entry in entries:
        if entry.name == "AT_HWCAP":  # of which glibc on x86 makes something of its own
            assert isinstance(entry.meaning, list) and set(entry.meaning) <= flags
            continue
        theirs = library.getauxval(ctypes.c_ulong(entry.type))
        assert (entry.value if isinstance(entry.value, int) else int(entry.value, 16)) == theirs
        assert not isinstance(entry.meaning, str) or entry.meaning.encode() == ctypes.string_at(
            theirs
        )
