"""How one argument of a system call is shown.

Descriptors with their targets, flags by name, strings and times read.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop

from procmirror.kernel import open_flags, signals
from procmirror.kernel.call_values import fcntl_command, futex_command, naming
from procmirror.stack.caller import quoted
from procmirror.stack.calls import Call, Parameter
from procmirror.stack.vectors import STRUCTURES, data

_FD = (
    "fd dfd epfd fildes fd_in fd_out fdin fdout in_fd out_fd oldfd newfd olddfd newdfd from_dfd "
    "to_dfd mountdirfd fs_fd ufd "
    "pidfd mqdes fanotify_fd group_fd ruleset_fd kernel_fd initrd_fd"
)
_DESCRIPTORS = frozenset(_FD.split())
# Arguments that the process sends, with the argument that holds their length.
_DATA = {
    "write.buf": "count",
    "pwrite64.buf": "count",
    "sendto.buff": "len",
    "send.buff": "len",
    "mq_timedsend.u_msg_ptr": "msg_len",
}
_AF_UNIX = 1
_TEXTS = {"mount.dev_name", "mount.dir_name", "mount.type", "umount.name"}
_SIGNAL_SETS = {"uthese", "unewset", "nset", "sigmask"}
_ADDRESSES = {"connect.uservaddr": "addrlen", "bind.umyaddr": "addrlen", "sendto.addr": "addr_len"}
# Arguments that the kernel will write, so that they have no meaning yet.
_WRITTEN = {"rmtp", "tp", "interval", "tv", "utimes"}
_MILLISECONDS = {"timeout", "timeout_msecs"}
_COUNTS = {
    "len",
    "length",
    "nr",
    "vlen",
    "nr_segs",
    "nr_pages",
    "old_len",
    "new_len",
    "riovcnt",
    "liovcnt",
    "cmdline_len",
}
_SIGNED_32 = {
    "int",
    "pid_t",
    "clockid_t",
    "mqd_t",
    "key_t",
    "key_serial_t",
    "timer_t",
    "rwf_t",
    "__s32",
}
_UNSIGNED_32 = {"unsigned int", "unsigned", "u32", "__u32", "uid_t", "gid_t", "qid_t"}
_FUTEX_ABSOLUTE = {
    "FUTEX_LOCK_PI",
    "FUTEX_WAIT_BITSET",
    "FUTEX_WAIT_REQUEUE_PI",
    "FUTEX_LOCK_PI2",
}
_TIMER_ABSTIME = 1
_P_PIDFD = 3
_LOCKS = {
    *("F_GETLK", "F_SETLK", "F_SETLKW"),
    *("F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW"),
}
_LOCKS_64 = {"F_GETLK64", "F_SETLK64", "F_SETLKW64"}  # of 32-bit tasks
_LOCK_TYPES = {0: "F_RDLCK", 1: "F_WRLCK", 2: "F_UNLCK"}
_WHENCES = {0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END"}


def int32(value: int) -> int:
    """A register as the C int that it holds."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def shown(call: Call, parameter: Parameter, value: int, architecture: str) -> str:
    """One argument for people; what may not be read stays a number."""
    key = f"{call.function}.{parameter.name}"
    if special := _SPECIAL.get(key):
        return special(call, value) or _plain(call, parameter, value)
    if parameter.name in {"flags", "oflag"} and call.function in {"open", "openat", "mq_open"}:
        return "|".join(open_flags.names(value & 0xFFFFFFFF, architecture))
    if named := naming(key, architecture):
        return named(value & 0xFFFFFFFF)
    if "*" in parameter.type:
        return (_pointed(call, parameter, key, value) if value else "NULL") or hex(value)
    if parameter.name in _DESCRIPTORS:
        return call.caller.descriptor(int32(value))
    return _plain(call, parameter, value)


def _pointed(call: Call, parameter: Parameter, key: str, address: int) -> str | None:
    if key in _HELD:
        return _HELD[key](call, address)
    if parameter.type == "const char *" or key in _TEXTS:
        return call.caller.string(address)
    if key in _ADDRESSES:
        return socket_address(
            call.caller.memory(address, min(call[_ADDRESSES[key]] & 0xFFFFFFFF, 128))
        )
    if parameter.name in _SIGNAL_SETS and "sigset_t" in parameter.type:
        return call.caller.signals(address)
    if parameter.type.endswith(("timespec *", "timeval *")) and parameter.name not in _WRITTEN:
        return _time(call, address, 9 if "timespec" in parameter.type else 6)
    return None


def _sent(length: str) -> Callable[[Call, int], str | None]:
    return lambda call, address: data(call.caller, address, call[length])


_HELD = STRUCTURES | {key: _sent(length) for key, length in _DATA.items()}


def _time(call: Call, address: int, digits: int) -> str | None:
    width = 8 if call.name.endswith("64") else call.word
    pair = call.caller.numbers(address, width, 2)
    if len(pair) < 2:
        return None
    fraction = f".{pair[1]:0{digits}d}".rstrip("0") if 0 < pair[1] < 10**digits else ""
    return f"{'until ' if _is_absolute(call) else ''}{pair[0]}{fraction} s"


