"""What is known of each directory of /proc before the kernel is asked: one table, by pattern.

A pattern is the path of a directory with PID for the number of a process. Directories of threads
have the pattern of the directory of their process, and those below PID/net that of net. A row whose
last name is `*` is for any name there.
"""

from __future__ import annotations

from typing import NamedTuple

from procmirror.identity.identity import CAP_DAC_READ_SEARCH, CAP_SYS_NICE, CAP_SYS_PTRACE
from procmirror.mirror.prompt_settings import PROMPT_SETTINGS

_THREAD, _NET = "PID/task/TID", "PID/net"

# Files whose read holds the memory of the process. If the process is killed meanwhile, the reader
# takes the memory down, and may wait for what the last user of it waits for: a FUSE server that
# keeps asynchronous I/O of the process (exit_aio, fs/aio.c), the last mount of a mapped file. They
# tell every reader the same.
END_MEMORY = frozenset(b"status statm coredump_filter".split())
# Files whose read may wait for the memory lock of the process; other files may wait for its exec
# lock, but for those above.
_WAITS_FOR_MEMORY = frozenset(
    b"cmdline environ smaps smaps_rollup numa_maps mem pagemap ksm_stat".split()
)
# Files that are not read ahead at OPEN: endless ones, and those for which reading has an effect.
NEVER_READ_AHEAD = frozenset(
    b"mem pagemap clear_refs kmsg kcore kpagecount kpageflags kpagecgroup sysrq-trigger"
    # Settings that count the counters of all processors, or make a new value, when they are read
    # (vmstat_refresh, mm/vmstat.c; proc_do_uuid, drivers/char/random.c).
    b" stat_refresh uuid".split()
)


class Place(NamedTuple):
    """The traits of the directories of one pattern; with `tree`, also of all below them.

    `public`: a lookup in it does not depend on the requester. `blocks`: even a lookup may wait.
    `depends`: the requester's namespaces on which its content depends; `files`: the same of single
    files. `self_capabilities`: those that stand for a task's right to look at itself, besides
    CAP_SYS_PTRACE. `prompt`: files of this directory alone that are read without a wait for
    anything that a process can hold for long. All others may have to wait for the target's memory
    or exec lock, for the end of its memory, for a driver or for rtnl
    (fs/proc/{array,base,task_mmu}.c), and go to a worker, or to the ring of the daemon.
    `memory`: every lookup may wait for the memory lock. `populous`: a process can have any number
    of names in it. `links_wait`: reading a link may wait. `reads_ahead`: reading has no effect, so
    the first piece may be read at OPEN. `at_once`: the kernel gives a content to one read from the
    start, and the rest of it to no other.
    """

    public: bool = True
    blocks: bool = False
    depends: tuple[str, ...] = ()
    files: dict[bytes, tuple[str, ...]] = {}  # noqa: RUF012 - never changed
    self_capabilities: int = 0
    prompt: frozenset[bytes] = frozenset()
    memory: bool = False
    populous: bool = False
    links_wait: bool = False
    reads_ahead: bool = True
    at_once: bool = False
    tree: bool = False

    def waits_for(self, name: bytes, *, written: bool) -> str:
        """What reading or writing an entry may wait for: a lock, "memory" or "exec", or the "end".

        The end is that of the memory of a process that is killed meanwhile.
        """
        if name in END_MEMORY:
            return "end"
        memory = name in _WAITS_FOR_MEMORY or self.memory or (written and name == b"clear_refs")
        return "memory" if memory else "exec"

    def may_read_ahead(self, name: bytes) -> bool:
        """Whether the first piece of a file may be read at OPEN."""
        return self.reads_ahead and name not in NEVER_READ_AHEAD

    def depends_on(self, name: bytes) -> tuple[str, ...]:
        """The requester's namespaces on which an entry depends."""
        return self.files.get(name, self.depends)


