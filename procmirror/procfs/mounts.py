"""The mounts of this mount namespace."""

from __future__ import annotations

from procmirror.decoding.proc_files import MountLine, mount_lines
from procmirror.identity.files import read_file

# The table of 100,000 mounts (fs.mount-max) of long paths.
_MOST = 64 << 20


def mounts(own: int) -> list[MountLine]:
    """The mounts of this mount namespace; `own` is a procfs in which this process is `self`."""
    return mount_lines(read_file(own, b"self/mountinfo", _MOST))


def mount_of(own: int, descriptor: int) -> MountLine | None:
    """The mount that a descriptor is on, None if this mount namespace does not show it."""
    lines = read_file(own, b"self/fdinfo/%d" % descriptor).splitlines()
    number = next(line.split()[1] for line in lines if line.startswith(b"mnt_id:"))
    # Only its line is decoded, because there may be thousands of others.
    table = read_file(own, b"self/mountinfo", _MOST).split(b"\n")
    line = next((line for line in table if line.startswith(number + b" ")), b"")
    return next(iter(mount_lines(line)), None)


# What may be hidden by a mount whose options nobody tells.
UNKNOWN = "unknown"


def hidden_processes(own: int, root: int) -> str:
    """How the mount hides processes from some requesters (hidepid=), empty if it does not.

    `UNKNOWN` if this mount namespace does not show it, as one that was reached by PID/root.
    """
    mount = mount_of(own, root)
    if mount is None:
        return UNKNOWN
    options = mount.super_options.decode("utf-8", "backslashreplace")
    hidden = [
        option.partition("=")[2] for option in options.split(",") if option.startswith("hidepid=")
    ]
    words = {"0": "", "off": "", "1": "noaccess", "2": "invisible", "4": "ptraceable"}
    return "".join(words.get(value, value) for value in hidden[-1:])