def _is_absolute(call: Call) -> bool:
    if call.function == "futex":
        return futex_command(call["op"]) in _FUTEX_ABSOLUTE
    if call.function == "clock_nanosleep":
        return bool(call["flags"] & _TIMER_ABSTIME)
    return call.function in {"mq_timedsend", "mq_timedreceive", "futex_wait", "futex_waitv"}


def socket_address(raw: bytes) -> str | None:
    """A struct sockaddr for people; None for a family that is not known, or one cut short."""
    if len(raw) < 2:
        return None
    family, port = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:4], "big")
    if family == AF_INET and len(raw) >= 8:
        return f"{inet_ntop(AF_INET, raw[4:8])}:{port}"
    if family == AF_INET6 and len(raw) >= 24:
        return f"[{inet_ntop(AF_INET6, raw[8:24])}]:{port}"
    if family == _AF_UNIX:
        path = raw[2:]
        return quoted(b"@" + path[1:] if path[:1] == b"\0" else path.partition(b"\0")[0])
    return None


def _plain(call: Call, parameter: Parameter, value: int) -> str:
    kind = parameter.type.removeprefix("const ")
    if parameter.name in {"sig", "signum", "pgsig"}:
        return signals.name(value & 0xFFFFFFFF)
    if kind in _SIGNED_32:
        return (
            f"{int32(value)}{' ms' if parameter.name in _MILLISECONDS and int32(value) > 0 else ''}"
        )
    if kind in _UNSIGNED_32:
        return "-1" if kind.endswith("id_t") and int32(value) == -1 else str(value & 0xFFFFFFFF)
    if kind == "umode_t":
        return f"0{value & 0xFFFF:o}" if value else "0"
    if kind in {"long", "off_t", "loff_t"}:
        size = 64 if kind == "loff_t" else 8 * call.word
        return str(value - (1 << size) if value >> (size - 1) else value)
    return (
        str(value)
        if not value or kind in {"size_t", "u64", "__u64"} or parameter.name in _COUNTS
        else hex(value)
    )


def _upid(_: Call, value: int) -> str:
    pid = int32(value)
    words = {-1: " (any child)", 0: " (any child of its process group)"}
    return f"{pid}{words.get(pid, f' (any child of process group {-pid})' if pid < -1 else '')}"


def _waitid(call: Call, value: int) -> str | None:
    return call.caller.descriptor(int32(value)) if call["which"] == _P_PIDFD else None


def _lock(call: Call, address: int) -> str | None:
    """The struct flock of a requested lock.

    32-bit tasks have one with 32-bit and one with 64-bit numbers.
    """
    command = fcntl_command(call["cmd"])
    if command not in _LOCKS | _LOCKS_64:
        return None
    wide = call.word == 8 or command in _LOCKS_64 or command.startswith("F_OFD")
    width = 8 if wide else 4
    raw = call.caller.memory(address, call.word + 2 * width)
    if len(raw) < call.word + 2 * width:
        return None
    kind, whence = (int.from_bytes(raw[at : at + 2], "little", signed=True) for at in (0, 2))
    start, length = (
        int.from_bytes(raw[at : at + width], "little", signed=True)
        for at in (call.word, call.word + width)
    )
    base = _WHENCES.get(whence, str(whence))
    reach = f"{length} bytes" if length else "to the end"
    return f"{{{_LOCK_TYPES.get(kind, str(kind))} from {base} {start:+d}, {reach}}}"


_SPECIAL: dict[str, Callable[[Call, int], str | None]] = {
    "wait4.upid": _upid,
    "waitpid.pid": _upid,
    "waitid.upid": _waitid,
    "fcntl.arg": _lock,
    "fcntl64.arg": _lock,
}

_FUTEX_USED = {
    "FUTEX_WAIT": "uaddr op val utime",
    "FUTEX_WAKE": "uaddr op val",
    "FUTEX_LOCK_PI": "uaddr op utime",
    "FUTEX_UNLOCK_PI": "uaddr op",
    "FUTEX_TRYLOCK_PI": "uaddr op",
    "FUTEX_WAIT_BITSET": "uaddr op val utime val3",
    "FUTEX_WAKE_BITSET": "uaddr op val val3",
    "FUTEX_WAIT_REQUEUE_PI": "uaddr op val utime uaddr2",
    "FUTEX_LOCK_PI2": "uaddr op utime",
}
_FCNTL_WITHOUT_ARGUMENT = {
    *("F_GETFD", "F_GETFL", "F_GETOWN", "F_GETSIG", "F_GETLEASE", "F_GETPIPE_SZ", "F_GET_SEALS"),
}


def unused(call: Call, architecture: str) -> set[str]:
    """The arguments that this use of the call does not have.

    Their registers hold other values.
    """
    if call.function == "futex":
        used = _FUTEX_USED.get(futex_command(call["op"]), "uaddr op val utime uaddr2 val3").split()
        return {parameter.name for parameter, _ in call.arguments} - set(used)
    if (
        call.function in {"fcntl", "fcntl64"}
        and fcntl_command(call["cmd"]) in _FCNTL_WITHOUT_ARGUMENT
    ):
        return {"arg"}
    opens = call.function in {"open", "openat"}
    return {"mode"} if opens and not open_flags.creates(call["flags"], architecture) else set()
