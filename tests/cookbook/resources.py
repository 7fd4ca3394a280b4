"""CPU, memory, time and the machine."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

from tests.cookbook.scene import Made, Scene, Scenes
from tests.harness import stat_of, until

SCENES = Scenes()


@SCENES.asked("Which of its threads burns the CPU?")
def _threads(made: Made) -> Scene:
    script = """
import threading, time
def burn():
    while time.thread_time() < 0.3:
        pass
    print(threading.get_native_id(), lazy.native_id, flush=True)
    time.sleep(600)
lazy = threading.Thread(target=time.sleep, args=(600,))
for one in (lazy, threading.Thread(target=burn)):
    one.start()"""
    pid = made.python(script)
    burning, lazy = map(int, made.said[pid].split())
    return Scene([burning, lazy, pid], first=burning, pid=pid)


@SCENES.asked("Where is it, for a flame graph?")
def _folded(made: Made) -> Scene:
    pid = made.python("""
def walk(n):
    if n:
        walk(n - 1)
    else:
        print(flush=True)
        signal.pause()
import signal
walk(2)""")
    line = r"^python\S*;.*;<module> \(\S+\);walk .*;walk .*;walk .*;[^;]*_sys_pause_\[k\] 1$"
    return Scene(lines=[line], pid=pid)


@SCENES.asked("Which of wes's processes takes the most memory?")
def _memory(made: Made) -> Scene:
    def taking(size: int, user: int | None) -> int:
        pid = made.program("perl", "-e", f"my $kept = 'x' x ({size} << 20); sleep 600", user=user)
        until(
            lambda: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) >= size << 8,
            "it does not take its memory",
        )
        return pid

    big, small, roots = taking(64, made.wes), taking(1, made.wes), taking(96, None)
    return Scene([big, small], [roots], first=big, his=[big, small])


@SCENES.asked("Where is the memory of this process?")
def _mappings(made: Made) -> Scene:
    pid = made.program("perl", "-e", "my $kept = 'x' x (64 << 20); sleep 600")
    until(
        lambda: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) >= 64 << 8,
        "it does not take its memory",
    )
    lines = [
        r"^ *RSS +PSS ",
        r"^ *[0-9.]+MiB .* \[total\]$",
        r"^ *([6-9]\d|1[0-3]\d)\.\dMiB .* rw-p",
    ]
    return Scene(pid=pid, lines=lines)


@SCENES.asked("Which processes are swapped out?")
def _swapped(made: Made) -> Scene:
    del made
    return Scene(lines=[r"\A( *\d+ +\S+ +\S+ +\S+ +\S+ +[0-9.]+[KMG]iB  .*\n)*\Z"])


@SCENES.asked("Whom does the kernel kill first when memory runs out?")
def _victim(made: Made) -> Scene:
    def adjusted(adjustment: int) -> int:
        return made.program("choom", "-n", adjustment, "--", "sleep", "600", name="sleep")

    first = adjusted(1000)
    # The line shows ten, and these come before what is not adjusted.
    middle = [adjusted(500) for _ in range(10)]
    last = made.program("sleep", "600")
    # Any number of workers of other mirrors, and whatever else runs here, may come before the
    # first of these: the line is asked of these alone.
    of_all = "/mnt/proc/[0-9]*/oom_score"
    of_these = " ".join(f"/mnt/proc/{pid}/oom_score" for pid in (last, *middle, first))
    return Scene([first], [last], his=[first], first=first, words=[(of_all, of_these)])


@SCENES.asked("What was started in the last minute?")
def _started(made: Made) -> Scene:
    def age(pid: int) -> float:
        ticks = int(stat_of(pid)[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")

    return Scene([made.program("sleep", "600")], [pid for pid in (1, os.getpid()) if age(pid) > 61])


@SCENES.asked("Was the kernel started with this option?")
def _option(made: Made) -> Scene:
    del made
    given = [
        one.partition("=")
        for one in shlex.split(Path("/proc/cmdline").read_text().partition(" -- ")[0])
    ]
    name = next(name for name, equals, _ in given if equals)
    values = [value if equals else "null" for one, equals, value in given if one == name]
    return Scene(
        exactly="".join(f"{name}={value}\n" for value in values), words=[("console", name)]
    )


@SCENES.asked("What are the sysctls with somaxconn in their names?")
def _sysctl(made: Made) -> Scene:
    del made
    value = Path("/proc/sys/net/core/somaxconn").read_text().strip()
    return Scene(lines=[rf"^net\.core\.somaxconn +{value}$"])


@SCENES.asked("Who runs with real-time priority?")
def _real_time(made: Made) -> Scene:
    script = """
os.sched_setscheduler(0, int(sys.argv[1]), os.sched_param(int(sys.argv[2])))
print(flush=True)"""
    first, second, other = (
        made.python(script, policy, priority)
        for policy, priority in ((os.SCHED_FIFO, 5), (os.SCHED_RR, 1), (os.SCHED_BATCH, 0))
    )
    lines = [rf"/{first}/process.txt:priority +SCHED_FIFO, nice -?[0-9]+, real-time 5$"]
    return Scene([first, second], [other], his=[first, second], lines=lines)


@SCENES.asked("On which processors may it run?")
def _processors(made: Made) -> Scene:
    pid = made.program("taskset", "-c", "0", "sleep", "600", name="sleep")
    return Scene(pid=pid, lines=[r"^ +CPUs +0$"])


@SCENES.asked("How many threads does each user have?")
def _threads_of_users(made: Made) -> Scene:
    script = """
import threading, time
for _ in range(6):
    threading.Thread(target=time.sleep, args=(600,)).start()
print(flush=True)"""
    made.python(script, user=made.wes)
    return Scene(lines=[r"^([7-9]|[1-9][0-9]+) wes$", r"^[0-9]{2,} root$"])


@SCENES.asked("Who is on the terminal pts/0?")
def _terminal(made: Made) -> Scene:
    # 0x80045430 is TIOCGPTN.
    script = """
import fcntl, pty, struct
pid, driven = pty.fork()
if not pid:
    os.execvp("sleep", ["sleep", "600"])
(number,) = struct.unpack("I", fcntl.ioctl(driven, 0x80045430, bytes(4)))
print(pid, f"pts/{number}", flush=True)"""
    first, other = made.python(script), made.python(script)
    on_it, terminal = made.said[first].split()
    elsewhere = made.said[other].split()[0]
    return Scene(
        [int(on_it)],
        [first, other, int(elsewhere)],
        his=[int(on_it)],
        words=[("pts/0", terminal)],
    )
