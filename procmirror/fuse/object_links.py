"""The texts of a process's links that stand for objects: `fd/N`, `cwd`, `root`, `exe`, `map_files`.

Followed on a mirror, such a link leads where its text leads, and not to the object. So its text is
the kernel's only where it leads its reader to that object, or to nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from procmirror.decoding.proc_files import MountLine
from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.identity.errors import Unanswered
from procmirror.identity.namespaces import owner_of_mounts
from procmirror.identity.requester import Requester, Requesters
from procmirror.procfs import link_targets
from procmirror.procfs.link_targets import Link, OwnMounts
from procmirror.procfs.processes import Proc
from procmirror.workers.entry_operations import LeadsElsewhere, MountsOf
from procmirror.workers.operation import kept_open
from procmirror.workers.placement import Placement

# stat(2) of a link makes the kernel read it again. For so many seconds it is known that a text led
# a thread to an object; of so many texts.
_LED_SECONDS, _MOST_LED = 0.02, 256
# For so many seconds a thread that reads one link after the other counts as where it was. Nobody
# but itself, or root of its mount namespace, can move it.
_WITHIN_SECONDS = 0.001
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
        self._of_roots: bool | None = None
        # Who asked last, from where, and until when that counts.
        self._last: tuple[Requester | None, Within, float] = None, (b"", b""), 0.0

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
        if elsewhere and (
            await self._leads_at_once(node, led) or await self._is_object(found, requester)
        ):
            return self._led_there(led, found.text)
        way, shown = await self._way_of(requester, found.text, within)
        if way and way[-1].mount_id == mount and not link_targets.is_deleted(found.text):
            # The mounts of the daemon's own namespace are known without being read each time.
            return self._led_there(led, shown) if elsewhere else shown
        asked = link_targets.may_be_asked(way) and await self._is_trusted(node, found, requester)
        if asked and await self._leads_there(node, found, requester):
            return self._led_there(led, shown)
        return link_targets.unreachable(found.text)

    async def _leads_at_once(self, node: Node, led: Led) -> bool:
        """Whether the kernel knows, without asking anybody, that a text leads to its object.

        The requester has mounts of its own, which need not be read then.
        """
        requester, found, (_, root) = led
        trusted = root == b"/" and await self._is_trusted(node, found, requester)
        return trusted and await self._leads_there(node, found, requester, asks=False)

    async def _is_trusted(self, node: Node, found: Link, requester: Requester) -> bool:
        """Whether it is enough that a text leads to the object.

        A directory may be the same, and what is mounted below it another: a user who makes a user
        namespace can mount there.
        """
        assert found.object
        return not found.is_directory or await self._is_of_roots(node, found.object[0], requester)

    async def _is_of_roots(self, node: Node, mount: int, requester: Requester) -> bool:
        """Whether a mount is of a process's mount namespace, and no user has made that."""
        thread = node.path[: node.path.index(b"/", 5) + 1] if node.path[:5] == b"task/" else b""
        asked = MountsOf(thread, str(self._namespaces.own["mnt"]).encode(), mount)
        try:
            own, owner, there = await self._dispatch.at_rest(node, requester, asked)
        except OSError:
            return False
        if own:
            return self._is_own_of_roots() and (not mount or self._own_mounts.all().has(mount))
        return there and owner == self._namespaces.user_link

    def _is_own_of_roots(self) -> bool:
        """Whether no user has made the daemon's mount namespace."""
        if self._of_roots is None:
            owner = owner_of_mounts(self._namespaces.proc, b"self/")
            self._of_roots = owner == self._namespaces.user_link
        return self._of_roots

    async def _leads_there(
        self, node: Node, found: Link, requester: Requester, *, asks: bool = True
    ) -> bool:
        """Whether a text leads a requester to its object, or to nothing.

        Unless it `asks` a file system where need be, only what the kernel knows counts.
        """
        try:
            root, close = await self._root_of(requester)
        except Unanswered:
            raise
        except OSError:
            return False
        try:
            if not (requester.foreign or self.asks()):
                elsewhere = self._leads_elsewhere_at_once(found, requester, root)
                if elsewhere is not None:
                    return not elsewhere
            return asks and not await self._leads_elsewhere(node, found, requester, root)
        except OSError:
            return False
        finally:
            close(root)

    def _within(self, requester: Requester) -> Within:
        """The mount namespace and the root directory of a requester, of now or a moment ago.

        They are asked for once for the links that a thread reads one after the other.
        """
        last, within, until = self._last
        now = time.monotonic()
        if last is requester and now < until:
            return within
        proc, tid = self._namespaces.proc, requester.tid
        within = (
            os.readlink(b"%d/ns/mnt" % tid, dir_fd=proc),
            os.readlink(b"%d/root" % tid, dir_fd=proc),
        )
        self._last = requester, within, now + _WITHIN_SECONDS
        return within

    def _is_elsewhere(self, within: Within) -> bool:
        return not self._is_own(within[0])

    def _is_own(self, mount_namespace: bytes) -> bool:
        return mount_namespace.decode() == self._namespaces.own["mnt"]

    def _led_there(self, led: Led, text: bytes) -> bytes:
        """Remember that a text has just led a requester to its object, and return it."""
        if len(self._led) >= _MOST_LED:
            self._led.clear()
        self._led[led] = _Shown(text, time.monotonic() + _LED_SECONDS)
        return text

    async def _is_object(self, found: Link, requester: Requester) -> bool:
        """Whether a requester's text leads to the object on the same mount, as the kernel knows it.

        Then the mounts of the requester need not be read.
        """
        if self.asks() or not (found.object and found.object[0]):
            return False
        await self._dispatch.wait_for_closing(requester)
        proc, close = self._namespaces.proc, partial(self._close, requester=requester)
        try:
            known = link_targets.cached_object(proc, requester.tid, found.text, close)
        except OSError:
            return False
        return known == found.object

    async def _way_of(
        self, requester: Requester, text: bytes, within: Within
    ) -> tuple[Sequence[MountLine], bytes]:
        """The mounts that a requester's text leads through, and the text from its root directory.

        No mounts where the text does not count from that directory.
        """
        root = within[1]
        if self._is_elsewhere(within):
            return await self._way_elsewhere(requester, text) if root == b"/" else (), text
        mounts = self._own_mounts.all()
        if root == b"/":
            return mounts.way(text), text
        if text == root or text.startswith(root + b"/"):
            return mounts.way(text), text[len(root) :] or b"/"
        return (), text

    async def _way_elsewhere(self, requester: Requester, text: bytes) -> Sequence[MountLine]:
        """The same in another mount namespace; none where they are too many to be looked at."""
        try:
            return await self._dispatch.mounts_along(requester, text)
        except Unanswered:
            raise
        except OSError:
            return ()

    async def _root_of(self, requester: Requester) -> tuple[int, Callable[[int], object]]:
        """A descriptor of the directory in which a requester follows a text, and what closes it."""
        await self._dispatch.wait_for_closing(requester)
        elsewhere = self._is_elsewhere(self._within(requester))
        path = b"%d/root" % requester.tid if elsewhere else b"self/root"
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        root = os.open(path, flags, dir_fd=self._namespaces.proc)
        # Another thread of the requester may have left a directory of its own mounts.
        return root, partial(self._close, requester=requester) if elsewhere else os.close

    def _close(self, descriptor: int, requester: Requester) -> None:
        self._dispatch.close_object(descriptor, requester)

    def _leads_elsewhere_at_once(self, found: Link, requester: Requester, root: int) -> bool | None:
        """Whether the text leads elsewhere, as far as the kernel has it in its cache, else None."""
        assert found.object
        _, device, inode = found.object
        if self._dispatch.placement_of(requester, ()).label:
            return None
        close = partial(self._close, requester=requester)
        with self._dispatch.acting_as(requester.identity):
            return link_targets.leads_elsewhere(
                root, found.text, device, inode, cached=True, close=close
            )

    async def _leads_elsewhere(
        self, node: Node, found: Link, requester: Requester, root: int
    ) -> bool | None:
        """Whether the text leads elsewhere, followed by a worker with the requester's rights.

        The worker is in the daemon's user namespace: the capabilities of another one are none here,
        and would tell which files exist in directories that are closed to the requester.
        """
        assert found.object
        _, device, inode = found.object
        identity = requester.identity
        if requester.foreign:
            identity = identity._replace(capabilities=0)
        placement = self._dispatch.placement_of(requester, ())
        placement = Placement(requester.tid, identity, placement.account, {}, placement.label)
        execution = Execution(identity, node.process, placement)
        followed = LeadsElsewhere(found.text, device, inode)
        return await self._dispatch.run(followed, kept_open(root), execution)
