"""/proc/PID/mountstats: the mounts that a process sees, with the statistics of those that keep any.

Source: proc_pid_mountstats(5).

Only NFS does: nfs_show_stats in fs/nfs/super.c, rpc_clnt_show_stats in net/sunrpc/stats.c,
xs_*_print_stats in net/sunrpc/xprtsock.c. Newer kernels append columns, so columns are named as far
as they have a name and kept beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import UNSET, UnsetType

from procmirror.decoding.shapes import counter, extra_by_position, lines, unescaped
from procmirror.decoding.table import matched, pieces
from procmirror.decoding.text import columns, decoded, interval, size
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.views.pid.mountinfo import options

# Of what may stand in a name only blank, tab, newline and backslash are escaped.
_HEAD = re.compile(
    rb"(?:device ([^ ]*)|no device) mounted on ([^ ]*) with fstype ([^ ]+)(?: (.*))?", re.DOTALL
)
# The end of a line impl_id, whose words are the server's and may have newlines.
_IMPL_END = re.compile(rb"',date='\d+,\d+'$")
_IMPL = b"\timpl_id:\t"
_EVENTS = (
    "inode_revalidates dentry_revalidates data_invalidates attr_invalidates vfs_open vfs_lookup "
    "vfs_access vfs_update_page vfs_read_page vfs_read_pages vfs_write_page vfs_write_pages "
    "vfs_getdents vfs_setattr vfs_flush vfs_fsync vfs_lock vfs_release congestion_wait "
    "setattr_trunc extend_write silly_rename short_read short_write delay pnfs_read pnfs_write"
)
_BYTES = (
    "normal_read normal_write direct_read direct_write server_read server_write nr_read_pages "
    "nr_write_pages"
)
_QUEUES = "sends recvs bad_xids req_u bklog_u"
_SLOTS = "max_slots sending_u pending_u"
_CONNECTION = "bind_count connect_count connect_time idle_time"
_TRANSPORTS = {
    "udp": f"port bind_count {_QUEUES} {_SLOTS}",
    "tcp": f"port {_CONNECTION} {_QUEUES} {_SLOTS}",
    "local": f"{_CONNECTION} {_QUEUES} {_SLOTS}",
    "rdma": f"port {_CONNECTION} {_QUEUES}",
}


class Transport(Record, frozen=True):
    """One connection to the server."""

    protocol: Annotated[str, doc("`tcp`, `udp`, `local` or `rdma`")]
    counters: Annotated[
        dict[str, int],
        doc(
            "Counters by the names of struct rpc_xprt; times in seconds (connect_time in jiffies "
            "before Linux 5.0)"
        ),
    ]


class Operation(Record, frozen=True):
    """One procedure of the protocol."""

    name: Annotated[str, doc("Name of the procedure")]
    operations: Annotated[int, counted("How often it was called")]
    transmissions: Annotated[int, counted("How often it was sent, repeats counted")]
    timeouts: Annotated[int, counted("How often a call timed out for good")]
    bytes_sent: Annotated[int, counted("Sent, headers counted", "bytes")]
    bytes_received: Annotated[int, counted("Received, headers counted", "bytes")]
    queue: Annotated[float, counted("Time of all calls before they were sent", "seconds")]
    rtt: Annotated[float, counted("Time of all calls between sending and answer", "seconds")]
    execute: Annotated[float, counted("Time of all calls from beginning to end", "seconds")]
    errors: Annotated[int | None, counted("How many ended with an error; null before Linux 5.3")]
    extra: Extra = UNSET


class Nfs(Record, frozen=True):
    """The statistics of an NFS mount.

    What an older or newer kernel does not print is null or empty.
    """

    version: Annotated[str, doc("Version of the format")]
    options: Annotated[list[str], doc("Options in force, defaults included")]
    age: Annotated[int | None, doc("Time since it was mounted", "seconds")]
    capabilities: Annotated[list[str], doc("What the server can do, and sizes")]
    nfsv4: Annotated[list[str], doc("Attributes of an NFSv4 server")]
    security: Annotated[list[str], doc("Flavor of the authentication, by number")]
    events: Annotated[
        dict[str, int], counted("How often each event happened, by the names of nfs_iostat.h")
    ]
    bytes: Annotated[
        dict[str, int], counted("Bytes that went each way; the two `nr_` are numbers of pages")
    ]
    program: Annotated[str | None, doc("Program and version of the protocol")]
    transports: Annotated[list[Transport], doc("The connections to the server")]
    operations: Annotated[list[Operation], doc("The procedures of the protocol")]
    extra: Annotated[dict[str, str], doc("Other lines by their key")]


class Mount(Record, frozen=True):
    """One mount."""

    device: Annotated[str | None, doc("What is mounted; null for nothing")]
    mount_point: Annotated[str, doc("Where it is mounted, seen from the root of the process")]
    fs_type: Annotated[str, doc("Type of the file system")]
    nfs: Annotated[Nfs | None, doc("Statistics, if the file system is NFS")]
    extra: Annotated[
        list[str] | UnsetType,
        doc("Lines of other file systems; present only if there are any"),
    ] = UNSET


def _words(value: str) -> list[str]:
    return options(value.encode())


def _named(names: str, values: list[str]) -> dict[str, int]:
    """Values by name; a column that has none by its number, counted from 1."""
    keys = names.split()
    keys += [str(at + 1) for at in range(len(keys), len(values))]
    return dict(zip(keys, map(counter, values), strict=False))


def _transport(words: list[str]) -> Transport:
    return Transport(words[0], _named(_TRANSPORTS.get(words[0], ""), words[1:]))


def _operation(name: str, words: list[str]) -> Operation:
    counts = [counter(word) for word in words]
    calls, sent, timeouts, out, back, queue, rtt, execute, *rest = counts
    times = queue / 1000, rtt / 1000, execute / 1000
    newer = extra_by_position([word.encode() for word in words], 9)
    errors = rest[0] if rest else None
    return Operation(name, calls, sent, timeouts, out, back, *times, errors, newer)


def _nfs(version: str, body: list[bytes]) -> Nfs:
    found: dict[str, str] = {}
    transports, operations = [], []
    rows = iter(body)
    for key, value in _pairs(rows):
        if key == "xprt":
            transports.append(_transport(value.split()))
        elif key == "per-op statistics":
            below = dict(_pairs(rows))
            operations = [_operation(name, one.split()) for name, one in below.items() if one]
            found |= {name: "" for name, one in below.items() if not one}
        else:
            found[key] = value
    age = found.pop("age", None)
    return Nfs(
        version=version,
        options=_words(found.pop("opts", "")),
        age=None if age is None else int(age),
        capabilities=_words(found.pop("caps", "")),
        nfsv4=_words(found.pop("nfsv4", "")),
        security=_words(found.pop("sec", "")),
        events=_named(_EVENTS, found.pop("events", "").split()),
        bytes=_named(_BYTES, found.pop("bytes", "").split()),
        program=found.pop("RPC iostats version", "").partition("p/v: ")[2] or None,
        transports=transports,
        operations=operations,
        extra=found,
    )


def _pairs(rows: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    for line in rows:
        key, _, value = decoded(line).strip().partition(":")
        if key:
            yield key, value.strip()


def _mount(head: bytes, body: list[bytes]) -> Mount:
    match = matched(_HEAD, head, "device … mounted on … with fstype …")
    device, point, fs_type, more = match.groups()
    names = decoded(unescaped(point)), decoded(unescaped(fs_type))
    source = None if device is None else decoded(unescaped(device))
    if more and more.startswith(b"statvers="):
        return Mount(source, *names, _nfs(decoded(more[9:]), body))
    rest = [decoded(line.strip()) for line in [*([more] if more else []), *body] if line.strip()]
    return Mount(source, *names, None, rest or UNSET)


def decode(raw: bytes, _: Machine) -> list[Mount]:
    """The mounts, in the order in which they were mounted."""
    found: list[tuple[int, list[bytes]]] = []
    for number, line in _joined(lines(raw)):
        if (line and not line[:1].isspace()) or not found:
            found.append((number, []))
        found[-1][1].append(line)
    # A line of its own cannot end another: pieces are told with a mark that no line has.
    blocks = ((number, _MARK.join(block)) for number, block in found)
    return pieces(blocks, lambda block: _mount(*_parts(block.split(_MARK))))


_MARK = b"\n\0"


def _parts(block: list[bytes]) -> tuple[bytes, list[bytes]]:
    return block[0], block[1:]


def _joined(every: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, the lines of an impl_id as one.

    A server chooses its words, and may put whole lines of this file into them. An impl_id goes on
    to the last line that ends like one before the next impl_id begins.
    """
    at = 0
    while at < len(every):
        last = _impl_end(every, at) if every[at].startswith(_IMPL) else at
        yield at + 1, b"\n".join(every[at : last + 1])
        at = last + 1


