"""What FUSE asks of the entries of /proc: attributes, rights, the texts of links."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from procmirror.decoding.proc_files import MountLine, mount_lines
from procmirror.identity.files import read_file, read_to_end
from procmirror.identity.namespaces import owner_of_mounts
from procmirror.procfs import link_targets, proc
from procmirror.procfs.file_reading import THIS_THREAD
from procmirror.procfs.link_targets import Link
from procmirror.procfs.proc import Attributes
from procmirror.workers.operation import Context, Operation
from procmirror.workers.result import Result


class GetAttributes(Operation[Attributes], tag="attributes", frozen=True):
    """GETATTR and LOOKUP, of the directory itself if `path` is empty."""

    path: bytes = b""

    def run(self, descriptors: Sequence[int], context: Context) -> Attributes:
        """Stat the entry."""
        del context
        return proc.attributes(descriptors[0], self.path)

    def received(self, result: Result) -> Attributes:
        """The attributes."""
        del self
        return Attributes(*result.value)


class ReadLink(Operation[bytes], tag="link", frozen=True):
    """READLINK."""

    path: bytes

    def run(self, descriptors: Sequence[int], context: Context) -> bytes:
        """Read the text of the link."""
        del context
        return proc.link(descriptors[0], self.path)


class ReadLinks(Operation[list[tuple[bytes, bytes]]], tag="links", frozen=True):
    """READLINK of the first of some links in a directory, and of the others that can be read.

    `path` is that of the directory with a slash behind it.
    """

    path: bytes
    names: list[bytes]

    def run(self, descriptors: Sequence[int], context: Context) -> list[tuple[bytes, bytes]]:
        """Read their texts; OSError where the first cannot be read."""
        del context
        first, *others = self.names
        found = [(first, proc.link(descriptors[0], self.path + first))]
        for name in others:
            with suppress(OSError):
                found.append((name, proc.link(descriptors[0], self.path + name)))
        return found

    def received(self, result: Result) -> list[tuple[bytes, bytes]]:
        """The texts by name."""
        del self
        return [(name, text) for name, text in result.value]


class ReadObjectLink(Operation[Link], tag="object-link", frozen=True):
    """READLINK of a link that stands for an object, with the object.

    With `text_first` its text is expected to be no path, which takes a third of the time then.
    """

    path: bytes
    text_first: bool = False

    def run(self, descriptors: Sequence[int], context: Context) -> Link:
        """Read the text and look at the object, which is not asked."""
        files = context.files
        first = self.text_first and files is THIS_THREAD
        return link_targets.link_with_object(
            descriptors[0], self.path, context.own, files=files, text_first=first
        )

    def received(self, result: Result) -> Link:
        """The link."""
        del self
        text, found, is_directory = result.value
        return Link(text, tuple(found) if found else None, is_directory)


class LeadsElsewhere(Operation[bool | None], tag="elsewhere", frozen=True):
    """Whether the text of a link leads to something else than its object.

    The descriptor is the root directory of the requester.
    """

    text: bytes
    device: str
    inode: int

    def run(self, descriptors: Sequence[int], context: Context) -> bool | None:
        """Follow it."""
        del context
        return link_targets.leads_elsewhere(descriptors[0], self.text, self.device, self.inode)


class MountsAlong(Operation[list[MountLine]], tag="mounts", frozen=True):
    """The mounts that an absolute path leads through, where a requester is.

    The descriptor is the open mountinfo of the requester. The kernel takes half a second for the
    first MiB of a user's mountinfo if each mount is on top of the one before.
    """

    path: bytes

    def run(self, descriptors: Sequence[int], context: Context) -> list[MountLine]:
        """Read the mounts; OSError(EFBIG) where they are too many to be looked at."""
        del context
        return link_targets.mounts_along(read_to_end(descriptors[0]), self.path)

    def received(self, result: Result) -> list[MountLine]:
        """The mounts in order."""
        del self
        return [MountLine(*one) for one in result.value]


class MountsOf(Operation[tuple[bool, bytes, bool]], tag="mounts-of", frozen=True):
    """Whose mounts a thread of a process has, below `thread`, the path of its directory.

    `own` is the mount namespace of the daemon, `mount` the number of a mount.
    """

    thread: bytes
    own: bytes
    mount: int

    def run(self, descriptors: Sequence[int], context: Context) -> tuple[bool, bytes, bool]:
        """Whether they are the daemon's; else who owns them, and whether the mount is among them.

        The owner is a user namespace, as a link text.
        """
        del context
        directory = descriptors[0]
        if os.readlink(self.thread + b"ns/mnt", dir_fd=directory) == self.own:
            return True, b"", True
        lines = mount_lines(read_file(directory, self.thread + b"mountinfo"))
        there = not self.mount or any(line.mount_id == self.mount for line in lines)
        return False, owner_of_mounts(directory, self.thread), there


class CheckAccess(Operation[None], tag="access", frozen=True):
    """ACCESS with a mode as access(2) has it."""

    path: bytes
    mode: int

    def run(self, descriptors: Sequence[int], context: Context) -> None:
        """Raise the kernel's refusal, if any."""
        del context
        proc.access(descriptors[0], self.path, self.mode)


class SetAttributes(Operation[None], tag="touch", frozen=True):
    """SETATTR of owner and group (-1 keeps one) or times (in nanoseconds, None keeps one)."""

    path: bytes
    owner: tuple[int, int] | None = None
    times: tuple[int | None, int | None] | None = None

    def run(self, descriptors: Sequence[int], context: Context) -> None:
        """Set them."""
        del context
        proc.touch(descriptors[0], self.path, self.owner, self.times)
