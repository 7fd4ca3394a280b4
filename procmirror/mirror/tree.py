"""The entries of the mirror with their attributes: those of /proc, views and indexes beside them.

All is read with the rights of the identity that this thread acts as. It does not know FUSE.
"""

from __future__ import annotations

import stat

from procmirror.mirror.index import parse, target
from procmirror.mirror.siblings import Sibling
from procmirror.procfs.proc import Attributes

_GOOD_READ = 1 << 17
_NOTHING = Attributes(0, 0, 1, 0, 0, 0, 0, _GOOD_READ, 0, 0, 0)


def view_attributes(sibling: Sibling, source: Attributes | None) -> Attributes:
    """The attributes of a view, from those of its first source.

    They are the same except for the size, which is unknown before OPEN.

    The preferred read size differs too. Procfs gives 1024 bytes: programs that read through a
    buffer of that size (stdio, Python's open) would send a hundred requests for what one brings.
    """
    view, found = sibling.view, source or _NOTHING
    mode, nlink, uid, gid = found.mode, found.nlink, found.uid, found.gid
    if source is None or view.virtual:
        mode, nlink, uid, gid = stat.S_IFREG | 0o444, 1, 0, 0
    elif stat.S_ISDIR(mode):
        mode, nlink = stat.S_IFREG | mode & 0o444, 1
    elif stat.S_ISLNK(mode) and view.place:
        # A link of the root leads to the requester's own directory, so its view does too;
        # fs/xfs/stat leads to /sys.
        mode = stat.S_IFREG | 0o444
    return tuple.__new__(
        Attributes,
        (mode, found.inode, nlink, uid, gid, 0, 0, _GOOD_READ, *found[8:]),
    )


def index_attributes(path: bytes, root: Attributes) -> Attributes:
    """The attributes of an index, of a directory in it, or of a link.

    It belongs to root, with the times of the root directory.

    A link count of 1 means that links are not counted.
    """
    own = root._replace(nlink=1, uid=0, gid=0, size=0, blocks=0)
    found = parse(path)
    if found and found[2] == "link":
        return own._replace(mode=stat.S_IFLNK | 0o777, size=len(target(path)))
    return own._replace(mode=stat.S_IFDIR | 0o555)


Entry = tuple[bytes, Attributes]