def _impl_end(every: list[bytes], first: int) -> int:
    following = range(first + 1, len(every))
    stop = next((at for at in following if every[at].startswith(_IMPL)), len(every))
    ends = [at for at in range(first, stop) if _ends_impl(every[at])]
    return ends[-1] if ends else first


def _ends_impl(line: bytes) -> bool:
    end = _IMPL_END.search(line)
    return end is not None and b"',domain='" in line[: end.start()]


def text(mounts: list[Mount], _: Machine) -> str:
    """The operations of each NFS mount that were done, those that took most time first."""
    rows = [
        (
            one.name,
            one.operations,
            one.transmissions - one.operations,
            one.timeouts,
            size(one.bytes_sent),
            size(one.bytes_received),
            interval(one.rtt / one.operations),
            interval(one.execute / one.operations),
            mount.mount_point,
        )
        for mount in mounts
        if mount.nfs
        for one in sorted(mount.nfs.operations, key=lambda one: -one.execute)
        if one.operations
    ]
    header = (
        "OPERATION",
        "CALLS",
        "RESENT",
        "TIMEOUTS",
        "SENT",
        "RECEIVED",
        "RTT",
        "EACH",
        "MOUNT",
    )
    return columns(rows, header, right=range(1, 8)) if rows else "no NFS mounts\n"
