"""What is mounted on names of the mirror, as root masks files with.

The kernel drops a name whose LOOKUP fails, and what is mounted on it; but not where memory was
short.
"""

from __future__ import annotations

from collections.abc import Iterator

from procmirror.fuse.nodes import Node
from procmirror.procfs.link_targets import OwnMounts

_TYPE = b"fuse.procmirror"


class MountsBelow:
    """The mount points below mirrors in the daemon's mount namespace."""

    def __init__(self, mounts: OwnMounts) -> None:
        self._mounts = mounts

    def holds(self, node: Node) -> bool:
        """Whether something is mounted on a name of a mirror."""
        return _path(node) in self._paths()

    def holds_below(self, node: Node) -> bool:
        """Whether something is mounted on a directory of a mirror or below it."""
        path = _path(node)
        return any(one == path or one.startswith(path + b"/") for one in self._paths())

    def _paths(self) -> Iterator[bytes]:
        """The places where something is mounted, as paths in a mirror."""
        mounts = self._mounts.all()
        mirrors = {mount.mount_id: mount for mount in mounts if mount.fs_type == _TYPE}
        for mount in mounts:
            mirror = mirrors.get(mount.parent_id)
            if mirror is not None:
                # A mirror may be mounted a second time, by one of its directories.
                below = mount.mount_point.removeprefix(mirror.mount_point.rstrip(b"/"))
                yield mirror.root.rstrip(b"/") + below


def _path(node: Node) -> bytes:
    names = []
    here: Node | None = node
    while here is not None and here.parent is not None:
        names.append(here.name)
        here = here.parent
    return b"/" + b"/".join(reversed(names))
