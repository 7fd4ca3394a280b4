"""What is known of directories before the kernel is asked, as the kernel has it."""

from __future__ import annotations

import pytest

from procmirror.mirror.places import (
    path_below,
    pattern_of,
    place_of,
    self_capabilities,
    view_places,
)

PTRACE, SEARCH, NICE = 1 << 19, 1 << 2, 1 << 23


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("", ""),
        ("PID", "PID"),
        ("PID/fd", "PID/fd"),
        ("PID/task", "PID/task"),
        ("PID/task/TID", "PID"),
        ("PID/task/TID/fd", "PID/fd"),
        ("PID/net", "net"),
        ("PID/net/stat", "net/stat"),
        ("PID/task/TID/net/stat", "net/stat"),
        ("PID/network", "PID/network"),
        ("PID/task/TIDY", "PID/task/TIDY"),
        ("sys/net", "sys/net"),
    ],
)
def test_directories_of_threads_and_of_networks_are_like_others(path: str, pattern: str) -> None:
    assert pattern_of(path) == pattern


def test_paths_have_words_for_numbers() -> None:
    path = ""
    for name in (b"1", b"task", b"77", b"fd"):
        path = path_below(path, name)
    assert path == "PID/task/TID/fd"
    assert path_below("", b"sys") == "sys"
    assert path_below("PID/fd", b"7") == "PID/fd/7"
    assert path_below("irq", b"7") == "irq/7"
    assert path_below("", b"\xff").encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize(
    "pattern",
    [
        "PID/fd",
        "PID/fdinfo",
        "PID/map_files",
        "sys",
        "sys/kernel",
        "sys/fs",
        "sys/net/ipv4/conf/lo",
    ],
)
def test_what_is_in_these_depends_on_the_requester(pattern: str) -> None:
    assert not place_of(pattern).public


@pytest.mark.parametrize(
    "pattern", ["", "PID", "PID/ns", "PID/attr", "net", "fs/nfsd", "sysx", "sysvipc"]
)
def test_everybody_may_know_the_names_in_these(pattern: str) -> None:
    assert place_of(pattern).public


@pytest.mark.parametrize(
    ("pattern", "blocks"),
    [
        *((name, True) for name in ("PID/map_files", "fs", "fs/nfsd", "sys/fs", "sys/fs/nfs/x")),
        *((name, False) for name in ("", "PID", "PID/fd", "fsx", "sys", "sys/fsx", "sys/kernel")),
        *((name, False) for name in ("sys/fs/quota", "sys/fs/mqueue")),
        ("sys/fs/binfmt_misc", True),
    ],
)
def test_a_lookup_may_wait(pattern: str, *, blocks: bool) -> None:
    assert place_of(pattern).blocks == blocks


@pytest.mark.parametrize(
    ("pattern", "name", "kinds"),
    [
        ("", b"uptime", ("time",)),
        ("", b"stat", ("time",)),
        ("", b"loadavg", ("pid",)),
        ("", b"meminfo", ()),
        ("PID", b"stat", ("time",)),
        ("PID", b"cgroup", ("cgroup",)),
        ("PID", b"mountinfo", ("cgroup",)),
        ("PID", b"status", ()),
        ("sys/kernel", b"pid_max", ("pid",)),
        ("sys/kernel", b"cad_pid", ("pid",)),
        ("sys/kernel", b"hostname", ("uts", "ipc")),
        ("sys/kernel/keys", b"pid_max", ("uts", "ipc")),
        ("sys/vm", b"memfd_noexec", ("pid",)),
        ("sys/vm", b"swappiness", ()),
        ("sys/net/core", b"somaxconn", ("net",)),
        ("sys/net/ipv4/conf/lo", b"forwarding", ("net",)),
        ("sys/net/mptcp", b"enabled", ("net",)),
        ("sys/user", b"max_user_namespaces", ()),
        ("sys/fs/mqueue", b"queues_max", ("ipc",)),
        ("sys/fs", b"file-nr", ("net", "uts", "ipc")),
        ("sysvipc", b"shm", ("ipc", "pid")),
    ],
)
def test_namespaces_that_decide_what_a_file_says(
    pattern: str, name: bytes, kinds: tuple[str, ...]
) -> None:
    assert place_of(pattern).depends_on(name) == kinds


