"""A folder that stands for /proc, with tasks as the kernel shows them."""

from __future__ import annotations

import os
from pathlib import Path

USER_NAMESPACE = "user:[4026531837]"
# Debian 12, Linux 6.1: a shell of an ordinary user.
STATUS = """\
Name:\t{name}
Umask:\t0022
State:\tS (sleeping)
Tgid:\t{tgid}
Ngid:\t0
Pid:\t{tid}
PPid:\t1
TracerPid:\t0
Uid:\t{uids}
Gid:\t{gids}
FDSize:\t256
Groups:\t{groups}
NStgid:\t{tgid}
NSpid:\t{tid}
NSpgid:\t{tid}
NSsid:\t1
VmPeak:\t    8268 kB
VmSize:\t    8204 kB
Threads:\t1
SigQ:\t0/31474
SigPnd:\t0000000000000000
ShdPnd:\t0000000000000000
SigBlk:\t0000000000000000
SigIgn:\t0000000000380004
SigCgt:\t000000004b817efb
CapInh:\t0000000000000000
CapPrm:\t{permitted:016x}
CapEff:\t{effective:016x}
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000000
NoNewPrivs:\t0
Seccomp:\t0
Seccomp_filters:\t0
voluntary_ctxt_switches:\t40
nonvoluntary_ctxt_switches:\t3
"""
STAT = (
    "{tid} ({name}) S 1 {tid} 1 34816 1 {flags} 1008 0 0 0 1 0 0 0 20 0 1 0 4242 8400896 1010 "
    + "0 " * 28
)


def status(**changed: object) -> bytes:
    """A status file; ids are given as one number or as four words."""
    fields: dict[str, object] = {
        "name": "bash",
        "tgid": 40,
        "tid": 40,
        "uids": 1000,
        "gids": 1000,
        "groups": "24 27 1000 ",
        "permitted": 0,
        "effective": 0,
    } | changed
    for key in ("uids", "gids"):
        if isinstance(fields[key], int):
            fields[key] = "\t".join([str(fields[key])] * 4)
    return STATUS.format(**fields).encode()


class FakeProc:
    """The folder, and a descriptor of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespaces("self", USER_NAMESPACE)
        self.descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def namespaces(self, task: str, user: str, **others: str) -> None:
        """Give a task a user namespace, and the usual ones where nothing else is said."""
        links = {kind: f"{kind}:[1]" for kind in ("net", "uts", "ipc", "cgroup", "mnt", "pid")}
        for kind, text in (links | others | {"user": user}).items():
            link = self.folder / task / "ns" / kind
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(text)

    def write(self, task: int | str, name: str, content: str | bytes) -> None:
        """A file of a task."""
        path = self.folder / str(task) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def task(
        self, tid: int = 40, flags: int = 0x400000, user: str = USER_NAMESPACE, **changed: object
    ) -> None:
        """A task with its status, stat, system call and id maps."""
        self.write(tid, "status", status(**{"tid": tid, "tgid": tid, **changed}))
        name = changed.get("name", "bash")
        self.write(tid, "stat", STAT.format(tid=tid, name=name, flags=flags))
        self.write(tid, "syscall", "0 0x0 0x7ffc 0x1 0x0 0x0 0x0 0x7ffc 0x7f0a\n")
        self.write(
            tid, "uid_map", "         0     100000      65536\n      5000       1000          1\n"
        )
        self.write(tid, "gid_map", "         0     200000      65536\n")
        self.namespaces(str(tid), user)
