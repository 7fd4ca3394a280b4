"""The values that system calls take have the names that the C library's headers give them, as Python knows them."""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import socket
import time
from types import ModuleType

import pytest

from procmirror.kernel import open_flags
from procmirror.kernel.call_values import NAMES, Naming, epoll_events, poll_events
from procmirror.kernel.personalities import FLAGS

# Where the names of an argument stand; those without a value of their own, or with one under
# another name, are left out.
TABLES: list[tuple[Naming, ModuleType, str, str]] = [
    (poll_events, select, "POLL", ""),
    (epoll_events, select, "EPOLL", "EPOLL_CLOEXEC EPOLLMSG"),
    (
        NAMES["recvfrom.flags"],
        socket,
        "MSG_",
        "MSG_EOF MSG_BCAST MSG_MCAST MSG_SYN MSG_RST MSG_FIN",
    ),
    (NAMES["fcntl.cmd"], fcntl, "F_", ""),
    (NAMES["mmap.prot"], mmap, "PROT_", ""),
    (NAMES["mmap.flags"], mmap, "MAP_", "MAP_ANON"),
    (NAMES["madvise.behavior"], mmap, "MADV_", "MADV_HWPOISON MADV_SOFT_OFFLINE"),
    (NAMES["wait4.options"], os, "W", "WNOWAIT WEXITED WSTOPPED W_OK"),
    (NAMES["waitid.options"], os, "W", "WUNTRACED W_OK"),
    (NAMES["waitid.which"], os, "P_", "P_NOWAIT P_NOWAITO P_WAIT"),
    (NAMES["getrandom.flags"], os, "GRND_", ""),
    (NAMES["preadv2.flags"], os, "RWF_", "RWF_DONTCACHE RWF_ATOMIC"),
    (NAMES["splice.flags"], os, "SPLICE_F_", ""),
    (NAMES["clock_nanosleep.which_clock"], time, "CLOCK_", ""),
    (NAMES["clone.clone_flags"], os, "CLONE_", "CLONE_NEWTIME"),
]
# The commands and masks of fcntl that share the prefix.
OTHERS = {
    "F_RDLCK",
    "F_WRLCK",
    "F_UNLCK",
    "F_EXLCK",
    "F_SHLCK",
    "F_GETLK64",
    "F_SETLK64",
    "F_SETLKW64",
}


@pytest.mark.parametrize(
    ("naming", "module", "prefix", "without"),
    TABLES,
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_values_have_their_names(
    naming: Naming, module: ModuleType, prefix: str, without: str
) -> None:
    known = {
        name: value
        for name, value in vars(module).items()
        if name.startswith(prefix) and isinstance(value, int)
    }
    for name in [*without.split(), *OTHERS]:
        known.pop(name, None)
    wrong = {
        name: naming(int(value))
        for name, value in known.items()
        if name not in naming(int(value)).split("|")
    }
    assert {name for name in wrong if not name.startswith(("F_SEAL", "F_OWNER"))} == set()


def test_flags_of_open_have_their_names() -> None:
    known = {
        name: value
        for name, value in vars(os).items()
        if name.startswith("O_") and value and isinstance(value, int)
    }
    for alias in ("O_NDELAY", "O_RSYNC", "O_FSYNC", "O_ACCMODE"):
        known.pop(alias, None)
    shown = {name: open_flags.names(value) for name, value in known.items()}
    assert {name for name, found in shown.items() if name not in found} == set()


def test_flags_of_a_personality_do_not_overlap() -> None:
    assert sum(FLAGS) == sum(FLAGS) & ~0xFF and all(bit.bit_count() == 1 for bit in FLAGS)
