"""Names for the values that system calls take, by call and argument.

Source: include/uapi, named at each table.

Arguments have the names of the kernel's own functions, as `stack/arguments.json` has them.
MIPS, Alpha, SPARC and PA-RISC number some of these otherwise (`naming`). The flags of open(2) stand
in `open_flags`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from procmirror.kernel.ioctls import ioctl_command
from procmirror.kernel.signals import NAMES as SIGNALS

Naming = Callable[[int], str]


def _numbers(words: str) -> dict[int, str]:
    """`NAME=1 OTHER=0x2` as a table."""
    return {
        int(number, 0): name for name, _, number in (word.partition("=") for word in words.split())
    }


def choice(names: Mapping[int, str]) -> Naming:
    """The name of one value out of many."""
    return lambda value: names.get(value) or (str(value) if value < 4096 else hex(value))


def bits(names: Mapping[int, str], base: Mapping[int, str] | None = None, mask: int = 0) -> Naming:
    """The names of the bits that are set, after the one of `base` for the bits of `mask`.

    A bit without a name as `0x…`.
    """

    def named(value: int) -> str:
        low = value & mask
        found = [base.get(low) or hex(low)] if base and (low or low in base) else []
        rest = value & ~mask
        for bit, name in names.items():
            if rest & bit == bit:
                found.append(name)
                rest &= ~bit
        return "|".join([*found, hex(rest)] if rest else found) or "0"

    return named


# asm-generic/poll.h; eventpoll.h has the same below 0x4000.
_POLL = _numbers(
    "POLLIN=1 POLLPRI=2 POLLOUT=4 POLLERR=8 POLLHUP=0x10 POLLNVAL=0x20 POLLRDNORM=0x40 "
    "POLLRDBAND=0x80 POLLWRNORM=0x100 "
    "POLLWRBAND=0x200 POLLMSG=0x400 POLLRDHUP=0x2000"
)
poll_events = bits(_POLL)
_EPOLL = _numbers(
    "EPOLLEXCLUSIVE=0x10000000 EPOLLWAKEUP=0x20000000 EPOLLONESHOT=0x40000000 EPOLLET=0x80000000"
)
epoll_events = bits({bit: f"E{name}" for bit, name in _POLL.items()} | _EPOLL)

# time.h.
_CLOCKS = (
    "CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID "
    "CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE "
    "CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM "
    "CLOCK_SGI_CYCLE CLOCK_TAI"
)
clock = choice(dict(enumerate(_CLOCKS.split())))
_TIMER = _numbers("TIMER_ABSTIME=1")

# futex.h.
_FUTEX_OPERATIONS = (
    "FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI "
    "FUTEX_UNLOCK_PI "
    "FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI "
    "FUTEX_CMP_REQUEUE_PI FUTEX_LOCK_PI2"
)
_FUTEX_COMMAND_MASK = 0x7F
_FUTEX_COMMANDS = dict(enumerate(_FUTEX_OPERATIONS.split()))
_FUTEX = bits(
    _numbers("FUTEX_PRIVATE_FLAG=0x80 FUTEX_CLOCK_REALTIME=0x100"),
    _FUTEX_COMMANDS,
    _FUTEX_COMMAND_MASK,
)


# What a waiter of futex_waitv(2) is, since 5.16.
futex2_flags = bits(
    _numbers("FUTEX2_NUMA=4 FUTEX2_PRIVATE=0x80"),
    _numbers("FUTEX2_SIZE_U8=0 FUTEX2_SIZE_U16=1 FUTEX2_SIZE_U32=2 FUTEX2_SIZE_U64=3"),
    3,
)


def futex_command(operation: int) -> str:
    """The command in the `op` argument of futex(2), without its flags; empty for an unknown one."""
    return _FUTEX_COMMANDS.get(operation & _FUTEX_COMMAND_MASK, "")


# fcntl.h, linux/fcntl.h; 12 to 14 are the 64-bit locks of 32-bit tasks.
_FCNTL = _numbers(
    "F_DUPFD=0 F_GETFD=1 F_SETFD=2 F_GETFL=3 F_SETFL=4 F_GETLK=5 F_SETLK=6 F_SETLKW=7 F_SETOWN=8 "
    "F_GETOWN=9 F_SETSIG=10 "
    "F_GETSIG=11 F_GETLK64=12 F_SETLK64=13 F_SETLKW64=14 F_SETOWN_EX=15 F_GETOWN_EX=16 "
    "F_GETOWNER_UIDS=17 F_OFD_GETLK=36 "
    "F_OFD_SETLK=37 F_OFD_SETLKW=38 F_SETLEASE=1024 F_GETLEASE=1025 F_NOTIFY=1026 "
    "F_DUPFD_QUERY=1027 "
    "F_CREATED_QUERY=1028 F_CANCELLK=1029 F_DUPFD_CLOEXEC=1030 F_SETPIPE_SZ=1031 "
    "F_GETPIPE_SZ=1032 F_ADD_SEALS=1033 "
    "F_GET_SEALS=1034 F_GET_RW_HINT=1035 F_SET_RW_HINT=1036 F_GET_FILE_RW_HINT=1037 "
    "F_SET_FILE_RW_HINT=1038"
)


def fcntl_command(command: int) -> str:
    """The name of the `cmd` argument of fcntl(2); empty for an unknown one."""
    return _FCNTL.get(command & 0xFFFFFFFF, "")


_FLOCK = bits(_numbers("LOCK_NB=4 LOCK_MAND=32"), _numbers("LOCK_SH=1 LOCK_EX=2 LOCK_UN=8"), 0xB)
_AT = _numbers(
    "AT_SYMLINK_NOFOLLOW=0x100 AT_REMOVEDIR=0x200 AT_SYMLINK_FOLLOW=0x400 AT_NO_AUTOMOUNT=0x800 "
    "AT_EMPTY_PATH=0x1000"
)

# linux/socket.h, net.h: the flags of accept4 stand above the type of the socket.
_MSG = _numbers(
    "MSG_OOB=1 MSG_PEEK=2 MSG_DONTROUTE=4 MSG_CTRUNC=8 MSG_PROBE=0x10 MSG_TRUNC=0x20 "
    "MSG_DONTWAIT=0x40 MSG_EOR=0x80 "
    "MSG_WAITALL=0x100 MSG_CONFIRM=0x800 MSG_ERRQUEUE=0x2000 MSG_NOSIGNAL=0x4000 MSG_MORE=0x8000 "
    "MSG_WAITFORONE=0x10000 "
    "MSG_ZEROCOPY=0x4000000 MSG_FASTOPEN=0x20000000 MSG_CMSG_CLOEXEC=0x40000000"
)
_SOCK = bits(_numbers("SOCK_NONBLOCK=0o4000 SOCK_CLOEXEC=0o2000000"))

# wait.h.
_WAIT = bits(
    _numbers(
        "WNOHANG=1 WSTOPPED=2 WEXITED=4 WCONTINUED=8 WNOWAIT=0x1000000 __WNOTHREAD=0x20000000 "
        "__WALL=0x40000000 "
        "__WCLONE=0x80000000"
    )
)
_WAIT4 = bits(
    _numbers(
        "WNOHANG=1 WUNTRACED=2 WCONTINUED=8 __WNOTHREAD=0x20000000 __WALL=0x40000000 "
        "__WCLONE=0x80000000"
    ),
)
_ID = choice(_numbers("P_ALL=0 P_PID=1 P_PGID=2 P_PIDFD=3"))

# sched.h; the low byte of clone's flags is the signal for the parent.
_CLONE = _numbers(
    "CLONE_VM=0x100 CLONE_FS=0x200 CLONE_FILES=0x400 CLONE_SIGHAND=0x800 CLONE_PIDFD=0x1000 "
    "CLONE_PTRACE=0x2000 CLONE_VFORK=0x4000 CLONE_PARENT=0x8000 CLONE_THREAD=0x10000 "
    "CLONE_NEWNS=0x20000 "
    "CLONE_SYSVSEM=0x40000 CLONE_SETTLS=0x80000 CLONE_PARENT_SETTID=0x100000 "
    "CLONE_CHILD_CLEARTID=0x200000 "
    "CLONE_UNTRACED=0x800000 CLONE_CHILD_SETTID=0x1000000 CLONE_NEWCGROUP=0x2000000 "
    "CLONE_NEWUTS=0x4000000 "
    "CLONE_NEWIPC=0x8000000 CLONE_NEWUSER=0x10000000 CLONE_NEWPID=0x20000000 "
    "CLONE_NEWNET=0x40000000 CLONE_IO=0x80000000"
)

# mman-common.h, mman.h, fs.h, falloc.h.
_PROT = bits(
    _numbers(
        "PROT_READ=1 PROT_WRITE=2 PROT_EXEC=4 PROT_SEM=8 PROT_GROWSDOWN=0x1000000 "
        "PROT_GROWSUP=0x2000000"
    )
)
_TYPES_OF_MAP = _numbers("MAP_SHARED=1 MAP_PRIVATE=2 MAP_SHARED_VALIDATE=3")
_EVERY_MAP = (
    "MAP_DENYWRITE=0x800 MAP_EXECUTABLE=0x1000 {} MAP_POPULATE=0x8000 MAP_NONBLOCK=0x10000 "
    "MAP_STACK=0x20000 MAP_HUGETLB=0x40000 MAP_SYNC=0x80000 MAP_FIXED_NOREPLACE=0x100000"
)


def _map(first: str = "", later: str = "MAP_LOCKED=0x2000 MAP_NORESERVE=0x4000") -> Naming:
    """The flags of mmap(2) of an architecture, with those that it numbers otherwise."""
    words = f"MAP_FIXED=0x10 MAP_ANONYMOUS=0x20 {first} MAP_GROWSDOWN=0x100 " + _EVERY_MAP
    return bits(_numbers(words.format(later)), _TYPES_OF_MAP, 0xF)


# uapi/asm/mman.h of x86 and powerpc; asm-generic/mman.h for most others.
_MAP = _map("MAP_32BIT=0x40 MAP_ABOVE4G=0x80")
_MAP_POWERPC = _map("MAP_NORESERVE=0x40 MAP_LOCKED=0x80", "")
_MAP_GENERIC = _map()
_ADVICE = choice(
    _numbers(
        "MADV_NORMAL=0 MADV_RANDOM=1 MADV_SEQUENTIAL=2 MADV_WILLNEED=3 MADV_DONTNEED=4 "
        "MADV_FREE=8 MADV_REMOVE=9 "
        "MADV_DONTFORK=10 MADV_DOFORK=11 MADV_MERGEABLE=12 MADV_UNMERGEABLE=13 MADV_HUGEPAGE=14 "
        "MADV_NOHUGEPAGE=15 "
        "MADV_DONTDUMP=16 MADV_DODUMP=17 MADV_WIPEONFORK=18 MADV_KEEPONFORK=19 MADV_COLD=20 "
        "MADV_PAGEOUT=21 "
        "MADV_POPULATE_READ=22 MADV_POPULATE_WRITE=23 MADV_DONTNEED_LOCKED=24 MADV_COLLAPSE=25"
    )
)
_RWF = bits(_numbers("RWF_HIPRI=1 RWF_DSYNC=2 RWF_SYNC=4 RWF_NOWAIT=8 RWF_APPEND=0x10"))
_SPLICE = bits(_numbers("SPLICE_F_MOVE=1 SPLICE_F_NONBLOCK=2 SPLICE_F_MORE=4 SPLICE_F_GIFT=8"))
_FALLOCATE = bits(
    _numbers(
        "FALLOC_FL_KEEP_SIZE=1 FALLOC_FL_PUNCH_HOLE=2 FALLOC_FL_COLLAPSE_RANGE=8 "
        "FALLOC_FL_ZERO_RANGE=0x10 "
        "FALLOC_FL_INSERT_RANGE=0x20 FALLOC_FL_UNSHARE_RANGE=0x40"
    )
)
_SYNC_RANGE = bits(
    _numbers("SYNC_FILE_RANGE_WAIT_BEFORE=1 SYNC_FILE_RANGE_WRITE=2 SYNC_FILE_RANGE_WAIT_AFTER=4"),
)
_UMOUNT = bits(_numbers("MNT_FORCE=1 MNT_DETACH=2 MNT_EXPIRE=4 UMOUNT_NOFOLLOW=8"))
# mount.h.
_MOUNT = bits(
    _numbers(
        "MS_RDONLY=1 MS_NOSUID=2 MS_NODEV=4 MS_NOEXEC=8 MS_SYNCHRONOUS=0x10 MS_REMOUNT=0x20 "
        "MS_MANDLOCK=0x40 MS_DIRSYNC=0x80 "
        "MS_NOSYMFOLLOW=0x100 MS_NOATIME=0x400 MS_NODIRATIME=0x800 MS_BIND=0x1000 MS_MOVE=0x2000 "
        "MS_REC=0x4000 "
        "MS_SILENT=0x8000 MS_UNBINDABLE=0x20000 MS_PRIVATE=0x40000 MS_SLAVE=0x80000 "
        "MS_SHARED=0x100000 MS_RELATIME=0x200000 "
        "MS_STRICTATIME=0x1000000 MS_LAZYTIME=0x2000000"
    )
)
# ipc.h, msg.h, random.h, io_uring.h.
_MSGFLG = bits(
    _numbers("IPC_NOWAIT=0o4000 MSG_NOERROR=0o10000 MSG_EXCEPT=0o20000 MSG_COPY=0o40000")
)
_RANDOM = bits(_numbers("GRND_NONBLOCK=1 GRND_RANDOM=2 GRND_INSECURE=4"))
_URING = bits(
    _numbers(
        "IORING_ENTER_GETEVENTS=1 IORING_ENTER_SQ_WAKEUP=2 IORING_ENTER_SQ_WAIT=4 "
        "IORING_ENTER_EXT_ARG=8 "
        "IORING_ENTER_REGISTERED_RING=0x10 IORING_ENTER_ABS_TIMER=0x20 "
        "IORING_ENTER_EXT_ARG_REG=0x40"
    )
)

_TABLE: dict[str, Naming] = {
    "accept4.flags": _SOCK,
    "clock_nanosleep.which_clock clock_settime.which_clock futex_wait.clockid "
    "futex_waitv.clockid": clock,
    "clock_nanosleep.flags": bits(_TIMER),
    "clone.clone_flags": bits(_CLONE, SIGNALS, 0xFF),
    "fallocate.mode": _FALLOCATE,
    "fcntl.cmd fcntl64.cmd": choice(_FCNTL),
    "flock.cmd": _FLOCK,
    "futex.op": _FUTEX,
    "futex.val3": choice({0xFFFFFFFF: "FUTEX_BITSET_MATCH_ANY"}),
    "ioctl.cmd": ioctl_command,
    "getrandom.flags": _RANDOM,
    "io_uring_enter.flags": _URING,
    "madvise.behavior": _ADVICE,
    "mmap.prot mmap2.prot mprotect.prot": _PROT,
    "mmap.flags mmap2.flags": _MAP,
    "mount.flags": _MOUNT,
    "msgrcv.msgflg msgsnd.msgflg": _MSGFLG,
    "newfstatat.flag fstatat64.flag unlinkat.flag linkat.flags statx.flags fchownat.flag": bits(
        _AT
    ),
    "preadv2.flags pwritev2.flags": _RWF,
    "recvfrom.flags recvmsg.flags recvmmsg.flags recv.flags sendto.flags sendmsg.flags "
    "sendmmsg.flags send.flags": bits(_MSG),
    "splice.flags vmsplice.flags tee.flags": _SPLICE,
    "sync_file_range.flags": _SYNC_RANGE,
    "umount.flags": _UMOUNT,
    "wait4.options waitpid.options": _WAIT4,
    "waitid.options": _WAIT,
    "waitid.which": _ID,
}
NAMES: dict[str, Naming] = {
    argument: naming for arguments, naming in _TABLE.items() for argument in arguments.split()
}

# How the names of architectures in uname(2) begin.
_X86, _POWERPC = ("x86", "i386", "i486", "i586", "i686"), "ppc"
# These number some values otherwise: what has no table here stays a number. All architectures share
# the commands of fcntl(2) but those for owners, signals and the older locks.
_UNLIKE = ("mips", "sparc", "alpha", "parisc")
_SHARED = choice({number: name for number, name in _FCNTL.items() if not 5 <= number <= 14})
_OF_UNLIKE: dict[str, Naming] = {
    "accept4.flags": hex,
    "fcntl.cmd": _SHARED,
    "fcntl64.cmd": _SHARED,
    "mmap.flags": hex,
    "mmap2.flags": hex,
}


def naming(argument: str, architecture: str = "x86_64") -> Naming | None:
    """How the values of an argument (`mmap.flags`) are named; None for one that has no names."""
    known = NAMES.get(argument)
    if known is ioctl_command:
        return partial(ioctl_command, architecture=architecture)
    if argument in _OF_UNLIKE and architecture.startswith(_UNLIKE):
        return _OF_UNLIKE[argument]
    if known is _MAP and not architecture.startswith(_X86):
        return _MAP_POWERPC if architecture.startswith(_POWERPC) else _MAP_GENERIC
    return known