@pytest.mark.parametrize(
    ("pattern", "name", "prompt"),
    [
        ("sys/net/ipv4/conf/eth0.7", b"forwarding", True),
        ("sys/net/ipv6/neigh/lo", b"gc_stale_time", True),
        ("sys/net/ipv4", b"tcp_rmem", True),
        ("sys/vm", b"swappiness", True),
        ("sys/kernel/random", b"boot_id", True),
        ("sys/fs/inotify", b"max_user_watches", True),
        # These take rtnl, a mutex or uts_sem, do work, or are not known.
        ("sys/net/ipv6/conf/lo", b"addr_gen_mode", False),
        ("sys/net/ipv6/conf/lo", b"stable_secret", False),
        ("sys/net/core", b"dev_weight", False),
        ("sys/net/core", b"high_order_alloc_disable", False),
        ("sys/net/core", b"skb_defer_max", False),
        ("sys/kernel", b"hostname", False),
        ("sys/kernel", b"watchdog", False),
        ("sys/vm", b"stat_refresh", False),
        ("sys/kernel", b"shm_rmid_forced", False),
        ("sys/kernel/random", b"uuid", False),
        ("sys/fs", b"max_user_watches", False),
        ("sys/vm", b"not_yet_known", False),
        # Those of another directory.
        ("sys/net/ipv4/vs", b"tcp_rmem", False),
        ("sys/net/ipv4/conf", b"forwarding", False),
        ("sys/net/ipv4/conf/lo/x", b"forwarding", False),
        ("sys/net", b"forwarding", False),
        ("", b"swappiness", False),
        # Files of the root; a driver's open and a console that prints hold the locks of these two.
        ("PID", b"limits", True),
        # Who reads these may take the memory of the process down.
        ("PID", b"status", False),
        ("PID", b"statm", False),
        ("PID", b"coredump_filter", False),
        ("", b"filesystems", True),
        ("", b"misc", False),
        ("", b"consoles", False),
    ],
)
def test_files_that_are_read_without_a_lock(pattern: str, name: bytes, *, prompt: bool) -> None:
    assert (name in place_of(pattern).prompt) is prompt


@pytest.mark.parametrize(
    ("pattern", "name", "capabilities"),
    [
        ("PID", b"status", PTRACE),
        ("PID", b"fd", PTRACE | SEARCH),
        ("PID", b"map_files", PTRACE | SEARCH),
        ("PID", b"fdinfo", PTRACE),
        ("PID/fd", b"7", PTRACE | SEARCH),
        ("PID/map_files", b"1000-2000", PTRACE | SEARCH),
        ("PID/fdinfo", b"7", PTRACE),
        ("PID", b"timerslack_ns", PTRACE | NICE),
        ("PID", b"\xff", PTRACE),
    ],
)
def test_the_right_to_look_at_oneself(pattern: str, name: bytes, capabilities: int) -> None:
    assert self_capabilities(pattern, name) == capabilities


@pytest.mark.parametrize(
    ("pattern", "name", "written", "lock"),
    [
        ("PID", b"environ", False, "memory"),
        ("PID", b"maps", False, "exec"),
        ("PID/map_files", b"1000-2000", False, "memory"),
        ("PID", b"clear_refs", False, "exec"),
        ("PID", b"clear_refs", True, "memory"),
        ("PID", b"comm", True, "exec"),
        ("PID", b"status", False, "end"),
        ("PID", b"statm", False, "end"),
        ("PID", b"coredump_filter", False, "end"),
        ("PID", b"coredump_filter", True, "end"),
    ],
)
def test_locks_that_are_waited_for(pattern: str, name: bytes, lock: str, *, written: bool) -> None:
    assert place_of(pattern).waits_for(name, written=written) == lock


@pytest.mark.parametrize(
    ("pattern", "name", "ahead"),
    [
        ("PID", b"environ", True),
        ("PID", b"mem", False),
        ("", b"kmsg", False),
        ("", b"meminfo", True),
        ("sys/kernel", b"hostname", True),
        ("sys/kernel/random", b"uuid", False),
        ("sys/vm", b"stat_refresh", False),
        ("sysvipc", b"shm", False),
    ],
)
def test_what_is_read_with_the_open(pattern: str, name: bytes, *, ahead: bool) -> None:
    assert place_of(pattern).may_read_ahead(name) == ahead


def test_views_of_a_thread_are_those_of_a_process_and_its_own() -> None:
    assert view_places("PID/task/TID") == ("PID", "PID/task/TID")
    assert view_places("PID/task/TID/fd") == ("PID/fd",)
    assert view_places("PID/net") == ("net",)
    assert view_places("") == ("",)
