"""The live /proc as a `Reading`, for tests that compare views with tools that nobody here wrote."""

from __future__ import annotations

import grp
import os
import pwd
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from procmirror.decoding.view import FileStatus, Machine
from procmirror.procfs.local_files import device_of
from procmirror.procfs.unix_peers import unix_peers
from procmirror.views import VIEWS

_VIEWS = {view.name: view for view in VIEWS}


def status_of(found: os.stat_result) -> FileStatus:
    """What stat(2) says, as views have it."""
    return FileStatus(
        found.st_mode,
        found.st_size,
        found.st_blocks * 512,
        found.st_nlink,
        device_of(found),
        f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}",
        found.st_ino,
    )


class Live:
    """A real directory, read in the name of the test itself and without limits."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def read(self, path: str) -> bytes:
        """The whole content of a file."""
        return (self.directory / path).read_bytes()

    def part(self, path: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`, by one read(2)."""
        file = os.open(self.directory / path, os.O_RDONLY)
        try:
            return os.pread(file, size, offset)
        finally:
            os.close(file)

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a file."""
        with (self.directory / path).open("rb") as file:
            yield from (line.removesuffix(b"\n") for line in file)

    def link(self, path: str) -> str:
        """The text of a link."""
        return os.readlink(os.fsencode(self.directory / path)).decode("utf-8", "backslashreplace")

    def names(self, path: str) -> list[str]:
        """The names in a directory, in the kernel's order."""
        return [
            name.decode("utf-8", "backslashreplace")
            for name in os.listdir(os.fsencode(self.directory / path))
        ]

    def size(self, path: str) -> int:
        """The size of an entry."""
        return (self.directory / path).lstat().st_size

    def unix_peers(self) -> dict[int, int]:
        """As this process is told."""
        return unix_peers()

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """What fstat(2) says; every mount of the tests is local."""
        del mount
        return status_of((self.directory / path).stat())

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        """What stat(2) says of the path."""
        del addresses, device, inode
        return status_of(Path(path).stat())


@cache
def machine() -> Machine:
    """The facts of this machine."""
    return Machine(
        page_size=os.sysconf("SC_PAGE_SIZE"),
        ticks=os.sysconf("SC_CLK_TCK"),
        boot_time=time.time() - time.clock_gettime(time.CLOCK_BOOTTIME),
        users={user.pw_uid: user.pw_name for user in pwd.getpwall()},
        groups={group.gr_gid: group.gr_name for group in grp.getgrall()},
        namespaces={
            name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")
        },
        architecture=os.uname().machine,
    )


def of(name: str, directory: Path | str) -> Any:
    """The record of the view `name` (`PID/status`, `net/tcp`) for a directory of the live /proc."""
    return _VIEWS[name].record_of(Live(directory), machine())
