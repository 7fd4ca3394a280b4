"""System calls of the calling thread alone, by number.

What glibc would do to all threads, and what Python lacks.

Also the steps out of which the identity of a requester or a target is made.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterable

import system_calls

_NUMBERS = system_calls.syscalls()
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# linux/capability.h; bit 40 is the last of Linux 6.
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_SYSLOG": 34,
    "CAP_PERFMON": 38,
    "CAP_CHECKPOINT_RESTORE": 40,
}
CAP_NET_RAW = 13
# Containers often lack it, and then nobody has it.
CAP_SYS_RESOURCE = 24

# linux/sched.h
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NAME = 1, 4, 8, 15
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 38, 47
PR_CAP_AMBIENT_RAISE = 2
SIGKILL = 9

_CAPABILITY_VERSION_3 = 0x20080522


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    """What the system call answers; OSError as the kernel's."""
    passed = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    answer = int(_libc.syscall(ctypes.c_long(_NUMBERS[name]), *passed))
    if answer == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return answer


def prctl(option: int, *arguments: int | bytes) -> int:
    """Call prctl with zeros for the arguments that are not given."""
    return call("prctl", option, *arguments, *[0] * (4 - len(arguments)))


def mask(*names: str) -> int:
    """Capabilities as the mask that capset(2) takes."""
    return sum(1 << CAPABILITIES[name] for name in names)


def permitted() -> int:
    """The capabilities that this thread may have."""
    header, data = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(24)
    call("capget", header, data)
    _, low, _, _, high, _ = struct.unpack("6I", data.raw)
    return int(low | high << 32)


def set_capabilities(effective: int, allowed: int | None = None, inheritable: int = 0) -> None:
    """Exactly these capabilities; `allowed` may be more than the effective ones."""
    sets = (effective, effective if allowed is None else allowed, inheritable)
    low, high = [[half >> shift & 0xFFFFFFFF for half in sets] for shift in (0, 32)]
    call("capset", struct.pack("Ii", _CAPABILITY_VERSION_3, 0), struct.pack("6I", *low, *high))


def set_groups(groups: Iterable[int]) -> None:
    """The supplementary groups of this thread."""
    listed = list(groups)
    call("setgroups", len(listed), struct.pack(f"{len(listed)}I", *listed))


def become(uid: int, gid: int, groups: Iterable[int] = (), capabilities: int = 0) -> None:
    """Another user as login would make him, but keeping `capabilities`.

    Dumpable, as after an exec.
    """
    set_groups(groups)
    prctl(PR_SET_KEEPCAPS, 1)
    call("setresgid", gid, gid, gid)
    call("setresuid", uid, uid, uid)
    set_capabilities(capabilities)
    settle()


def settle() -> None:
    """After a change of identity: dumpable, and dead when the parent is (the kernel forgets both)."""
    prctl(PR_SET_DUMPABLE, 1)
    prctl(PR_SET_PDEATHSIG, SIGKILL)


def enter_new(flags: int) -> None:
    """New namespaces for this process."""
    call("unshare", flags)


def new_user_namespace(mapping: str | None) -> None:
    """A user namespace of one's own.

    `mapping` (for both maps) is written by oneself, None leaves it without.
    """
    enter_new(CLONE_NEWUSER)
    settle()
    if mapping is not None:
        for name, line in (("setgroups", "deny"), ("uid_map", mapping), ("gid_map", mapping)):
            _write(f"/proc/self/{name}", line)


def join(pid: int, *kinds: str) -> None:
    """The namespaces of another process."""
    opened = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for descriptor in opened:
        call("setns", descriptor, 0)
        os.close(descriptor)


def in_child() -> None:
    """Go on in a child (of new pid and time namespaces).

    The parent waits and ends as the child does.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    prctl(PR_SET_PDEATHSIG, SIGKILL)


def later_clock() -> None:
    """A time namespace whose clocks are a day and more ahead."""
    enter_new(CLONE_NEWTIME)
    _write("/proc/self/timens_offsets", "monotonic 100000 0\nboottime 100000 0\n")
    in_child()


def landlock() -> None:
    """A Landlock domain that handles one right of no interest here.

    What remains is its check of ptrace.
    """
    make_socket = 1 << 9
    rules = call("landlock_create_ruleset", struct.pack("Q", make_socket), 8, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    call("landlock_restrict_self", rules, 0)
    os.close(rules)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def in_order(*steps: Callable[[], object]) -> Callable[[], None]:
    """One step made of several."""

    def run() -> None:
        for step in steps:
            step()

    return run
