"""/proc/net/unix: the Unix domain sockets of a network namespace.

Source: proc_pid_net(5), net/unix/af_unix.c.

The kernel prints a name as it is: a newline in it ends the line, and what follows may look like a
row. The first row after the header is the kernel's; of any other row nobody can tell. So the rows
have to look like the first one, text that is no row stays with the row before it, and rows that
share an inode are marked. gVisor pads the inode to more columns; some old kernels have none.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated

from procmirror.decoding.reasons import LineError, expected
from procmirror.decoding.reasons import found as found_there
from procmirror.decoding.shapes import exact_lines, flags
from procmirror.decoding.table import Rows
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.kernel.sockets import FLAGS, STATES, TYPES
from procmirror.views.net.inet import pointer

# As strict as the kernel's format, so that as little as possible passes for a row; 19 digits still
# fit into 64 bits.
_START = (
    rb"([0-9a-f]{8}|[0-9a-f]{16}|\(_*ptrval_*\)): ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{8}) "
    rb"([0-9A-F]{4}) ([0-9A-F]{2})"
)
_LINUX, _PADDED, _OLD = (
    re.compile(_START + rest, re.DOTALL)
    for rest in (
        rb" ( {4}[0-9]| {3}[0-9]{2}| {2}[0-9]{3}| [0-9]{4}|[0-9]{5,19})(?: (.*))?",
        rb" ( *[0-9]{1,19})(?: (.*))?",
        rb"()(?: (.*))?",
    )
)


class Unix(Record, frozen=True):
    """One Unix domain socket."""

    num: Annotated[str | None, doc("Address of the socket, hashed; null where the kernel hides it")]
    ref_count: Annotated[int, doc("References in the kernel")]
    protocol: Annotated[int, doc("Always 0")]
    flags: Annotated[list[str], doc("`SO_ACCEPTCON`: it listens")]
    type: Annotated[str, doc("`stream`, `dgram`, `seqpacket`")]
    st: Annotated[
        str,
        doc(
            "`UNCONNECTED`, `CONNECTED`, and while no process holds it `CONNECTING`, "
            "`DISCONNECTING`"
        ),
    ]
    inode: Annotated[
        int | None,
        doc(
            "Inode, as in the link `socket:[inode]` of a descriptor; 0 when no process holds it, "
            "null where the table has none"
        ),
    ]
    path: Annotated[
        str | None,
        doc("The name as bound; an abstract one begins with `@`, and `@` stands for its NULs"),
    ]
    ambiguous: Annotated[bool, doc("Whether another row has the same inode: one of them is forged")]
    unparsed: Annotated[
        list[str] | None,
        doc("Lines after this row that are none: of a name with newlines, likely this one"),
    ] = None


def decode(raw: bytes, _: Machine) -> list[Unix]:
    """The sockets in the kernel's order."""
    header, *body = exact_lines(raw)
    if not header.startswith(b"Num "):
        raise LineError(1, f"expected the header Num …, found {found_there(header)}")
    shape = _OLD
    if b"Inode" in header.split():
        shape = _LINUX if not body or _LINUX.fullmatch(body[0]) else _PADDED
    found: list[tuple[re.Match[bytes], list[str]]] = []
    made = Rows[Unix]()
    for at, line in enumerate(body, 2):
        if row := shape.fullmatch(line):
            found.append((row, []))
        elif found:
            found[-1][1].append(decoded(line))
        else:
            made.keep(at, line, expected("Num: RefCount Protocol Flags Type St Inode Path", line))
    inodes = Counter(int(row[7] or 0) for row, _ in found)
    made += [_unix(row, rest, inodes) for row, rest in found]
    return made.settled()


def _unix(row: re.Match[bytes], rest: list[str], inodes: Counter[int]) -> Unix:
    kind, state = int(row[5], 16), int(row[6], 16)
    inode = int(row[7]) if row[7] else None
    return Unix(
        num=pointer(row[1]),
        ref_count=int(row[2], 16),
        protocol=int(row[3], 16),
        flags=flags(int(row[4], 16), FLAGS),
        type=TYPES.get(kind, str(kind)),
        st=STATES.get(state, str(state)),
        inode=inode,
        path=None if row[8] is None else decoded(row[8]),
        ambiguous=bool(inode) and inodes[inode or 0] > 1,
        unparsed=rest or None,
    )


def state(unix: Unix) -> str:
    """The state; of a socket that listens `LISTEN`, as of others."""
    return "LISTEN" if "SO_ACCEPTCON" in unix.flags else unix.st


def text(sockets: list[Unix], _: Machine) -> str:
    """One socket a line, as `ss -xan` has them.

    Nothing says whether a name went on behind a newline.
    """
    rows = [
        (
            state(one),
            one.type,
            one.inode or "-",
            one.ref_count,
            ("ambiguous " if one.ambiguous else "") + name(one),
        )
        for one in sockets
    ]
    return columns(rows, ("STATE", "TYPE", "INODE", "REFS", "PATH"), right=(2, 3))


def name(unix: Unix) -> str:
    """The name with the lines that seem to belong to it; empty without one."""
    rest = unix.unparsed or []
    return "\n".join([unix.path or "", *rest])
