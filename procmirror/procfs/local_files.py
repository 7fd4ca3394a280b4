"""Which file systems this kernel alone serves.

If another process or machine serves a file, an answer may never come: a process that opens the
file, or reads memory that the file backs, may wait where not even SIGKILL ends it. So the device is
looked up first. Type and device are the kernel's words. Of the rest of mountinfo(5), only the
layers of overlays that are mounted in this mount namespace are believed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from typing import NamedTuple

from procmirror.decoding.proc_files import KEPT_MOUNTINFO, mount_lines, status_value
from procmirror.decoding.view import FileStatus
from procmirror.identity import file_calls
from procmirror.identity.files import read_file

_REMOTE = frozenset(
    (
        *("fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "coda", "lustre"),
        *("glusterfs", "gfs2", "ocfs2", "virtiofs", "autofs", "orangefs"),
    )
)


@cache
def memory_device() -> str:
    """The device of files that exist in memory only; no table of mounts names it."""
    descriptor = os.memfd_create("device")
    try:
        return device_of(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def memory_mount(own: int) -> int | None:
    """The number of the mount that files of memory are on, which is in no mountinfo.

    `own` is a procfs in which this process is `self`; None where that may not be asked. The mount
    is the kernel's own, made once.
    """
    if _memory_mount:
        return _memory_mount[0]
    descriptor = os.memfd_create("mount")
    try:
        info = read_file(own, b"self/fdinfo/%d" % descriptor)
        _memory_mount.append(int(status_value(info, b"mnt_id") or b""))
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)
    return _memory_mount[0]


# What `memory_mount` has found out.
_memory_mount: list[int] = []


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
    ) -> None:
        self._own = _table(own)
        self._all = self._own if mountinfo == own else _table(mountinfo) | self._own
        self._resting = resting
        self._overlays: dict[str, bool] = {}

    def is_local(self, device: str) -> bool:
        """Whether this kernel alone serves the files of a device (in the form of mountinfo)."""
        if device == memory_device():
            return True
        mount = self._all.get(device)
        if mount is None or mount.kind != "overlay":
            return mount is not None and mount.is_local()
        if device not in self._overlays:
            self._overlays[device] = self._layers_are_local(device)
        return self._overlays[device]

    def _layers_are_local(self, device: str) -> bool:
        """Whether each layer of an overlay is on a local file system, and none on another overlay.

        Only for an overlay that is mounted in this mount namespace: layers are paths, which lead
        elsewhere in another namespace. Who mounted it could reach them; the requester need not, and
        is told nothing of them.
        """
        overlay = self._own.get(device)
        layers = overlay.layers() if overlay else []
        try:
            with self._resting():
                devices = {device_of(os.stat(layer)) for layer in layers if layer.startswith(b"/")}
        except OSError:
            return False
        below = [self._own.get(one) for one in devices]
        return (
            bool(layers)
            and all(layer.startswith(b"/") for layer in layers)
            and all(mount is not None and mount.is_local() for mount in below)
        )
