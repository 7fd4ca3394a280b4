"""The record of PID/fd: one use of a file by a process, with what fstat(2) says of the file."""

from __future__ import annotations

import re
import stat
from typing import Annotated

from msgspec import UNSET, UnsetType, field, structs

from procmirror.decoding.view import FileStatus, Incomplete, Record, doc
from procmirror.views.pid import fdinfo
from procmirror.views.pid import fdinfo_fields as of


class Socket(Record, frozen=True, kw_only=True):
    """What the tables of net/ say of a socket, as in sockets.json.

    Null for what its kind does not have.
    """

    netid: Annotated[
        str, doc("File of net/ that has the socket: `tcp6`, `unix`, …; more about it is there")
    ]
    type: Annotated[str | None, doc("`stream`, `dgram`, `raw`, …")] = None
    protocol: Annotated[
        str | None, doc("Of raw sockets the IP protocol, of netlink its own, of packet the ETH_P_*")
    ] = None
    state: Annotated[str | None, doc("State by the kernel's name; `LISTEN` of unix too")] = None
    local: Annotated[
        str | None, doc("Own address with the port as ss(8) writes it; path or abstract name")
    ] = None
    local_address: Annotated[str | None, doc("Own address without the port")] = None
    local_port: Annotated[int | None, doc("Own port")] = None
    peer: Annotated[str | None, doc("Address of the peer with its port")] = None
    peer_address: Annotated[str | None, doc("Address of the peer without its port")] = None
    peer_port: Annotated[int | None, doc("Port of the peer")] = None
    ambiguous: Annotated[
        bool, doc("Another row claims the same inode: one is forged, and nothing more is told")
    ] = False


class Descriptor(Record, frozen=True, kw_only=True):
    """One use of a file; null is what the requester may not know or this kernel does not tell."""

    fd: Annotated[int | None, doc("The descriptor; null for a use without one")]
    target: Annotated[
        str | None, doc("The text of the link, of a path without the kernel's mark of deletion")
    ]
    type: Annotated[
        str | None,
        doc(
            "`file`, `directory`, `char`, `block` (devices), `fifo`, `memfd`, `socket`, `pipe`, or "
            "the kind; of a path that cannot be asked about `file`, or `directory` if opened so"
        ),
    ]
    deleted: Annotated[bool, doc("The kernel marks the file as deleted")]
    access: Annotated[
        str | None,
        doc(
            "`read`, `write`, `read-write`, `none`; `path` with O_PATH; what the mappings of a "
            "file allow to do with it: `r`, `x`, and `w` if they are `s`hared and not `p`rivate"
        ),
    ]
    flags: Annotated[list[str] | None, doc("Open flags, O_CLOEXEC among them")]
    offset: Annotated[int | None, doc("Where the next read or write happens", "bytes")]
    mnt_id: Annotated[int | None, doc("Number of its mount")]
    mount: Annotated[str | None, doc("The mount point of that mount, if the process can see it")]
    inode: Annotated[int | None, doc("Its inode")]
    use: Annotated[
        str, doc("`fd`; `cwd`, `root` or `exe` for what these links lead to; `map`: it is mapped")
    ] = "fd"
    size: Annotated[
        int | None,
        doc(
            "Of a file, directory or memfd its size; null for others and what is not told", "bytes"
        ),
    ] = None
    allocated: Annotated[
        int | None, doc("What it holds on its file system, also when it is deleted", "bytes")
    ] = None
    links: Annotated[int | None, doc("Names that it has; 0: deleted")] = None
    device: Annotated[
        str | None, doc("`major:minor` of the file system that it is on, as stat(2) tells")
    ] = None
    reached: Annotated[
        int | None,
        doc(
            "How far into a deleted file its mappings reach, in whole pages: what is known where "
            "the kernel tells its size to root only; null for others",
            "bytes",
        ),
    ] = None
    special: Annotated[str | None, doc("`major:minor` that a device file stands for")] = None
    locks: Annotated[
        list[fdinfo.Lock] | None, doc("Locks held through it; null if fdinfo cannot be read")
    ] = None
    socket: Annotated[
        Socket | None,
        doc("The socket; null if no table of the process's namespace has it, or for another file"),
    ] = None
    epoll: of.Epoll = None
    eventfd: of.Eventfd = None
    timerfd: of.Timerfd = None
    signalfd: of.Signalfd = None
    inotify: of.Inotify = None
    fanotify: of.Fanotify = None
    pidfd: of.Pidfd = None
    userfaultfd: of.Userfaultfd = None
    tty_index: of.TtyIndex = None
    scm_fds: of.ScmFds = None
    dmabuf: of.Dmabuf = None
    iff: of.Iff = None
    bpf: of.Bpf = None
    io_uring: of.IoUring = None
    incomplete: Annotated[
        list[Incomplete], doc("What could not be read or decoded, and why; empty if all could")
    ] = field(default_factory=list)
    extra: Annotated[
        dict[str, list[str]] | UnsetType,
        doc("Lines of fdinfo that this version does not know, by key"),
    ] = UNSET


# The text of a link to what has no path.
NUMBERED = re.compile(r"([a-z_]+):\[([0-9]{1,20})\]")
_ANONYMOUS = re.compile(r"anon_inode:\[?([^\]]*)\]?")
_KINDS = {"eventpoll": "epoll"}


def kind(target: str, flags: list[str], mount: str | None) -> str:
    """What kind of file the text of a link means.

    A memfd or dmabuf is on no mount that a process sees.
    """
    if target.startswith("/"):
        name = target[1:].partition(":")[0]
        if mount is None and name in {"memfd", "dmabuf"}:
            return name
        return "directory" if "O_DIRECTORY" in flags else "file"
    if match := _ANONYMOUS.fullmatch(target):
        return _KINDS.get(match[1], match[1])
    match = NUMBERED.fullmatch(target)
    return match[1] if match else "file"


_KINDS_OF_FILE = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


def with_status(found: Descriptor, file: FileStatus) -> Descriptor:
    """A row with what fstat(2) says of its file."""
    kind_of_file = stat.S_IFMT(file.mode)
    special = kind_of_file in {stat.S_IFCHR, stat.S_IFBLK}
    sized = kind_of_file in {stat.S_IFREG, stat.S_IFDIR}
    plain = found.type in {"file", "directory"}
    return structs.replace(
        found,
        type=_KINDS_OF_FILE.get(kind_of_file, found.type) if plain else found.type,
        size=file.size if sized else None,
        allocated=file.allocated if sized else None,
        links=file.links,
        device=file.device,
        inode=file.inode if found.inode is None else found.inode,
        special=file.special if special else None,
    )
