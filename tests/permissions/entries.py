"""What is asked about each target and about the machine.

The items of a requester, made from what the kernel lists.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator

from procmirror.views import VIEWS
from tests.permissions.operations import Item
from tests.permissions.targets import ABSENT, FILE, PIPE, SOCKET, Target

READING = {stat.S_IFREG: "read", stat.S_IFDIR: "listdir", stat.S_IFLNK: "readlink"}
OTHERS = {
    stat.S_IFREG: (
        "statx DONT_SYNC",
        "open PATH",
        "access R",
        "access W",
        "access X",
        "faccessat EACCESS R",
        "open W",
    ),
    stat.S_IFDIR: (
        "statx DONT_SYNC",
        "open PATH",
        "access R",
        "access X",
        "faccessat EACCESS X",
        "chdir",
    ),
    stat.S_IFLNK: ("statx DONT_SYNC", "open PATH", "faccessat NOFOLLOW R"),
}
RARE = ("listxattr", "getxattr")
# What the kernel answers by who asks is read by everybody; all else is asked in turns, one
# requester in so many about one target: everything by somebody, and nothing by everybody.
BY_REQUESTER = {
    *(
        "auxv",
        "environ",
        "maps",
        "mem",
        "pagemap",
        "smaps_rollup",
        "cwd",
        "exe",
        "root",
        "user",
        "net",
        "fd",
        "3",
        "4",
        "fdinfo",
    ),
    *(
        "io",
        "stat",
        "wchan",
        "syscall",
        "stack",
        "personality",
        "timers",
        "timerslack_ns",
        "map_files",
        "mountstats",
        "uid_map",
    ),
    *(
        "kallsyms",
        "modules",
        "iomem",
        "keys",
        "kmsg",
        "mtrr",
        "driver",
        "serial",
        "core_pattern",
        "bpf_jit_harden",
        "hostname",
    ),
}
EVERY_READ, EVERY_STAT, EVERY_VIEW, EVERY_OTHER = 10, 10, 16, 32
# Reading them takes a message from the log, waits, or moves the whole memory map.
ONLY_OPENED = {"kmsg", "kcore"}
# Directories of the root that are looked into, and what of them.
SMALL = (
    "bus",
    "bus/pci",
    "bus/input",
    "driver",
    "fs",
    "irq",
    "net",
    "pressure",
    "sysvipc",
    "tty",
    "tty/driver",
    "sys",
)
SYSCTLS = (
    "sys/kernel/hostname",
    "sys/kernel/osrelease",
    "sys/kernel/shmmax",
    "sys/kernel/msg_next_id",
    "sys/kernel/pid_max",
    "sys/kernel/core_pattern",
    "sys/kernel/random/boot_id",
    "sys/kernel/cad_pid",
    "sys/kernel/ns_last_pid",
    "sys/net",
    "sys/net/core",
    "sys/net/core/somaxconn",
    "sys/net/core/bpf_jit_harden",
    "sys/net/ipv4/conf/lo/forwarding",
    "sys/net/ipv4/ip_forward",
    "sys/net/ipv4/route/flush",
    "sys/net/ipv6/conf/lo/stable_secret",
    "sys/user",
    "sys/user/max_user_namespaces",
    "sys/vm/drop_caches",
    "sys/vm/overcommit_memory",
    "sys/vm/mmap_min_addr",
    "sys/fs/mqueue",
    "sys/fs/mqueue/queues_max",
    "sys/fs/protected_hardlinks",
)
THREAD = (
    "arch_status",
    "children",
    "comm",
    "environ",
    "exe",
    "fd",
    "fd/3",
    "fdinfo/3",
    "io",
    "maps",
    "mem",
    "stack",
    "stat",
)
THREAD_MORE = ("status", "syscall", "wchan", "ns/user", "net/tcp", "cwd")


class Entries:
    """The two roots, and what may be asked below them; with `every`, all of it in each turn."""

    def __init__(
        self, native: str, mirror: str, *, decoded: bool = True, every: bool = False
    ) -> None:
        self.native, self.mirror, self.all = native, mirror, every
        self._suffixes = (
            {view.name: view.suffixes for view in VIEWS if not view.virtual} if decoded else {}
        )

    def about(self, target: Target, turn: int) -> Iterator[Item]:
        """About a process what is due in this turn."""
        base = str(target.pid)
        thread = f"{base}/task/{target.threads[-1]}"
        inside = (
            *(f"{base}/{name}" for name in self._listed(base)),
            *(f"{base}/fd/{number}" for number in (FILE, PIPE, SOCKET, ABSENT)),
            *(f"{base}/fdinfo/{number}" for number in (FILE, SOCKET, ABSENT)),
            *(f"{base}/ns/{name}" for name in self._listed(f"{base}/ns")),
            *(f"{base}/attr/{name}" for name in self._listed(f"{base}/attr")),
            *(f"{base}/net/{name}" for name in ("tcp", "unix", "dev", "stat", "absent")),
            f"{base}/map_files/{target.mapping}",
            f"{base}/map_files/1000-2000",
            f"{base}/task/1",
            f"{base}/absent",
            thread,
            *(f"{thread}/{name}" for name in (*THREAD, *THREAD_MORE)),
        )
        yield from self._items((base, *inside), turn, target.address)

    def everywhere(self, turn: int) -> Iterator[Item]:
        """About the machine what is due in this turn."""
        names = [
            "",
            *(
                name
                for name in self._listed("")
                if not name.isdigit() and name not in {"self", "thread-self"}
            ),
        ]
        for folder in SMALL:
            names.extend(f"{folder}/{name}" for name in self._listed(folder) if folder != "irq")
        names.extend(
            (
                *SYSCTLS,
                "irq/default_smp_affinity",
                "4194305",
                "01",
                "absent",
                "fs/xfs/stat",
                "mounts",
            )
        )
        yield from self._items(dict.fromkeys(names), turn, 0)

    def oneself(self, pid: int, turn: int) -> Iterator[Item]:
        """What a requester sees of itself, by number and by `self`; `pid` is its number in the procfs."""
        for base in (str(pid), "self", "thread-self"):
            names = [
                base,
                *(
                    f"{base}/{name}"
                    for name in (
                        *self._listed(str(pid)),
                        "fd/0",
                        "fd/99",
                        "fdinfo/0",
                        "ns/user",
                        "ns/net",
                    )
                ),
            ]
            yield from self._items(names, turn, 0, own=True)

    def _listed(self, folder: str) -> list[str]:
        try:
            return os.listdir(f"{self.native}/{folder}")
        except OSError:  # the net/ of a zombie
            return []

    def _items(
        self, names: Iterable[str], turn: int, address: int, *, own: bool = False
    ) -> Iterator[Item]:
        for place, name in enumerate(names):
            kind = self._kind(name)
            native, mirror = f"{self.native}/{name}", f"{self.mirror}/{name}"
            reading, argument = self._reading(name, kind, address)
            by_requester = name.rpartition("/")[2] in BY_REQUESTER and "/task/" not in name
            if _leads_to_no_path(name) and not self._is_unknown(name):
                yield Item(native, mirror, "target")
            if by_requester or self._asked(turn + place, EVERY_READ):
                yield Item(native, mirror, reading, argument)
            if self._asked(turn + place + 3, EVERY_STAT):
                yield Item(native, mirror, "lstat")
            for step, operation in enumerate((*OTHERS[kind], *RARE)):
                if self._asked(turn + place + 3 * step, EVERY_OTHER):
                    yield Item(native, mirror, operation)
            yield from self._views(name, turn + place, always=own and by_requester)

    def _is_unknown(self, name: str) -> bool:
        """Whether the descriptor with the number of a socket is of another kind, as in the daemon."""
        try:
            return os.readlink(f"{self.native}/{name}").startswith("anon_inode:")
        except OSError:
            return False

    def _asked(self, turn: int, every: int) -> bool:
        return self.all or turn % every == 0

    def _kind(self, name: str) -> int:
        try:
            return stat.S_IFMT(os.lstat(f"{self.native}/{name}").st_mode)
        except OSError:
            return stat.S_IFREG

    def _reading(self, name: str, kind: int, address: int) -> tuple[str, int]:
        last = name.rpartition("/")[2]
        if last == "mem":
            return "peek", address
        if last == "pagemap":
            return "peek", address // os.sysconf("SC_PAGE_SIZE") * 8
        return ("open", 0) if last in ONLY_OPENED else (READING[kind], 0)

    def _views(self, name: str, turn: int, *, always: bool) -> Iterator[Item]:
        """The decoded view beside an entry: it opens exactly if the entry can be opened and read.

        With `always` in each turn: of oneself, where rights are added that the kernel does not ask
        for.
        """
        suffixes = next((self._suffixes[row] for row in _rows(name) if row in self._suffixes), ())
        for step, suffix in enumerate(suffixes):
            native, view = (
                f"{self.native}/{name}",
                f"{self.mirror}/{name.removesuffix('.gz')}.{suffix}",
            )
            if always or self._asked(turn + 5 * step, EVERY_VIEW):
                yield Item(native, view, "content")
            if self._asked(turn + 5 * step + 2, EVERY_OTHER):
                yield Item(native, view, "owner")


def _leads_to_no_path(name: str) -> bool:
    """Whether an entry is a link to a socket or a namespace."""
    folder, _, last = name.rpartition("/")
    return folder.endswith("/ns") or (folder.endswith("/fd") and last == str(SOCKET))


def _rows(name: str) -> tuple[str, ...]:
    """The names that the row of a view beside this entry may have."""
    process, _, rest = re.sub(r"/fdinfo/\d+$", "/fdinfo/N", name).partition("/")
    if process == "thread-self":
        rest = f"task/TID/{rest}"
    elif process != "self" and not process.isdigit():
        return (name,)
    if rest.startswith("net/"):
        return (rest,)
    if rest.startswith("task/"):
        below = rest.split("/", 2)[2:]
        return tuple(f"{place}/{entry}" for place in ("PID", "PID/task/TID") for entry in below)
    return (f"PID/{rest}",)
