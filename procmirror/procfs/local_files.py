"""Which file systems this kernel alone serves.

If another process or machine serves a file, an answer may never come: a process that opens the
file, or reads memory that the file backs, may wait where not even SIGKILL ends it. So the device is
looked up first. Type and device are the kernel's words. Of the rest of mountinfo(5), only the
layers of overlays are believed that are mounted in this mount namespace, or in that of the first
process, whose mounts were made with rights like those of this one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, lru_cache
from typing import NamedTuple

from procmirror.decoding.proc_files import KEPT_MOUNTINFO, mount_lines, status_value
from procmirror.decoding.view import FileStatus
from procmirror.identity import file_calls
from procmirror.identity.files import read_file
from procmirror.identity.namespaces import owner_of_mounts

_REMOTE = frozenset(
    (
        *("fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "coda", "lustre"),
        *("glusterfs", "gfs2", "ocfs2", "virtiofs", "autofs", "orangefs"),
    )
)

# The most of the first process's mountinfo, of some ten thousand mounts, that is looked at.
_MOST_MOUNTS = 4 << 20


# Powers of two of the sizes of huge pages of all architectures (asm-generic/hugetlb_encode.h).
_HUGE = (14, 16, 19, 20, 21, 23, 24, 25, 28, 29, 30, 31, 34)


def _memory_files() -> Iterator[int]:
    """A file of each file system that is in memory only and the kernel's own, open in turn.

    They are that of memfd_create(2) and shared memory, and one for each size of huge pages. OSError
    if the first cannot be made, which every kernel has: there is no descriptor left.
    """
    for flags in (0, *(os.MFD_HUGETLB | size << os.MFD_HUGE_SHIFT for size in _HUGE)):
        try:
            descriptor = os.memfd_create("device", flags | os.MFD_CLOEXEC)
        except OSError:
            if flags:  # EINVAL or ENODEV for a size that this kernel does not have
                continue
            raise
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@cache
def memory_devices() -> frozenset[str]:
    """The devices of files that exist in memory only; no table of mounts names them."""
    return frozenset(device_of(os.fstat(one)) for one in _memory_files())


def memory_mounts(own: int) -> Mapping[int | None, str]:
    """The devices of the mounts that files of memory are on, by number; they are in no mountinfo.

    `own` is a procfs in which this process is `self`; none where that may not be asked. The mounts
    are the kernel's own, made once.
    """
    if not _memory_mounts:
        with suppress(OSError, ValueError):
            _memory_mounts.update([_mount_of(own, one) for one in _memory_files()])
    return _memory_mounts


def _mount_of(own: int, descriptor: int) -> tuple[int, str]:
    info = read_file(own, b"self/fdinfo/%d" % descriptor)
    number = int(status_value(info, b"mnt_id") or b"")
    return number, device_of(os.fstat(descriptor))


# What `memory_mounts` has found out.
_memory_mounts: dict[int | None, str] = {}


def device_of(found: os.stat_result) -> str:
    """The device of a file as mountinfo writes it: two decimal numbers."""
    return f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}"


def known_status(descriptor: int, path: bytes = b"") -> tuple[FileStatus, int]:
    """What is known of a file without asking who serves it, and the number of its mount.

    The file is an open one, or what `path` below it leads to. The number is 0 before Linux 5.8.
    """
    known = file_calls.status_of(descriptor, path)
    mode, size, allocated, links, inode, special, device, mount = known
    return FileStatus(mode, size, allocated, links, device, special, inode), mount


def is_remote(kind: str) -> bool:
    """Whether another process or machine answers for the file systems of a type.

    Of an overlay its layers tell.
    """
    return kind in _REMOTE or kind.startswith("fuse.")


class _Mounted(NamedTuple):
    """A mounted file system: its type, and its own options."""

    kind: str
    options: bytes

    def is_local(self) -> bool:
        """Whether neither a process nor another machine serves it.

        False for an overlay, whose layers decide.
        """
        return self.kind != "overlay" and not is_remote(self.kind)

    def layers(self) -> list[bytes]:
        """The directories that an overlay consists of, as the user who mounted it wrote them."""
        found = []
        for option in self.options.split(b","):
            name, _, value = option.partition(b"=")
            if name.rstrip(b"+") in {b"lowerdir", b"datadir"}:
                found += [layer for layer in value.split(b":") if layer]
            elif name == b"upperdir":
                found.append(value)
        return found


def _table(mountinfo: bytes) -> dict[str, _Mounted]:
    """The file systems of a mountinfo, by device; those of a short content are kept."""
    return _kept(mountinfo) if len(mountinfo) < KEPT_MOUNTINFO else _read(mountinfo)


def _read(mountinfo: bytes) -> dict[str, _Mounted]:
    return {
        mount.device.decode(): _Mounted(
            mount.fs_type.decode("ascii", "replace"), mount.super_options
        )
        for mount in mount_lines(mountinfo)
    }


_kept = lru_cache(8)(_read)


class First:
    """The mounts of process 1: a daemon in a container does not have all those of its machine.

    `own` is a procfs in which this process is `self`.
    """

    def __init__(self, own: int) -> None:
        self._own = own

    def mounted(self) -> Mapping[str, _Mounted]:
        """By device; none where another user namespace owns them, or this process may not ask."""
        with suppress(OSError, ValueError):
            if owner_of_mounts(self._own, b"1/") == os.readlink(b"self/ns/user", dir_fd=self._own):
                return _table(read_file(self._own, b"1/mountinfo", _MOST_MOUNTS))
        return {}

    def device(self, layer: bytes) -> str:
        """The device of a directory by its path there."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        root = os.open(b"1/root", flags, dir_fd=self._own)
        try:
            resolve = file_calls.RESOLVE_IN_ROOT | file_calls.RESOLVE_NO_MAGICLINKS
            found = file_calls.open_resolved(root, layer, os.O_PATH, resolve)
        finally:
            os.close(root)
        try:
            return device_of(os.fstat(found))
        finally:
            os.close(found)