# Of a setting that is a number, a read gets nothing but from the start (proc_dointvec,
# kernel/sysctl.c).
_SYSCTL = Place(public=False, depends=("net", "uts", "ipc"), at_once=True, tree=True)
# Settings below `net` are of a network namespace, those below `kernel` may be of a UTS or an IPC
# namespace, and those below `vm` are of none. Those below `user` are of a user namespace: who is in
# another is answered in all of its namespaces.
_OF_NET = _SYSCTL._replace(depends=("net",))
_OF_KERNEL = _SYSCTL._replace(
    depends=("uts", "ipc"),
    files=dict.fromkeys((b"pid_max", b"ns_last_pid", b"cad_pid"), ("pid",)),
)
_OF_ALL = _SYSCTL._replace(depends=())
PLACES: dict[str, Place] = {
    "": Place(
        files={b"uptime": ("time",), b"stat": ("time",), b"loadavg": ("pid",)},
        # Not `misc`, whose mutex is held while a driver opens such a device, nor `consoles`, whose
        # lock is held while a console prints (drivers/char/misc.c, kernel/printk/printk.c).
        prompt=frozenset(b"uptime loadavg version cmdline filesystems execdomains".split()),
    ),
    "PID": Place(
        files={
            b"stat": ("time",),
            b"cgroup": ("cgroup",),
            b"cpuset": ("cgroup",),
            b"mountinfo": ("cgroup",),
        },
        prompt=frozenset(
            b"limits comm oom_score oom_score_adj oom_adj loginuid sessionid uid_map gid_map "
            b"projid_map setgroups sched schedstat arch_status".split()
        ),
    ),
    "PID/fd": Place(public=False, populous=True, self_capabilities=CAP_DAC_READ_SEARCH),
    "PID/fdinfo": Place(public=False, populous=True),
    "PID/map_files": Place(
        public=False,
        blocks=True,
        populous=True,
        memory=True,
        self_capabilities=CAP_DAC_READ_SEARCH,
    ),
    "PID/ns": Place(links_wait=True),
    "fs": Place(blocks=True, tree=True),
    "sys": _SYSCTL,
    # A file system may be mounted on binfmt_misc there.
    "sys/fs": _SYSCTL._replace(blocks=True),
    **dict.fromkeys(
        (f"sys/fs/{name}" for name in ("epoll", "fanotify", "fuse", "inotify", "quota", "xfs")),
        _OF_ALL,
    ),
    "sys/fs/mqueue": _SYSCTL._replace(depends=("ipc",)),
    "sys/kernel": _OF_KERNEL,
    "sys/net": _OF_NET,
    "sys/user": _OF_ALL,
    "sys/vm": _OF_ALL._replace(files={b"memfd_noexec": ("pid",)}),
    "sysvipc": Place(depends=("ipc", "pid"), reads_ahead=False),
}
_ORDINARY = Place()


def place_of(pattern: str) -> Place:
    """The row of a pattern: its own, or that of the nearest directory above it with `tree`."""
    above = pattern.rpartition("/")[0]
    found = PLACES.get(pattern) or PLACES.get(f"{above}/*")
    return found or _inherited(above)


def _inherited(above: str) -> Place:
    while above:
        row = PLACES.get(above)
        if row and row.tree:
            # What a row says of single files applies to its own directory only.
            return row._replace(files={}, prompt=frozenset())
        above = above.rpartition("/")[0]
    return _ORDINARY


PLACES |= {
    f"sys/{place}": place_of(f"sys/{place}")._replace(prompt=names)
    for place, names in PROMPT_SETTINGS.items()
}


def pattern_of(path: str) -> str:
    """The pattern of the directory at a path (PID and TID for numbers, no slash at the ends)."""
    if is_of_thread(path):
        path = "PID" + path[len(_THREAD) :]
    if path == _NET or path.startswith(f"{_NET}/"):
        return path[len("PID/") :]
    return path


def path_below(path: str, name: bytes) -> str:
    """The path of a directory in the one at `path`, PID and TID for numbers."""
    if not path:
        return "PID" if name.isdigit() else name.decode("utf-8", "surrogateescape")
    if path == "PID/task" and name.isdigit():
        return _THREAD
    return f"{path}/{name.decode('utf-8', 'surrogateescape')}"


def view_places(path: str) -> tuple[str, ...]:
    """The places of the views in the directory at a path: a thread has its own besides PID's."""
    return (pattern_of(path), path) if path == _THREAD else (pattern_of(path),)


def is_thread(path: str) -> bool:
    """Whether the directory at a path is that of a thread."""
    return path == _THREAD


def is_of_thread(path: str) -> bool:
    """Whether the directory at a path is that of a thread, or below it."""
    return path == _THREAD or path.startswith(f"{_THREAD}/")


def is_of_process(pattern: str) -> bool:
    """Whether a directory is that of a process, or below it."""
    return pattern == "PID" or pattern.startswith("PID/")


def self_capabilities(pattern: str, name: bytes) -> int:
    """The capabilities that are added for an operation on an entry of the requester's own process.

    The kernel checks no right of a task that looks at itself; of another task it would require
    these.
    """
    entry = PLACES.get(f"{pattern}/{name.decode('utf-8', 'surrogateescape')}", _ORDINARY)
    capabilities = place_of(pattern).self_capabilities | entry.self_capabilities
    return CAP_SYS_PTRACE | capabilities | (CAP_SYS_NICE if name == b"timerslack_ns" else 0)
