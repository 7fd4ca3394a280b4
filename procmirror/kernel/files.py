"""Names for the numbers that /proc/PID/fdinfo prints, from the uapi headers named below.

Open_flags has those of open(2).
"""

from __future__ import annotations

# include/uapi/linux/timerfd.h
TIMERFD = {1: "TFD_TIMER_ABSTIME", 2: "TFD_TIMER_CANCEL_ON_SET"}

# include/uapi/linux/time.h
CLOCKS = {
    0: "CLOCK_REALTIME",
    1: "CLOCK_MONOTONIC",
    7: "CLOCK_BOOTTIME",
    8: "CLOCK_REALTIME_ALARM",
    9: "CLOCK_BOOTTIME_ALARM",
}

# include/uapi/linux/eventpoll.h
EPOLL = {
    0x1: "EPOLLIN",
    0x2: "EPOLLPRI",
    0x4: "EPOLLOUT",
    0x8: "EPOLLERR",
    0x10: "EPOLLHUP",
    0x20: "EPOLLNVAL",
    0x40: "EPOLLRDNORM",
    0x80: "EPOLLRDBAND",
    0x100: "EPOLLWRNORM",
    0x200: "EPOLLWRBAND",
    0x400: "EPOLLMSG",
    0x2000: "EPOLLRDHUP",
    1 << 28: "EPOLLEXCLUSIVE",
    1 << 29: "EPOLLWAKEUP",
    1 << 30: "EPOLLONESHOT",
    1 << 31: "EPOLLET",
}

# include/uapi/linux/userfaultfd.h: what the program has asked for, and commands by their number.
# The last feature is the kernel's own mark (fs/userfaultfd.c): UFFDIO_API has been called.
_USERFAULTFD = (
    "PAGEFAULT_FLAG_WP EVENT_FORK EVENT_REMAP EVENT_REMOVE MISSING_HUGETLBFS MISSING_SHMEM "
    "EVENT_UNMAP SIGBUS THREAD_ID MINOR_HUGETLBFS MINOR_SHMEM EXACT_ADDRESS WP_HUGETLBFS_SHMEM "
    "WP_UNPOPULATED POISON WP_ASYNC MOVE"
)
_USERFAULTFD_COMMANDS = "REGISTER UNREGISTER WAKE COPY ZEROPAGE MOVE WRITEPROTECT CONTINUE POISON"
USERFAULTFD = {
    1 << bit: f"UFFD_FEATURE_{name}" for bit, name in enumerate(_USERFAULTFD.split())
} | {1 << 31: "UFFD_FEATURE_INITIALIZED"}
USERFAULTFD_COMMANDS = {
    1 << bit: f"UFFDIO_{name}" for bit, name in enumerate(_USERFAULTFD_COMMANDS.split())
} | {1 << 0x3F: "UFFDIO_API"}

_EVENTS = {
    0x1: "ACCESS",
    0x2: "MODIFY",
    0x4: "ATTRIB",
    0x8: "CLOSE_WRITE",
    0x10: "CLOSE_NOWRITE",
    0x20: "OPEN",
    0x40: "MOVED_FROM",
    0x80: "MOVED_TO",
    0x100: "CREATE",
    0x200: "DELETE",
    0x400: "DELETE_SELF",
    0x800: "MOVE_SELF",
}

# include/uapi/linux/inotify.h
INOTIFY = {bit: f"IN_{name}" for bit, name in _EVENTS.items()} | {
    0x2000: "IN_UNMOUNT",
    0x4000: "IN_Q_OVERFLOW",
    0x8000: "IN_IGNORED",
    1 << 24: "IN_ONLYDIR",
    1 << 25: "IN_DONT_FOLLOW",
    1 << 26: "IN_EXCL_UNLINK",
    1 << 28: "IN_MASK_CREATE",
    1 << 29: "IN_MASK_ADD",
    1 << 30: "IN_ISDIR",
    1 << 31: "IN_ONESHOT",
}

# include/uapi/linux/fanotify.h: events, flags of the group, flags of a mark
FANOTIFY = {bit: f"FAN_{name}" for bit, name in _EVENTS.items()} | {
    0x1000: "FAN_OPEN_EXEC",
    0x4000: "FAN_Q_OVERFLOW",
    0x8000: "FAN_FS_ERROR",
    0x10000: "FAN_OPEN_PERM",
    0x20000: "FAN_ACCESS_PERM",
    0x40000: "FAN_OPEN_EXEC_PERM",
    0x100000: "FAN_PRE_ACCESS",
    0x1000000: "FAN_MNT_ATTACH",
    0x2000000: "FAN_MNT_DETACH",
    0x8000000: "FAN_EVENT_ON_CHILD",
    0x10000000: "FAN_RENAME",
    0x40000000: "FAN_ONDIR",
}
FANOTIFY_GROUP = {
    0x1: "FAN_CLOEXEC",
    0x2: "FAN_NONBLOCK",
    0x4: "FAN_CLASS_CONTENT",
    0x8: "FAN_CLASS_PRE_CONTENT",
    0x10: "FAN_UNLIMITED_QUEUE",
    0x20: "FAN_UNLIMITED_MARKS",
    0x40: "FAN_ENABLE_AUDIT",
    0x80: "FAN_REPORT_PIDFD",
    0x100: "FAN_REPORT_TID",
    0x200: "FAN_REPORT_FID",
    0x400: "FAN_REPORT_DIR_FID",
    0x800: "FAN_REPORT_NAME",
    0x1000: "FAN_REPORT_TARGET_FID",
    0x2000: "FAN_REPORT_FD_ERROR",
    0x4000: "FAN_REPORT_MNT",
}
FANOTIFY_MARK = {
    0x1: "FAN_MARK_ADD",
    0x2: "FAN_MARK_REMOVE",
    0x4: "FAN_MARK_DONT_FOLLOW",
    0x8: "FAN_MARK_ONLYDIR",
    0x10: "FAN_MARK_MOUNT",
    0x20: "FAN_MARK_IGNORED_MASK",
    0x40: "FAN_MARK_IGNORED_SURV_MODIFY",
    0x80: "FAN_MARK_FLUSH",
    0x100: "FAN_MARK_FILESYSTEM",
    0x200: "FAN_MARK_EVICTABLE",
    0x400: "FAN_MARK_IGNORE",
}

# enum bpf_map_type and enum bpf_prog_type in include/uapi/linux/bpf.h, in lower case as bpftool(8)
# writes them
_BPF_MAPS = (
    "unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace "
    "cgroup_array lru_hash lru_percpu_hash "
    "lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage "
    "reuseport_sockarray "
    "percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage "
    "task_storage bloom_filter "
    "user_ringbuf cgrp_storage arena insn_array rhash"
)
_BPF_PROGRAMS = (
    "unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb "
    "cgroup_sock lwt_in lwt_out lwt_xmit "
    "sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr lwt_seg6local "
    "lirc_mode2 sk_reuseport flow_dissector "
    "cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm sk_lookup "
    "syscall netfilter"
)
BPF_MAPS = dict(enumerate(_BPF_MAPS.split()))
BPF_PROGRAMS = dict(enumerate(_BPF_PROGRAMS.split()))


def device(number: int) -> str:
    """A device number as the kernel keeps it (include/linux/kdev_t.h): 20 bits for the minor."""
    return f"{number >> 20}:{number & 0xFFFFF}"
