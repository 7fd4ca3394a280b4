"""Pages about a process and the machine, sums of all processes, and what happens now."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.cookbook.files import LOCKER, LOGS, locking
from tests.cookbook.scene import Made, Scene, Scenes
from tests.harness import until
from tests.programs import free_port

SCENES = Scenes()
BUSY = "print(flush=True)\nwhile True:\n    pass"


@SCENES.asked("Who uses this file, and how?")
def _uses(made: Made) -> Scene:
    path, holder, waiter = locking(made)
    made.python(LOCKER, made.folder / "other.lock")
    lines = [rf'"pid":{pid},.*"use":"fd".*"access":"write"' for pid in (holder, waiter)]
    return Scene(lines=lines, words=[("/srv/data/db.lock", path)])


@SCENES.asked("How far is this copy?")
def _copy(made: Made) -> Scene:
    (made.folder / "data").mkdir()
    pid = made.python(LOGS, made.folder / "data/table", "w")
    lines = [r"^ *3 +write +file +97\.7KiB +100000 +.*/data/table$"]
    return Scene(pid=pid, lines=lines, words=[("/srv/data", made.folder / "data")])


@SCENES.asked("Who waits for whom?")
def _waits(made: Made) -> Scene:
    path, holder, waiter = locking(made)
    line = rf"python[0-9.]*\({waiter}\) waits for a lock on {path}, from python[0-9.]*\({holder}\)"
    return Scene(lines=[line])


@SCENES.asked("What is there to know of this process?")
def _page(made: Made) -> Scene:
    pid = made.program("prlimit", "--nofile=64:128", "sleep", "600", name="sleep")
    lines = [
        rf"^process +{pid} sleep$",
        r"^elapsed +[0-9.]+s$",
        r"^descriptors +[0-9]+ of 64$",
        rf"^parent +{os.getpid()} ",
    ]
    return Scene(pid=pid, lines=lines)


@SCENES.asked("Which processes are there, with parents and ages?")
def _all(made: Made) -> Scene:
    del made
    return Scene(lines=[r"^ *PID +PPID +USER +S +THR +%CPU +ELAPSED +TTY +RSS +COMMAND$"])


@SCENES.asked("Why is the load high?")
def _load(made: Made) -> Scene:
    made.python(BUSY)
    return Scene(lines=[r"^load +[0-9.]+ ", r"^pressure +cpu ", r"^runnable +\S+\("])


@SCENES.asked("What is this variable of the process?")
def _variable(made: Made) -> Scene:
    env = {**os.environ, "API_KEY": "old-key"}
    return Scene(pid=made.program("sleep", "600", env=env), exactly="API_KEY=old-key\n")


@SCENES.asked("Which limits does it have, and how near is it to them?")
def _limits(made: Made) -> Scene:
    pid = made.program("prlimit", "--nofile=64:128", "sleep", "600", name="sleep")
    return Scene(
        pid=pid, lines=[r"^RLIMIT_NOFILE +[1-9] +64 +128$", r"^RLIMIT_STACK +[0-9.]+KiB +"]
    )


LISTENER = """
import socket
kept = socket.create_server(("127.0.0.1", int(sys.argv[1])))
one = socket.create_connection(kept.getsockname())
two, _ = kept.accept()
print(flush=True)"""


@SCENES.asked("How many connections are in which state?")
def _states(made: Made) -> Scene:
    made.python(LISTENER, free_port())
    return Scene(lines=[r"^ *[1-9][0-9]* LISTEN$", r"^ *[2-9][0-9]* ESTABLISHED$|^ *[2-9] ESTAB"])


@SCENES.asked("How many connections come from which host?")
def _hosts(made: Made) -> Scene:
    made.python(LISTENER, free_port())
    return Scene(lines=[r"^ *[0-9]+ 127\.0\.0\.1$"])


@SCENES.asked("Which IPv4 addresses does the container of this process have?")
def _addresses(made: Made) -> Scene:
    script = "ip link set lo up; ip address add 192.0.2.77/32 dev lo; exec sleep 600"
    pid = made.program("unshare", "--net", "sh", "-c", script, name="sleep")
    return Scene(pid=pid, lines=[r"192\.0\.2\.77/32 +LOCAL"])


@SCENES.asked("Are segments sent again?")
def _retransmits(made: Made) -> Scene:
    """Nothing is said of what was not, and another test may cause the first one meanwhile."""
    del made
    tcp = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()]
    names, values = [words for words in tcp if words[0] == "Tcp:"]
    some = r" +[0-9]+  RetransSegs\n"
    none_yet = int(values[names.index("RetransSegs")]) == 0
    return Scene(lines=[rf"\A(?:{some})?\Z" if none_yet else rf"\A{some}\Z"])


@SCENES.asked("Who has the most memory by its share of what is shared?")
def _share(made: Made) -> Scene:
    pid = made.program("perl", "-e", "my $kept = 'x' x (900 << 20); sleep 600")
    until(
        lambda: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) >= 900 << 8,
        "it does not take its memory",
    )
    return Scene([pid])


@SCENES.asked("Who has most descriptors open?")
def _descriptors(made: Made) -> Scene:
    pid = made.python("kept = [os.dup(0) for _ in range(900)]\nprint(flush=True)")
    return Scene(lines=[rf"^9[0-9][0-9]\t{pid}\t"])


@SCENES.asked("Who burns CPU now?")
def _burns(made: Made) -> Scene:
    pid = made.python(BUSY)
    return Scene(lines=[rf"[0-9.]+% +\S+ +stat\.utime +python[0-9.]*\({pid}\)"])


@SCENES.asked("Who writes to the disk now?")
def _writes(made: Made) -> Scene:
    script = """
file = open(sys.argv[1], "wb", buffering=0)
print(flush=True)
while True:
    file.seek(0), file.write(b"x" * 65536), os.fsync(file.fileno())"""
    pid = made.python(script, made.folder / "written")
    return Scene(lines=[rf"iB/s +\S+ +io\.write_bytes +python[0-9.]*\({pid}\)"])


@SCENES.asked("Which interrupt storms?")
def _storms(made: Made) -> Scene:
    del made
    return Scene(lines=[r"^ *[0-9.]+/s +[0-9]+ +total +\S+$"])


@SCENES.asked("What changed since then?")
def _changed(made: Made) -> Scene:
    saved = made.folder / "processes.ndjson"
    gone = {"pid": 4194304, "stat": {"comm": "ended", "starttime": 1.0}}
    saved.write_text(json.dumps(gone) + "\n")
    pid = made.program("sleep", "600")
    return Scene(
        lines=[rf"new +- +sleep\({pid}\)", r"gone +- +ended\(4194304\)"],
        words=[("/srv/data/processes.ndjson", saved)],
    )


def told(question: str, *lines: str) -> None:
    """A question that every machine answers, with what has to stand in the answer."""

    @SCENES.asked(question)
    def _(made: Made) -> Scene:
        del made
        return Scene(lines=lines)


told("What takes the kernel's memory?", r"^NAME +SIZE +ACTIVE", r"^\S+ +[0-9.]+[KM]iB +[0-9]+ ")
told("What does the taint of the kernel mean?", r"^tainted +(no$|[A-Z]: )")
told("Which processors are these?", rf"^processors +{os.cpu_count()}$", r"^flags +\S")
told("How long do disks take for a request?", r"^DISK +READS +READ +EACH-READ")
