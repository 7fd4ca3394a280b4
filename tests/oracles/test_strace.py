"""What strace(1) says of a blocked call, and what we say of it without stopping anybody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procmirror.stack.syscalls import SystemCall, lines
from tests.harness import until
from tests.live import machine, of
from tests.stack.blocked import descendants, program, started

# Each case: strace's words at the entry of the call, and ours with its values in their places.
CASES = {
    "nanosleep": (
        r"nanosleep\(\{tv_sec=(300), tv_nsec=(5)000\}, ",
        "nanosleep(rqtp={0}.00000{1} s, rmtp=NULL)",
    ),
    "clock_nanosleep": (
        r"clock_nanosleep\((CLOCK_MONOTONIC), (TIMER_ABSTIME), \{tv_sec=(\d+), tv_nsec=\d+\}, ",
        "clock_nanosleep(which_clock={0}, flags={1}, rqtp=until {2}",
    ),
    "read": (r"read\((3)<(pipe:\[\d+\])>, ", "read(fd={0}<{1}>, buf=0x"),
    "write": (
        r'write\((4)<(pipe:\[\d+\])>, "quote \\" and \\33\[31m red\\n and more "\.\.\., (60)',
        'write(fd={0}<{1}>, buf="quote \\" and \\x1b[31m red\\n and more "…, count={2})',
    ),
    "accept": (
        r"accept\((3)<TCP:\[(127\.0\.0\.1:\d+)\]>, NULL, NULL",
        "accept(fd={0}<tcp LISTEN {1}>, upeer_sockaddr=NULL, ",
    ),
    "accept4": (
        r"accept4\((3)<TCPv6:\[(\[::1\]:\d+)\]>, ",
        "accept4(fd={0}<tcp6 LISTEN {1}>, upeer_sockaddr=0x",
    ),
    "accept_unix": (
        r'accept\((3)<UNIX(?:-STREAM)?:\[(\d+),"(.*?/socket)"\]>, NULL, NULL',
        "accept(fd={0}<unix stream LISTEN {2} inode {1}>, upeer_sockaddr=NULL, upeer_addrlen=NULL)",
    ),
    "connect": (
        (
            r"connect\((5)<UNIX(?:-STREAM)?:\[(\d+)\]>, "
            r'\{sa_family=AF_UNIX, sun_path="(.*?/full)"\}, (110)'
        ),
        'connect(fd={0}<unix stream inode {1}>, uservaddr="{2}", addrlen={3})',
    ),
    "recvfrom": (
        r"recvfrom\((3)<UDP:\[(127\.0\.0\.1:\d+)\]>, ",
        "recvfrom(fd={0}<udp UNCONNECTED {1}>, ubuf=0x",
    ),
    "poll": (
        (
            r"poll\(\[\{fd=(3<pipe:\[\d+\]>), events=(POLLIN\|POLLPRI)\}, \{fd=-1\}, "
            r"\{fd=(6<pipe:\[\d+\]>), events=POLLOUT\}\], 3, 300000"
        ),
        "nfds=3, timeout_msecs=300000 ms)\n    {1} of {0}\n    POLLOUT of {2}\n",
    ),
    "select": (
        (
            r"select\(8, \[(3<pipe:\[\d+\]>)\], \[(6<pipe:\[\d+\]>)\], NULL, "
            r"\{tv_sec=300, tv_usec=250000\}"
        ),
        "exp=NULL, tvp=300.25 s)\n    read of {0}\n    write of {1}\n",
    ),
    "epoll_wait": (
        r"epoll_wait\((3<anon_inode:\[eventpoll\]>), ",
        "epoll_wait(epfd={0}, events=0x",
    ),
    "futex": (
        r"futex\((0x[0-9a-f]+), FUTEX_WAIT_PRIVATE, 7, \{tv_sec=300, tv_nsec=0\}",
        (
            "futex(uaddr={0}, op=FUTEX_WAIT|FUTEX_PRIVATE_FLAG, val=7, utime=300 s)\n"
            "    the futex word is 0x7\n"
        ),
    ),
    "mutex": (
        r"futex\((0x[0-9a-f]+), FUTEX_WAIT_PRIVATE, 2, NULL",
        "futex(uaddr={0}, op=FUTEX_WAIT|FUTEX_PRIVATE_FLAG, val=2, utime=NULL)",
    ),
    "join": (
        (
            r"futex\((0x[0-9a-f]+), FUTEX_WAIT_BITSET\|FUTEX_CLOCK_REALTIME, (\d+), NULL, "
            r"FUTEX_BITSET_MATCH_ANY"
        ),
        "val={1}, utime=NULL, val3=FUTEX_BITSET_MATCH_ANY)\n",
    ),
    "wait4": (
        r"wait4\((-1), ",
        "wait4(upid={0} (any child), stat_addr=NULL, options=WUNTRACED, ru=NULL)\n    children: ",
    ),
    "waitid": (r"waitid\((P_ALL), 0, ", "waitid(which={0}, upid=0, infop=0x"),
    "flock": (r"flock\((4)<(.*?/lock)>, (LOCK_EX)", "flock(fd={0}<{1}>, cmd={2})"),
    "fcntl": (
        (
            r"fcntl\((4)<(.*?/range)>, (F_OFD_SETLKW), "
            r"\{l_type=(F_WRLCK), l_whence=(SEEK_SET), l_start=(10), l_len=(20)\}"
        ),
        "fcntl(fd={0}<{1}>, cmd={2}, arg={{{3} from {4} +{5}, {6} bytes}})",
    ),
    "openat": (
        r'openat\(AT_FDCWD<(.*?)>, "(.*?)/fifo \\"of\\" \\33 test", (O_WRONLY\|O_CLOEXEC)',
        'openat(dfd=AT_FDCWD<{0}>, filename="{1}/fifo \\"of\\" \\x1b test", flags={2})',
    ),
    "semop": (
        (
            r"semtimedop\((\d+), \[\{sem_num=1, sem_op=0, sem_flg=0\}, "
            r"\{sem_num=0, sem_op=-1, sem_flg=SEM_UNDO\}\], 2, \{tv_sec=30, tv_nsec=0\}"
        ),
        "nsops=2, timeout=30 s)\n    semaphore 1: until it is 0\n    semaphore 0: -1\n",
    ),
    "rt_sigtimedwait": (
        r"rt_sigtimedwait\(\[(USR1) (CHLD)\], NULL, NULL, 8",
        "rt_sigtimedwait(uthese={{SIG{0}, SIG{1}}}, uinfo=NULL, uts=NULL",
    ),
    "rt_sigsuspend": (
        r"rt_sigsuspend\(~\[(ALRM) (TERM) RTMIN RT_1\], 8",
        "rt_sigsuspend(unewset=~{{SIG{0}, SIG{1}, SIG32, SIG33}}",
    ),
    "pause": (r"pause\(", "pause()\n"),
    # strace 7 tells the counter instead of the name.
    "eventfd": (
        r"read\((3)<(?:anon_inode:\[eventfd\]|\{eventfd-count=0, .*\})>, ",
        "read(fd={0}<anon_inode:[eventfd]>, buf=0x",
    ),
    "vfork": (r"vfork\(", "vfork()\n"),
    "nanosleep32": (
        r"nanosleep\(\{tv_sec=(300), tv_nsec=(5)000\}, ",
        "nanosleep(rqtp={0}.00000{1} s, rmtp=NULL) [i386]\n",
    ),
    "socketcall": (
        r"accept\((3)<TCP:\[(0\.0\.0\.0:\d+)\]>, NULL, NULL",
        "accept(fd={0}<tcp LISTEN {1}>, upeer_sockaddr=NULL, ",
    ),
    "ipc": (
        r"semop\((\d+), \[\{sem_num=0, sem_op=-1, sem_flg=0\}\], 1",
        "semop(semid={0}, tsops=0x",
    ),
    "poll32": (
        r"poll\(\[\{fd=(3<pipe:\[\d+\]>), events=(POLLIN)\}\], 1, 300000",
        "nfds=1, timeout_msecs=300000 ms) [i386]\n    {1} of {0}\n",
    ),
}
NARROW = {"nanosleep32", "socketcall", "ipc", "poll32"}


def text(call: SystemCall) -> str:
    return "".join(f"{line}\n" for line in lines(call, machine().architecture))


@pytest.mark.parametrize("case", CASES)
def test_strace_says_the_same(case: str, tmp_path: Path) -> None:
    pattern, template = CASES[case]
    trace = tmp_path / "trace"
    compiled = program("blocked32" if case in NARROW else "blocked")
    (tmp_path / "d").mkdir()
    with started(
        ["strace", "-f", "-yy", "-v", "-s", "32", "-o", trace, compiled, case, tmp_path / "d"]
    ) as strace:

        def last() -> re.Match[str] | None:
            said = trace.read_text(encoding="utf-8", errors="replace").replace(
                " <unfinished ...>", ""
            )
            # strace 7 writes the comma with the argument behind it.
            begun = pattern.removesuffix(", ")
            return re.search(rf"^{target} +{begun}(?:, )?$", said, re.MULTILINE)

        target = descendants(strace.pid)[0]
        theirs = until(last)
        wanted = template.format(*theirs.groups())
        until(lambda: wanted in text(of("PID/syscall", f"/proc/{target}")) or None)
        assert wanted in text(of("PID/syscall", f"/proc/{target}/task/{target}"))


@pytest.mark.parametrize(
    ("case", "note"),
    [
        ("mutex", r"looks like a mutex of glibc held by thread (\d+) \(blocked\)"),
        ("join", r"looks like pthread_join of thread (\d+) \(blocked\)"),
        ("waitid", r"child: (\d+) \(blocked\)"),
    ],
)
def test_the_thread_or_child_that_is_waited_for_is_named(
    case: str, note: str, tmp_path: Path
) -> None:
    with started([program("blocked"), case, tmp_path]) as process:

        def noted() -> re.Match[str] | None:
            return re.search(note, text(of("PID/syscall", f"/proc/{process.pid}")))

        other = int(until(noted)[1])
        threads = {int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir()} - {
            process.pid
        }
        assert other in (threads or descendants(process.pid))


def test_what_an_epoll_watches_is_told_with_its_sockets(tmp_path: Path) -> None:
    with started([program("blocked"), "epoll_wait", tmp_path]) as process:

        def watching() -> SystemCall | None:
            call: SystemCall = of("PID/syscall", f"/proc/{process.pid}")
            return call if call.name == "epoll_wait" else None

        assert sorted(re.sub(r"\d{3,}", "N", note) for note in until(watching).notes) == [
            "EPOLLIN|EPOLLERR|EPOLLHUP|EPOLLET of 4<pipe:[N]>",
            "EPOLLIN|EPOLLERR|EPOLLHUP|EPOLLRDHUP of 6<tcp LISTEN N.0.0.1:N>",
        ]


@pytest.mark.root
def test_a_32_bit_call_of_a_64_bit_program_is_told_by_the_kernel_stack(tmp_path: Path) -> None:
    with started([program("blocked"), "int80", tmp_path]) as process:
        call = until(
            lambda: (
                found
                if (found := of("PID/syscall", f"/proc/{process.pid}")).state == "system call"
                else None
            )
        )
        assert (call.name, call.abi) == ("pause", "i386")


def test_a_task_on_a_cpu_is_running(tmp_path: Path) -> None:
    with started([program("blocked"), "spin", tmp_path]) as process:
        assert text(
            until(
                lambda: (
                    found
                    if (found := of("PID/syscall", f"/proc/{process.pid}")).state == "running"
                    else None
                )
            )
        ) == ("running (on a CPU or about to be)\n")


@pytest.mark.root
def test_a_kernel_thread_is_in_no_system_call() -> None:
    assert Path("/proc/2/syscall").read_bytes() == b"0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n"
    assert of("PID/syscall", "/proc/2").state == "no user context"
