"""Where the mirror is mounted."""

from __future__ import annotations

import os
from contextlib import suppress

import pyfuse3

from procmirror.identity import file_calls
from procmirror.procfs.mounts import mounts


class MountPlace:
    """The mountpoint, and the directory in which the mount is made.

    libfuse opens /proc/sys/fs/pipe-max-size when it serves its first request. The mirror cannot
    answer that itself, so a mount over /proc is made in another directory first, and is bound to
    /proc after that request.
    """

    def __init__(self, own: int, mountpoint: str) -> None:
        self.own = own
        self._mountpoint = mountpoint
        self.device = b""
        self.is_aborted = False
        self._is_moved = False
        self.staged = os.path.samefile(mountpoint, "/proc")
        self.first = mountpoint
        if self.staged:
            # Here, as most mounts are not over /proc, and it imports much.
            import tempfile  # noqa: PLC0415

            # The root of a user namespace has no right to /run.
            self.first = tempfile.mkdtemp(
                prefix="procmirror.", dir="/run" if os.access("/run", os.W_OK) else None
            )

    def move(self) -> None:
        """Move the mount from its first directory to the mountpoint."""
        self.settle()
        file_calls.bind(self.first, self._mountpoint)
        self._leave_first()
        self._is_moved = True

    def _leave_first(self) -> None:
        file_calls.unmount_lazily(self.first)
        os.rmdir(self.first)

    def settle(self) -> None:
        """Note the device of the mount, by which a later mount at the same path is told apart."""
        first = os.fsencode(self.first)
        devices = [mount.device for mount in mounts(self.own) if mount.mount_point == first]
        self.device = devices[-1] if devices else b""

    def is_mounted(self) -> bool:
        """Whether the mirror is mounted at its path."""
        path = os.fsencode(self._mountpoint)
        here = [mount.device for mount in mounts(self.own) if mount.mount_point == path]
        return bool(self.device and here) and here[-1] == self.device

    def leave(self) -> None:
        """Unmount the mirror if it is still mounted, and no other mount that is there by now.

        libfuse does not unmount a mount whose connection was aborted, and does not know that a
        mount was moved.
        """
        ours = self.staged or self.is_aborted
        if self.staged and not self._is_moved:
            with suppress(OSError):
                self._leave_first()
        if ours and self.is_mounted():
            with suppress(OSError):
                file_calls.unmount_lazily(self._mountpoint)
        pyfuse3.close(unmount=not ours)
