"""The texts of a process's links that stand for objects: `fd/N`, `cwd`, `root`, `exe`, `map_files`.

Followed on a mirror, such a link leads where its text leads, and not to the object. So its text is
the kernel's only where it leads its reader to that object, or to nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import msgspec

from procmirror.decoding.proc_files import mount_lines
from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.identity.files import read_file
from procmirror.identity.namespaces import owner_of_mounts
from procmirror.identity.requester import Requester, Requesters
from procmirror.procfs import link_targets
from procmirror.procfs.link_targets import Link, MountTree, OwnMounts
from procmirror.procfs.processes import Proc
from procmirror.workers.entry_operations import LeadsElsewhere
from procmirror.workers.placement import Placement

# stat(2) of a link makes the kernel read it again. For so many seconds it is known that a text led
# a thread to an object; of so many texts.
_LED_SECONDS, _MOST_LED = 0.02, 256
# Mount namespace and root directory of a thread, as links: where a text leads it depends on them.
Within: TypeAlias = tuple[bytes, bytes]
Led: TypeAlias = tuple[Requester, Link, Within]


class _Shown(NamedTuple):
    """The text that a requester was shown, and until when it is known to lead to the object."""

    text: bytes
    until: float


def is_object(node: Node) -> bool:
    """Whether a link stands for an object that has a path: all of a process but `ns`."""
    return node.process is not None and node.place.pattern.rpartition("/")[2] != "ns"


class ObjectLinks:
    """Tells which texts would deceive their readers.

    `asks()` is whether a look at an object may have to wait for the server of its file system.
    """

    def __init__(
        self,
        source: Proc,
        asks: Callable[[], bool],
        own_mounts: OwnMounts,
        dispatch: Dispatch,
        requesters: Requesters,
    ) -> None:
        self.asks = asks
        self._proc = source
        self._dispatch = dispatch
        self._namespaces = requesters.namespaces
        self._own_mounts = own_mounts
        # The texts that have just led a requester to their object.
        self._led: dict[Led, _Shown] = {}

    async def text(self, node: Node, found: Link, requester: Requester) -> bytes:
        """The text of a link, or one that leads nowhere where it would lead to something else.

        The object is that of now; where the text leads may be known from a moment ago.
        """
        if found.object is None:
            return found.text
        try:
            within = self._within(requester)
        except OSError:
            return link_targets.unreachable(found.text)
        led = requester, found, within
        known = self._led.get(led)
        if known and known.until > time.monotonic():
            return known.text
        return await self._judged(node, led)

    async def _judged(self, node: Node, led: Led) -> bytes:
        requester, found, within = led
        assert found.object
        mount = found.object[0]
        elsewhere = self._is_elsewhere(within)
        mounts, shown = self._mounts_of(requester, found.text, within)
        way = mounts.way(found.text)
        if way and way[-1].mount_id == mount and not link_targets.is_deleted(found.text):
            # The mounts of the daemon's own namespace are known without being read each time.
            return self._led_there(led, shown) if elsewhere else shown
        # A directory may be the same, and what is mounted below it another: whoever makes a user
        # namespace mounts there.
        trusted = not found.is_directory or self._is_of_roots(node, mount)
        asked = trusted and link_targets.may_be_asked(way)
        if asked and await self._leads_there(node, found, requester):
            return self._led_there(led, shown)
        return link_targets.unreachable(found.text)

    def _is_of_roots(self, node: Node, mount: int) -> bool:
        """Whether a mount is of a process's mount namespace, and no user has made that."""
        directory = self._proc.directory(node.process)
        thread = node.path[: node.path.index(b"/", 5) + 1] if node.path[:5] == b"task/" else b""
        try:
            if owner_of_mounts(directory, thread) != self._namespaces.user_link:
                return False
            lines = mount_lines(read_file(directory, thread + b"mountinfo"))
        except OSError:
            return False
        return not mount or any(line.mount_id == mount for line in lines)

    async def _leads_there(self, node: Node, found: Link, requester: Requester) -> bool:
        """Whether a text leads a requester to its object, or to nothing."""
        try:
            root = self._root_of(requester)
        except OSError:
            return False
        try:
            return not await self._leads_elsewhere(node, found, requester, root)
        except OSError:
            return False
        finally:
            os.close(root)

    def _within(self, requester: Requester) -> Within:
        """The mount namespace and the root directory of a requester."""
        proc, tid = self._namespaces.proc, requester.tid
        return (
            os.readlink(b"%d/ns/mnt" % tid, dir_fd=proc),
            os.readlink(b"%d/root" % tid, dir_fd=proc),
        )

    def _is_elsewhere(self, within: Within) -> bool:
        return within[0].decode() != self._namespaces.own["mnt"]

    def _led_there(self, led: Led, text: bytes) -> bytes:
        """Remember that a text has just led a requester to its object, and return it."""
        if len(self._led) >= _MOST_LED:
            self._led.clear()
        self._led[led] = _Shown(text, time.monotonic() + _LED_SECONDS)
        return text

    def _mounts_of(
        self, requester: Requester, text: bytes, within: Within
    ) -> tuple[MountTree, bytes]:
        """The mounts of a requester's mount namespace, and a text as seen from its root directory.

        No mounts where the text does not count from that directory.
        """
        root = within[1]
        if self._is_elsewhere(within):
            if root != b"/":
                return MountTree(), text
            return self._mounts_elsewhere(requester), text
        if root == b"/":
            return self._own_mounts.all(), text
        if text == root:
            return self._own_mounts.all(), b"/"
        if text.startswith(root + b"/"):
            return self._own_mounts.all(), text[len(root) :]
        return MountTree(), text

    def _mounts_elsewhere(self, requester: Requester) -> MountTree:
        """The mounts of another mount namespace; none where they are too many to be looked at."""
        try:
            return _tree(read_file(self._namespaces.proc, b"%d/mountinfo" % requester.tid))
        except OSError:
            return MountTree()

    def _root_of(self, requester: Requester) -> int:
        """A descriptor of the directory in which a requester follows a text."""
        here = self._namespaces.shares(requester.tid, "mnt")
        path = b"self/root" if here else b"%d/root" % requester.tid
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(path, flags, dir_fd=self._namespaces.proc)

    async def _leads_elsewhere(
        self, node: Node, found: Link, requester: Requester, root: int
    ) -> bool | None:
        """Whether the text leads elsewhere, followed with the requester's rights.

        In what the kernel has in its cache nobody is waited for; else a worker follows it.
        """
        assert found.object
        _, device, inode = found.object
        placement = self._dispatch.placement_of(requester, ())
        placement = Placement(
            requester.tid, requester.identity, placement.account, {}, placement.label
        )
        execution = Execution(requester.identity, node.process, placement)
        if not (requester.foreign or placement.label or self.asks()):
            cached = LeadsElsewhere(found.text, device, inode, cached=True)
            here = msgspec.structs.replace(execution, here=True)
            elsewhere = await self._dispatch.run(cached, (root,), here)
            if elsewhere is not None:
                return elsewhere
        followed = LeadsElsewhere(found.text, device, inode)
        return await self._dispatch.run(followed, (root,), execution)


@lru_cache(maxsize=4)
def _tree(mountinfo: bytes) -> MountTree:
    """The mounts in the mountinfo of a thread, which most requests find as it was."""
    return MountTree(mount_lines(mountinfo))
