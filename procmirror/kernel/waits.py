"""What a blocked task waits for, told by the kernel function in which it blocks.

The phrases complete "waits for …". Names of functions are no interface: the table holds those of
the kernels from about 2.6.32 to 6.18 (each taken from the source of the function, whose directory
stands above its group), and a function that it does not know gives no phrase rather than a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_GROUPS: dict[str, str] = {
    # kernel/exit.c, kernel/fork.c, kernel/signal.c, kernel/ptrace.c, kernel/pid_namespace.c,
    # fs/coredump.c
    "do_wait do_wait4 kernel_wait4 kernel_waitid wait_consider_task": "a child process",
    "wait_for_vfork_done kernel_clone _do_fork do_fork": "its vfork child to exec or exit",
    "do_signal_stop": "SIGCONT (it is stopped)",
    "ptrace_stop ptrace_signal ptrace_do_notify": "its tracer (ptrace)",
    "do_sigtimedwait sigsuspend sys_rt_sigsuspend __do_sys_pause __x64_sys_pause "
    "__ia32_sys_pause sys_pause": "a signal",
    "zap_pid_ns_processes": "the last processes of its PID namespace",
    "coredump_wait exit_mm coredump_task_exit do_coredump vfs_coredump": "a core dump",
    "do_freezer_trap __refrigerator": "the thaw of its cgroup or of the system (it is frozen)",
    # kernel/futex
    "futex_do_wait futex_wait_queue futex_wait_queue_me __futex_wait futex_wait "
    "futex_wait_multiple": ("a futex (a lock, condition or thread of its program)"),
    "futex_lock_pi futex_wait_requeue_pi rt_mutex_wait_proxy_lock": (
        "a futex with priority inheritance"
    ),
    # kernel/time, kernel/sched
    "hrtimer_nanosleep hrtimer_nanosleep_restart do_nanosleep alarm_timer_nsleep "
    "alarmtimer_do_nsleep common_nsleep": ("the end of its sleep"),
    "msleep msleep_interruptible usleep_range_state usleep_range": "a pause of a driver",
    # fs/select.c, fs/eventpoll.c, fs/aio.c, io_uring
    "do_poll do_sys_poll": "an event on a descriptor (poll)",
    "do_select core_sys_select": "an event on a descriptor (select)",
    "ep_poll do_epoll_wait": "an event on a descriptor (epoll)",
    "read_events do_io_getevents": "asynchronous I/O",
    "io_cqring_wait": "a completion of io_uring",
    "io_wq_worker": "work of io_uring",
    "io_sq_thread": "a submission to its io_uring",
    # fs/pipe.c
    "anon_pipe_read fifo_pipe_read pipe_read pipe_wait pipe_wait_readable": "data in a pipe",
    "anon_pipe_write fifo_pipe_write pipe_write pipe_wait_writable": "room in a pipe",
    "wait_for_partner fifo_open": "the other end of a FIFO to be opened",
    # net
    "inet_csk_accept inet_csk_wait_for_connect unix_accept vsock_accept": "a connection to accept",
    "inet_stream_connect __inet_stream_connect inet_wait_for_connect sk_stream_wait_connect "
    "unix_stream_connect "
    "unix_wait_for_peer vsock_connect": "the peer of a socket to answer or make room",
    "unix_stream_data_wait unix_stream_read_generic "
    "sk_wait_data "
    "tcp_recvmsg tcp_recvmsg_locked vsock_connectible_wait_data packet_recvmsg tcp_data_wait": (
        "data on a socket"
    ),
    "sock_alloc_send_pskb sk_stream_wait_memory tcp_sendmsg_locked sock_wait_for_wmem": (
        "room in a socket's send buffer"
    ),
    # drivers/tty, drivers/input, kernel/printk
    "n_tty_read": "input from a terminal",
    "n_tty_write tty_wait_until_sent": "a terminal to take output",
    "do_syslog devkmsg_read syslog_print": "a message of the kernel log",
    "evdev_read": "an input event",
    # fs: descriptors that are counters, notifications or locks
    "inotify_read fanotify_read": "a change in the file system",
    "eventfd_read eventfd_ctx_read": "an eventfd to be signalled",
    "timerfd_read timerfd_read_iter": "a timer descriptor to expire",
    "signalfd_read signalfd_read_iter signalfd_dequeue": "a signal (signalfd)",
    "userfaultfd_read userfaultfd_read_iter userfaultfd_ctx_read": (
        "a page fault to handle (userfaultfd)"
    ),
    "handle_userfault": "the handler of its page fault (userfaultfd)",
    "flock_lock_inode_wait flock_lock_file_wait posix_lock_inode_wait posix_lock_file_wait "
    "locks_lock_inode_wait "
    "fcntl_setlk fcntl_setlk64 do_lock_file_wait do_flock": "a file lock",
    "__break_lease": "a file lease to be given up",
    # ipc
    "do_semtimedop __do_semtimedop": "a System V semaphore",
    "do_msgrcv": "a System V message",
    "do_msgsnd": "room in a System V message queue",
    "wq_sleep do_mq_timedreceive do_mq_timedsend": "a POSIX message queue",
    # kernel/locking
    "__mutex_lock __mutex_lock_slowpath mutex_lock mutex_lock_interruptible "
    "mutex_lock_killable": "a kernel lock (mutex)",
    "__mutex_lock_killable_slowpath __mutex_lock_interruptible_slowpath": "a kernel lock (mutex)",
    "rwsem_down_read_slowpath rwsem_down_write_slowpath rwsem_down_read_failed "
    "rwsem_down_write_failed "
    "rwsem_down_write_failed_killable call_rwsem_down_read_failed call_rwsem_down_write_failed "
    "percpu_rwsem_wait "
    "__percpu_down_read percpu_down_write": "a kernel lock (read-write semaphore)",
    "__down __down_interruptible __down_killable __down_timeout __down_common": (
        "a kernel lock (semaphore)"
    ),
    "rt_mutex_slowlock rt_mutex_slowlock_block __rt_mutex_slowlock": "a kernel lock (rt_mutex)",
    "synchronize_rcu __wait_rcu_gp wait_rcu_gp synchronize_rcu_expedited synchronize_srcu": (
        "an RCU grace period"
    ),
    # mm, block, fs
    "folio_wait_bit_common folio_wait_bit folio_wait_writeback __folio_lock wait_on_page_bit "
    "wait_on_page_bit_common "
    "__lock_page __lock_page_killable lock_page_killable sleep_on_page filemap_update_page": (
        "a page of a file (disk)"
    ),
    "blk_io_schedule submit_bio_wait blk_mq_get_tag blkdev_issue_flush blk_execute_rq "
    "wait_on_buffer __wait_on_buffer "
    "iomap_dio_rw __iomap_dio_rw __blockdev_direct_IO get_request": "a disk",
    "jbd2_log_wait_commit jbd2_journal_commit_transaction wait_transaction_locked "
    "add_transaction_credits "
    "start_this_handle xfs_log_force xlog_wait_on_iclog xlog_grant_head_wait": (
        "the journal of a file system"
    ),
    "balance_dirty_pages wb_wait_for_completion wait_sb_inodes": "written pages to reach the disk",
    "throttle_direct_reclaim shrink_inactive_list reclaim_throttle wait_iff_congested "
    "congestion_wait": "memory to be freed",
    "mem_cgroup_handle_over_high __mem_cgroup_handle_over_high mem_cgroup_oom_synchronize": (
        "memory of its cgroup to be freed"
    ),
    "__wait_on_freeing_inode": "an inode to be freed",
    # fs/fuse, fs/nfs, net/sunrpc, fs/autofs, kernel/seccomp.c
    "request_wait_answer fuse_request_send fuse_get_req": "a FUSE daemon to answer",
    "fuse_dev_do_read": "a request to its FUSE daemon",
    "autofs_wait autofs4_wait": "the automounter",
    "seccomp_do_user_notification": "its seccomp supervisor",
    "recv_wait_event seccomp_notify_recv": "a notification of seccomp",
    "d_alloc_parallel": "another lookup of the same name",
    "fuse_lock_inode": "another request for the same directory of a FUSE file system",
    # drivers
    "tun_do_read tun_ring_recv": "a packet on a tun device",
    "wait_for_random_bytes random_read": "the random number generator",
    "dma_fence_default_wait drm_syncobj_array_wait_timeout": "a graphics processor",
    "kvm_vcpu_block kvm_vcpu_halt": "an interrupt of its virtual CPU",
    "perf_read ring_buffer_wait tracing_wait_pipe": "trace data",
    # threads of the kernel, in the function where they have nothing to do
    "worker_thread rescuer_thread kthread_worker_fn kthreadd smpboot_thread_fn kswapd "
    "kswapd_try_to_sleep kcompactd "
    "rcu_gp_fqs_loop rcu_gp_kthread rcu_tasks_kthread rcu_tasks_one_gp rcu_nocb_gp_kthread "
    "irq_thread kjournald2 "
    "devtmpfs_work_loop kauditd_thread hwrng_fillfn oom_reaper ksm_scan_thread khugepaged "
    "watchdog kdamond_fn "
    "loop_thread scsi_error_handler vhost_worker vhost_task_fn bdi_writeback_thread "
    "nfs4_callback_svc nfs41_callback_svc": ("work (a kernel thread)"),
}
WAITS: dict[str, str] = {
    name: phrase for names, phrase in _GROUPS.items() for name in names.split()
}

# Whole families: the function's name goes on in many ways.
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("rpc_", "an NFS server"),
    ("nfs_", "an NFS server"),
    ("nfs4_", "an NFS server"),
)
# Told only when no caller says more.
_VAGUE_GROUPS: dict[str, str] = {
    "__skb_wait_for_more_packets": "data on a socket",
    "__skb_recv_datagram": "data on a socket",
    "poll_schedule_timeout": "an event on a descriptor (poll or select)",
    "io_schedule": "a disk or other block device",
    "io_schedule_timeout": "a disk or other block device",
    "wait_woken": "data or room on a socket or terminal",
    "wait_for_completion": "another part of the kernel",
    # Of futex_lock_pi and of locks of the kernel; of eventfd, timerfd and the like.
    "rt_mutex_schedule": "a lock with priority inheritance",
    "do_wait_intr do_wait_intr_irq": "an eventfd, a timer descriptor or the like",
    "bit_wait": "another part of the kernel",
    "bit_wait_io": "a disk or other block device",
}
_VAGUE: dict[str, str] = {
    name: phrase for names, phrase in _VAGUE_GROUPS.items() for name in names.split()
}
# Where a task stands that goes on with a call after a signal: restart_syscall(2) and what it calls
# leave no frame of their own (tail calls).
_RESUMED = "the rest of a call that a signal interrupted, such as a sleep"
_ENTRIES = frozenset(
    (
        *("do_syscall_64", "x64_sys_call", "__do_fast_syscall_32", "do_syscall_32_irqs_on"),
        *("do_int80_syscall_32", "do_int80_emulation", "ia32_sys_call", "invoke_syscall"),
        *("el0_svc_common", "do_el0_svc", "__x64_sys_restart_syscall", "__do_sys_restart_syscall"),
        *("__arm64_sys_restart_syscall", "sys_restart_syscall"),
    )
)
# A compiler's copy of a function has a name of its own: `do_poll.constprop.0`, `n_tty_read.part.0`,
# `f.llvm.123`.
_COPY = re.compile(r"\.(?:constprop|isra|part|cold|llvm|lto_priv)\b.*")


def phrase(symbol: str) -> str | None:
    """What a task blocked in this function waits for, if the function tells."""
    name = _COPY.sub("", symbol)
    return _telling(name) or _VAGUE.get(name) or _resumed([name])


def reason(symbols: Iterable[str]) -> str | None:
    """What a task with these kernel frames waits for, the innermost function first.

    The frames of the scheduler are in no table, so they are passed over; a vague phrase gives way
    to a telling one of a caller.
    """
    names = [_COPY.sub("", symbol) for symbol in symbols]
    return (
        next(filter(None, map(_telling, names)), None)
        or next(filter(None, map(_VAGUE.get, names)), None)
        or _resumed(names)
    )


def _resumed(names: Sequence[str]) -> str | None:
    """The phrase where no function stands above the entry of the call; None elsewhere."""
    return _RESUMED if names and names[0] in _ENTRIES else None


def _telling(name: str) -> str | None:
    return WAITS.get(name) or next(
        (words for start, words in _FAMILIES if name.startswith(start)), None
    )
