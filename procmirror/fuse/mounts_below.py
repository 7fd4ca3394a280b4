"""What is mounted on names of the mirror, as root masks files with.

The kernel drops a name whose LOOKUP fails, and what is mounted on it; but not where memory was
short.
"""

from __future__ import annotations

from collections.abc import Iterator

from procmirror.decoding.proc_files import MountLine
from procmirror.fuse.nodes import Node
from procmirror.procfs.link_targets import MountTree, OwnMounts

_TYPE = b"fuse.procmirror"


class MountsBelow:
    """The mount points below this mirror in the daemon's mount namespace.

    `device` is that of the mirror as mountinfo has it; until it is known any mirror counts. A user
    can mount another one, or what has its type.
    """

    def __init__(self, mounts: OwnMounts) -> None:
        self._mounts = mounts
        self.device = b""
        # What the places were found in.
        self._seen: object = None
        self._places: frozenset[bytes] = frozenset()

    def holds(self, node: Node) -> bool:
        """Whether something is mounted on a name of a mirror."""
        return _path(node) in self._paths()

    def holds_below(self, node: Node) -> bool:
        """Whether something is mounted on a directory of a mirror or below it."""
        places = self._paths()
        if not places:
            return False
        path = _path(node)
        return path in places or any(one.startswith(path + b"/") for one in places)

    def _paths(self) -> frozenset[bytes]:
        """The places where something is mounted, as paths in the mirror."""
        seen = self._mounts.all(), self.device
        if seen != self._seen:
            self._seen, self._places = seen, frozenset(self._found(seen[0]))
        return self._places

    def _found(self, mounts: MountTree) -> Iterator[bytes]:
        mirrors = {mount.mount_id: mount for mount in mounts if self._is_mirror(mount)}
        for mount in mounts:
            mirror = mirrors.get(mount.parent_id)
            if mirror is not None:
                # A mirror may be mounted a second time, by one of its directories.
                below = mount.mount_point.removeprefix(mirror.mount_point.rstrip(b"/"))
                yield mirror.root.rstrip(b"/") + below

    def _is_mirror(self, mount: MountLine) -> bool:
        return mount.fs_type == _TYPE and self.device in {b"", mount.device}


def _path(node: Node) -> bytes:
    names = []
    here: Node | None = node
    while here is not None and here.parent is not None:
        names.append(here.name)
        here = here.parent
    return b"/" + b"/".join(reversed(names))
