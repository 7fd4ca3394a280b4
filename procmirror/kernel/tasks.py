"""Scheduling policies.

Source: include/uapi/linux/sched.h, named as in sched(7) and flags of a task (PF_* in
include/linux/sched.h).

Task flags are no interface: of those that /proc/PID/stat shows, only the bits that have meant the
same since Linux 3.10 are named here.
"""

from __future__ import annotations

POLICIES: dict[int, str] = {
    0: "SCHED_OTHER",
    1: "SCHED_FIFO",
    2: "SCHED_RR",
    3: "SCHED_BATCH",
    5: "SCHED_IDLE",
    6: "SCHED_DEADLINE",
    7: "SCHED_EXT",
}
# task_state_array in fs/proc/array.c, older letters behind: x and K before Linux 3.14, W before 2.6
STATES: dict[str, str] = {
    "R": "R (running)",
    "S": "S (sleeping)",
    "D": "D (disk sleep)",
    "T": "T (stopped)",
    "t": "t (tracing stop)",
    "X": "X (dead)",
    "Z": "Z (zombie)",
    "P": "P (parked)",
    "I": "I (idle)",
    "x": "x (dead)",
    "K": "K (wakekill)",
    "W": "W (waking)",
}
FLAGS: dict[int, str] = {
    0x4: "PF_EXITING",
    0x20: "PF_WQ_WORKER",
    0x40: "PF_FORKNOEXEC",
    0x80: "PF_MCE_PROCESS",
    0x100: "PF_SUPERPRIV",
    0x200: "PF_DUMPCORE",
    0x400: "PF_SIGNALED",
    0x800: "PF_MEMALLOC",
    0x1000: "PF_NPROC_EXCEEDED",
    0x2000: "PF_USED_MATH",
    0x8000: "PF_NOFREEZE",
    0x200000: "PF_KTHREAD",
    0x400000: "PF_RANDOMIZE",
    0x4000000: "PF_NO_SETAFFINITY",
    0x8000000: "PF_MCE_EARLY",
}
