"""What FUSE asks of the entries of /proc: attributes, rights, the texts of links."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from procmirror.procfs import link_targets, proc
from procmirror.procfs.link_targets import Link
from procmirror.procfs.proc import Attributes
from procmirror.workers.operation import Context, Operation
from procmirror.workers.result import Result


class GetAttributes(Operation[Attributes], tag="attributes", frozen=True):
    """GETATTR and LOOKUP, of the directory itself if `path` is empty."""

    path: bytes = b""

    def run(self, at: Sequence[int], context: Context) -> Attributes:
        """Stat the entry."""
        del context
        return proc.attributes(at[0], self.path)

    def received(self, result: Result) -> Attributes:
        """The attributes."""
        del self
        return Attributes(*result.value)


class ReadLink(Operation[bytes], tag="link", frozen=True):
    """READLINK."""

    path: bytes

    def run(self, at: Sequence[int], context: Context) -> bytes:
        """Read the text of the link."""
        del context
        return proc.link(at[0], self.path)


class ReadLinks(Operation[list[tuple[bytes, bytes]]], tag="links", frozen=True):
    """READLINK of the first of some links in a directory, and of the others that can be read.

    `path` is that of the directory with a slash behind it.
    """

    path: bytes
    names: list[bytes]

    def run(self, at: Sequence[int], context: Context) -> list[tuple[bytes, bytes]]:
        """Read their texts; OSError where the first cannot be read."""
        del context
        first, *others = self.names
        found = [(first, proc.link(at[0], self.path + first))]
        for name in others:
            with suppress(OSError):
                found.append((name, proc.link(at[0], self.path + name)))
        return found

    def received(self, result: Result) -> list[tuple[bytes, bytes]]:
        """The texts by name."""
        del self
        return [(name, text) for name, text in result.value]


class ReadObjectLink(Operation[Link], tag="object-link", frozen=True):
    """READLINK of a link that stands for an object, with the object."""

    path: bytes

    def run(self, at: Sequence[int], context: Context) -> Link:
        """Read the text and look at the object, which is not asked."""
        return link_targets.link_with_object(at[0], self.path, context.own)

    def received(self, result: Result) -> Link:
        """The link."""
        del self
        text, found, is_directory = result.value
        return Link(text, tuple(found) if found else None, is_directory)


class LeadsElsewhere(Operation[bool | None], tag="elsewhere", frozen=True):
    """Whether the text of a link leads to something else than its object.

    The descriptor is the root directory of whoever follows it. With `cached` no file system is
    asked, and None is the answer where the kernel would have to.
    """

    text: bytes
    device: str
    inode: int
    cached: bool = False

    def run(self, at: Sequence[int], context: Context) -> bool | None:
        """Follow it."""
        del context
        return link_targets.leads_elsewhere(
            at[0], self.text, self.device, self.inode, cached=self.cached
        )


class CheckAccess(Operation[None], tag="access", frozen=True):
    """ACCESS with a mode as access(2) has it."""

    path: bytes
    mode: int

    def run(self, at: Sequence[int], context: Context) -> None:
        """Raise the kernel's refusal, if any."""
        del context
        proc.access(at[0], self.path, self.mode)


class SetAttributes(Operation[None], tag="touch", frozen=True):
    """SETATTR of owner and group (-1 keeps one) or times (atime and mtime in nanoseconds)."""

    path: bytes
    owner: tuple[int, int] | None = None
    times: tuple[int, int] | None = None

    def run(self, at: Sequence[int], context: Context) -> None:
        """Set them."""
        del context
        proc.touch(at[0], self.path, self.owner, self.times)