def _device_here(layer: bytes) -> str:
    return device_of(os.stat(layer))


class Mounts:
    """The file systems mounted where a process is, and where this process is.

    `mountinfo` is the process's, `own` this process's; empty where it cannot be read. Within
    `resting()` this thread has the rights of the daemon.
    """

    def __init__(
        self,
        mountinfo: bytes,
        own: bytes,
        resting: Callable[[], AbstractContextManager[None]] = nullcontext,
        first: First | None = None,
    ) -> None:
        self._own = _table(own)
        self._all = self._own if mountinfo == own else _table(mountinfo) | self._own
        self._resting, self._first = resting, first
        self._overlays: dict[str, bool] = {}

    def is_local(self, device: str) -> bool:
        """Whether this kernel alone serves the files of a device (in the form of mountinfo)."""
        if device in memory_devices():
            return True
        mount = self._all.get(device)
        if mount is None or mount.kind != "overlay":
            return mount is not None and mount.is_local()
        if device not in self._overlays:
            with self._resting():
                self._overlays[device] = self._layers_are_local(device)
        return self._overlays[device]

    def _layers_are_local(self, device: str) -> bool:
        """Whether each layer of an overlay is on a local file system, and none on another overlay.

        Layers are paths, which lead elsewhere in another namespace than that of the mount. Who
        mounted it could reach them; the requester need not, and is told nothing of them.
        """
        if overlay := self._own.get(device):
            return _are_local(overlay, self._own, _device_here)
        mounted = self._first.mounted() if self._first else {}
        overlay = mounted.get(device)
        if self._first is None or overlay is None:
            return False
        return _are_local(overlay, mounted, self._first.device)


def _are_local(
    overlay: _Mounted, mounted: Mapping[str, _Mounted], device: Callable[[bytes], str]
) -> bool:
    """Whether the layers of an overlay are on such file systems among those that are mounted."""
    layers = overlay.layers()
    if not layers or not all(layer.startswith(b"/") for layer in layers):
        return False
    try:
        below = [mounted.get(one) for one in {device(layer) for layer in layers}]
    except OSError:
        return False
    return all(mount is not None and mount.is_local() for mount in below)
