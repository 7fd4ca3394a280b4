"""The phrases for what a task waits for: of one function, and of a stack of them."""

from __future__ import annotations

import re

import pytest

from procmirror.decoding.view import Machine
from procmirror.kernel.waits import WAITS, phrase, reason
from procmirror.views import waits
from procmirror.views.pid import waits as chain

# Of wchan, in 442 threads that slept on a machine with Linux 6.18: those of the kernel, of servers
# and interpreters, and of a program for each call that may block.
SEEN = """
__do_sys_pause __do_semtimedop __skb_wait_for_more_packets anon_pipe_read anon_pipe_write
devtmpfs_work_loop do_epoll_wait do_msgrcv do_msgsnd do_sigtimedwait.isra.0 do_wait do_wait_intr_irq
fcntl_setlk futex_do_wait futex_wait_multiple hrtimer_nanosleep hwrng_fillfn inet_csk_accept
io_cqring_wait irq_thread kauditd_thread kcompactd kdamond_fn kernel_clone khugepaged ksm_scan_thread
kswapd kthread_worker_fn kthreadd locks_lock_inode_wait oom_reaper pipe_wait_readable
poll_schedule_timeout.constprop.0 rcu_gp_kthread rcu_tasks_one_gp read_events recv_wait_event
rescuer_thread rt_mutex_schedule seccomp_do_user_notification.isra.0 signalfd_read_iter
sigsuspend.isra.0 smpboot_thread_fn sock_alloc_send_pskb unix_stream_read_generic
unix_wait_for_peer wait_for_partner wait_woken watchdog worker_thread wq_sleep
"""


def test_no_function_in_which_threads_were_seen_is_without_a_phrase() -> None:
    assert [name for name in SEEN.split() if phrase(name) is None] == []


def test_a_compilers_copy_has_the_phrase_of_its_function() -> None:
    assert phrase("do_poll.constprop.0") == phrase("do_poll") == "an event on a descriptor (poll)"


def test_a_function_outside_the_table_gets_no_phrase() -> None:
    assert phrase("some_driver_wait") is None


def test_a_telling_caller_beats_a_vague_function() -> None:
    frames = [
        "__schedule",
        "schedule",
        "schedule_timeout",
        "wait_woken",
        "n_tty_read",
        "tty_read",
        "vfs_read",
    ]
    assert reason(frames) == "input from a terminal"
    assert reason(frames[:4]) == "data or room on a socket or terminal"


def test_the_innermost_of_two_telling_functions_counts() -> None:
    assert reason(["__mutex_lock.constprop.0", "anon_pipe_read"]) == "a kernel lock (mutex)"


def test_a_call_that_goes_on_after_a_signal_is_told_where_nothing_stands_above_its_entry() -> None:
    words = "the rest of a call that a signal interrupted, such as a sleep"
    assert phrase("do_syscall_64") == phrase("invoke_syscall.constprop.0") == words
    entry = ["do_syscall_64", "entry_SYSCALL_64_after_hwframe"]
    assert reason(entry) == words
    assert reason(["some_driver_wait", "vfs_read", *entry]) is None


def test_no_frames_give_no_reason() -> None:
    assert reason([]) is None


def test_a_whole_family_shares_its_phrase() -> None:
    assert reason(["rpc_wait_bit_killable", "__rpc_execute"]) == "an NFS server"


@pytest.mark.parametrize("thread", ["nfs4_callback_svc", "nfs41_callback_svc"])
def test_an_idle_thread_for_callbacks_of_nfs_waits_for_work_and_for_no_server(thread: str) -> None:
    assert reason(["svc_recv", thread, "kthread", "ret_from_fork"]) == "work (a kernel thread)"
    assert reason(["rpc_wait_bit_killable", thread, "kthread"]) == "an NFS server"


def test_the_table_holds_names_of_c_functions_only() -> None:
    assert all(re.fullmatch(r"\w+", name) for name in WAITS)


def test_that_nobody_waits_is_told_in_words() -> None:
    assert waits.text([], Machine()) == "no process that you may look at waits for another\n"


def test_no_name_makes_two_processes_of_one() -> None:
    """A process names itself, in up to fifteen bytes, and whoever makes a file names it."""
    waiting = waits.Waiting(
        pid=5,
        tid=5,
        comm="a",
        waits_for="a lock on /b, from init(1)",
        holders=[waits.Holder(7, None, "systemd(1), c"), waits.Holder(8, None, "d")],
        more_holders=0,
        complete=True,
        deadlock=False,
        depth=0,
    )
    told = "a(5) waits for a lock on /b,\\x20from init(1), from systemd(1),\\x20c(7), d(8)\n"
    assert waits.text([waiting], Machine()) == told


def test_no_name_can_end_a_line() -> None:
    """A file is named by whoever makes it, and a process names itself."""
    name = "a\ndeadlock: init(1) waits for b\x1b[2J"
    escaped = name.replace("\n", "\\n").replace("\x1b", "\\x1b")
    waiting = waits.Waiting(
        pid=5,
        tid=5,
        comm=name,
        waits_for=f"a lock on /{name}",
        holders=[waits.Holder(7, None, name)],
        more_holders=0,
        complete=True,
        deadlock=False,
        depth=1,
    )
    line = f"  {escaped}(5) waits for a lock on /{escaped}, from {escaped}(7)\n"
    assert waits.text([waiting], Machine()) == line
    root = chain.Root(7, name, "S", name)
    found = chain.Chain(
        pid=5,
        comm=name,
        deadlock=False,
        waits=[waiting],
        roots=[root],
        waited_by=[waiting],
        complete=True,
    )
    told = f"root cause: {escaped}(7)  S waits for {escaped}\n\nwaiting for {escaped}(5):\n"
    assert chain.text(found, Machine()) == line + told + line
