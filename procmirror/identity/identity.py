"""What the kernel judges a task by: ids, groups and capabilities."""

from __future__ import annotations

from typing import NamedTuple

from procmirror.identity import thread_calls

# Masks of include/uapi/linux/capability.h.
CAP_DAC_READ_SEARCH = 1 << 2
CAP_KILL = 1 << 5
CAP_SYS_PTRACE = 1 << 19
CAP_SYS_ADMIN = 1 << 21
CAP_SYS_NICE = 1 << 23
CAP_PERFMON = 1 << 38

# Stands for the groups of the process that takes on the identity.
UNCHANGED = (thread_calls.KEEP,)


class Identity(NamedTuple):
    """The ids, groups and capabilities of a task, in the numbers of one user namespace.

    `uid` and `gid` are those that file systems judge by. `euid` and `egid` are the effective ids,
    by which sysctls are judged, if the task has made them differ (setfsuid(2)), else -1.
    `capabilities` is a mask.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: int
    euid: int = -1
    egid: int = -1

    @property
    def effective(self) -> tuple[int, int]:
        """The effective user and group id."""
        return (self.uid if self.euid < 0 else self.euid), (
            self.gid if self.egid < 0 else self.egid
        )
