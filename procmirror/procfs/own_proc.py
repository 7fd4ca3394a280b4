"""What a requester's own /proc hides: the options `hidepid=`, `gid=` and `subset=pid` of its mount.

Sources: proc(5), "Mount options"; has_pid_permissions and proc_root_lookup in the kernel's fs/proc.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from procmirror.decoding.proc_files import MountLine

_WORDS = {"0": "", "off": "", "1": "noaccess", "2": "invisible", "4": "ptraceable"}


class Hiding(NamedTuple):
    """What a procfs hides.

    `processes` is the word of hidepid= for processes that a requester may not trace, empty without;
    members of the group `gid` see them all (not with `ptraceable`). `system`: there is nothing but
    processes.
    """

    processes: str = ""
    gid: int = 0
    system: bool = False


NOTHING = Hiding()


def hiding(here: Sequence[MountLine]) -> Hiding:
    """What the procfs at /proc hides, by the mounts of a thread through which that path leads.

    NOTHING where another thing is there. It is not kept: the number of a mount namespace is soon
    that of another.
    """
    if not here or here[-1].mount_point != b"/proc" or here[-1].fs_type != b"proc":
        return NOTHING
    options = {
        name: value
        for name, _, value in (
            option.partition("=")
            for option in here[-1].super_options.decode("ascii", "replace").split(",")
        )
    }
    hidden, gid = options.get("hidepid", ""), options.get("gid", "")
    return Hiding(
        _WORDS.get(hidden, hidden),
        int(gid) if gid.isdigit() else 0,
        options.get("subset") == "pid",
    )
