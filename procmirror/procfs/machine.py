"""Facts of this machine that decoding needs, and the names of its accounts.

The time of the boot follows the clock, and names are read again when their files change.

Names come from /etc/passwd and /etc/group only: the name service switch may wait for a network and
runs foreign code.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from procmirror.decoding.view import Machine, Stamp
from procmirror.identity.files import READ

# The time in seconds for which a file of names is not checked again: the check costs more than many
# a view.
_MOMENT = 0.5
# The difference in seconds up to which the time of the boot counts as the same: two clocks are not
# read at the same instant, and an NTP client adjusts one now and then.
_SAME_BOOT = 1.0
# For how many seconds the clocks are not read again.
_CLOCKS_KEPT = 0.05
# The longest time in seconds for reading three clocks; longer means that this process was stopped
# in between.
_AT_ONCE = 0.05
_NO_NAMES: dict[int, str] = {}


class Facts:
    """Makes the `Machine` of one request."""

    def __init__(self, root: int) -> None:
        self._page_size = os.sysconf("SC_PAGE_SIZE")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._boot_time = boot_time()
        self._clocks_read = time.monotonic()
        self._boot_id = _boot_id(root)
        self._kernel = os.uname()
        self._users = _Names("/etc/passwd")
        self._groups = _Names("/etc/group")
        self._plain: Machine | None = None
        self.machine({}, named=True)

    def machine(self, namespaces: Mapping[str, str], *, named: bool) -> Machine:
        """The facts for a requester in `namespaces`.

        `named` is false for a requester whose ids are not those of the daemon's user namespace.
        """
        users, groups = (
            (self._users.current(), self._groups.current()) if named else (_NO_NAMES, _NO_NAMES)
        )
        now = time.monotonic()
        if now - self._clocks_read > _CLOCKS_KEPT:
            self._boot_time, self._clocks_read = boot_time(self._boot_time), now
        plain = self._plain
        if (
            plain
            and plain.boot_time == int(self._boot_time)
            and not namespaces
            and plain.users is users
            and plain.groups is groups
        ):
            return plain
        made = Machine(
            self._page_size,
            self._ticks,
            float(int(self._boot_time)),
            users,
            groups,
            namespaces,
            self._kernel.machine,
            release=self._kernel.release,
        )
        if not namespaces:
            self._plain = made
        return made

    def stamp(self, host: str) -> Stamp:
        """The stamp of a snapshot that begins now."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        return Stamp(host, self._boot_id, moment.replace("+00:00", "Z"))


def host_name() -> str:
    r"""The host name in this process's uts namespace, bytes that are not UTF-8 as \xHH."""
    return os.fsencode(os.uname().nodename).decode("utf-8", "backslashreplace")


def boot_time(before: float = 0.0) -> float:
    """When this machine booted by its clock as it is set now, in seconds since the epoch.

    It is the time in the time namespace of this process, as the `starttime` that is read here
    (timens_sub_boottime, fs/proc/stat.c); its whole seconds are `btime` of /proc/stat. `before` is
    returned unchanged if it differs by no more than a second, so that dates do not change back and
    forth.
    """
    for _ in range(100):
        start = time.clock_gettime(time.CLOCK_BOOTTIME)
        now = time.time()
        end = time.clock_gettime(time.CLOCK_BOOTTIME)
        if end - start < _AT_ONCE:
            break
    found = now - (start + end) / 2
    return before if abs(found - before) <= _SAME_BOOT else found


def _boot_id(root: int) -> str | None:
    """The random id of this boot, the same in every namespace.

    None if the procfs does not have it.
    """
    try:
        descriptor = os.open("sys/kernel/random/boot_id", READ, dir_fd=root)
    except OSError:
        return None
    with open(descriptor, encoding="ascii") as boot_id:
        return boot_id.read().strip()


class _Names:
    """Names by id from a file in the shape of passwd(5) or group(5)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._until = 0.0
        self._seen: tuple[int, int] | None = None
        self._names: dict[int, str] = {}

    def current(self) -> dict[int, str]:
        """The names that the file had a moment ago; the first name of an id counts."""
        now = time.monotonic()
        if now < self._until:
            return self._names
        self._until = now + _MOMENT
        try:
            found = os.stat(self._path)
        except OSError:
            return self._names
        seen = (found.st_mtime_ns, found.st_ino)
        if seen != self._seen:
            # The identity that this thread acts as may not read it: then the names stay.
            with suppress(OSError):
                self._names = self._load()
                self._seen = seen
        return self._names

    def _load(self) -> dict[int, str]:
        names: dict[int, str] = {}
        with open(self._path, encoding="utf-8", errors="backslashreplace") as lines:
            for line in lines:
                fields = line.split(":")
                if len(fields) > 2 and fields[2].strip().isdecimal():
                    names.setdefault(int(fields[2]), fields[0])
        return names
