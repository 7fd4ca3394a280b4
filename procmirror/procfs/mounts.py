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
    mount_id = next(int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:"))
    return next((mount for mount in mounts(own) if mount.mount_id == mount_id), None)


def hidden_processes(own: int, root: int) -> str:
    """How the mount hides processes from some requesters (hidepid=), empty if it does not."""
    mount = mount_of(own, root)
    options = mount.super_options.decode("utf-8", "backslashreplace") if mount else ""
    hidden = [
        option.partition("=")[2] for option in options.split(",") if option.startswith("hidepid=")
    ]
    words = {"0": "", "off": "", "1": "noaccess", "2": "invisible", "4": "ptraceable"}
    return "".join(words.get(value, value) for value in hidden[-1:])
