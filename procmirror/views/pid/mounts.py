"""/proc/PID/mounts: the mounts that a process sees, as fstab(5) would have them.

Source: show_vfsmnt in fs/proc_namespace.c.

/proc/mounts is a link to self/mounts. mountinfo says more: here the options of mount and file
system are one list.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import unescaped
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.views.pid.mountinfo import options


class Mount(Record, frozen=True):
    """One mount, by the field names of fstab(5)."""

    spec: Annotated[str, doc("What is mounted: a device, a server, or any word")]
    file: Annotated[str, doc("Where it is mounted, seen from the root of the process")]
    vfstype: Annotated[str, doc("Type of the file system, `type.subtype`")]
    mntops: Annotated[list[str], doc("Options of the mount and of the file system")]
    freq: Annotated[int, doc("Always 0: meant for dump(8)")]
    passno: Annotated[int, doc("Always 0: meant for fsck(8)")]


def _mount(line: bytes) -> Mount:
    rest, freq, passno = line.rsplit(b" ", 2)
    spec, file, vfstype, mntops = rest.split(b" ", 3)
    point, kind = decoded(unescaped(file)), decoded(unescaped(vfstype))
    return Mount(decoded(unescaped(spec)), point, kind, options(mntops), int(freq), int(passno))


def decode(raw: bytes, _: Machine) -> list[Mount]:
    """The mounts, in the order in which they were mounted."""
    return rows(raw, _mount)


text = listing(
    "MOUNTPOINT file", "TYPE vfstype", "SOURCE spec", "OPTIONS mntops", none="no mounts\n"
)
