"""Programs that know no other place than /proc, with the mirror mounted there for them alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import until
from tests.mounting import Mount
from tests.programs import OVER_PROC, free_port, listens, over_proc, running


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    with running("sleep", "611") as pid:
        yield pid


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that a process has open and locked."""
    file = tmp_path_factory.mktemp("held") / "lock"
    with running("flock", "--no-fork", file, "sleep", "612", name="sleep"):
        yield file


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, int]]:
    """A process that waits for a connection, and at which port."""
    port = free_port()
    with running("nc", "-l", "127.0.0.1", port) as pid:
        until(lambda: listens(port), "nc does not listen")
        yield pid, port


# What may differ is left out by the comparison: lines that /proc itself changes from one time to
# the next.
COMMANDS = {
    "ps aux": ["ps", "aux"],
    "ps -ef": ["ps", "-eo", "pid,ppid,user,group,nice,pri,tty,args"],
    "ps of threads": ["ps", "-eLo", "pid,tid,comm"],
    "top": ["top", "-b", "-n1"],
    "free": ["free"],
    "pgrep": ["pgrep", "-x", "sleep"],
    "pgrep -f": ["pgrep", "-af", "sleep 611"],
    "pstree": ["pstree", "-p"],
    "lsof": ["lsof", "-w", "-n", "-p", "{pid}"],
    "pmap": ["pmap", "-x", "{pid}"],
    "vmstat": ["vmstat"],
    "uptime": ["uptime", "-s"],
    "lscpu": ["lscpu"],
    "findmnt": ["findmnt", "-lno", "TARGET,SOURCE,FSTYPE"],
    "ps of cgroups": ["ps", "-eo", "pid,cgroup,args"],
    "systemd-cgls": ["systemd-cgls", "--no-pager", "--full"],
    "ss": ["ss", "-Hatunp"],
    "lslocks": ["lslocks", "-no", "COMMAND,PID,TYPE,MODE,M,START,END"],
    "fuser": ["sh", "-c", 'fuser -v "$0" 2>&1 | grep -v "Cannot stat file"', "{lock}"],
    "pidstat": ["sh", "-c", 'pidstat -p "$0" | tail -n 1 | cut -c 12-', "{pid}"],
    "pwdx": ["pwdx", "{pid}"],
    "prtstat": ["prtstat", "{pid}"],
    "iostat": ["iostat", "-d"],
    "lsipc": ["lsipc"],
    "sysctl": [
        "sysctl",
        "-n",
        "kernel.osrelease",
        "kernel.pid_max",
        "vm.swappiness",
        "net.ipv4.ip_forward",
    ],
}

# What stands between a process and its first child, or before a further one (pstree(1)).
BRANCH = re.compile(r"-\+-|---|(?<= )\|-|(?<= )`-")
RUN_OR_SLEEP = re.compile(r"(\d+) running, +(\d+) sleeping")


def pairs(tree: str) -> str:
    """Each process of what pstree says with its parent, a line each.

    A short process beside it changes the line of another one, also natively.
    """
    above: list[tuple[int, str]] = []
    found = []
    for line in tree.splitlines():
        begins = [0] * (line[:1] != " ") + [branch.end() for branch in BRANCH.finditer(line)]
        for begin in begins:
            name = BRANCH.split(line[begin:], maxsplit=1)[0]
            while above and above[-1][0] >= begin:
                above.pop()
            found.append(f"{name} of {above[-1][1] if above else 'nothing'}")
            above.append((begin, name))
    return "\n".join(found)


def test_a_tree_is_told_in_pairs() -> None:
    tree = "a(1)-+-b-c(2)---d(3)-+-e(4)\n     |             `-{d}(6)\n     `-f(5)\n"
    assert pairs(tree).splitlines() == [
        *("a(1) of nothing", "b-c(2) of a(1)", "d(3) of b-c(2)", "e(4) of d(3)"),
        *("{d}(6) of d(3)", "f(5) of a(1)"),
    ]


@pytest.mark.parametrize("case", COMMANDS)
@pytest.mark.usefixtures("listener")
def test_as_on_proc(mirror: Mount, sleeper: int, lock: Path, case: str) -> None:
    command = [word.format(pid=sleeper, lock=lock) for word in COMMANDS[case]]

    def lines(proc: Path) -> list[str]:
        code, out, err = over_proc(proc, *command)
        assert (code, err) == (0, "")
        out = pairs(out) if case == "pstree" else out
        # The daemon runs while it is asked, and sleeps while nobody asks the mirror: its line is
        # its own, what the processors do as well, and a sum of those that run and of those that
        # sleep is the same only if the two are taken together.
        told = (
            line
            for line in out.splitlines()
            if not {str(mirror.daemon), "%Cpu(s):"} & set(line.split()[:2])
        )
        # The widths of columns, and the branches of a tree, are those of all lines, which come and go.
        return [
            RUN_OR_SLEEP.sub(
                lambda found: f"{int(found[1]) + int(found[2])} running or sleeping",
                re.sub("[ │├└─]+", " ", line),
            )
            for line in told
        ]

    lasting: set[str] = set()
    for attempt in range(5):
        before, mirrored, after = lines(Path("/proc")), lines(mirror.path), lines(Path("/proc"))
        stable = {line for line in before if line in after and not line.startswith("/proc ")}
        # What moves to and fro is soon seen to agree; what is wrong stays wrong.
        lasting = stable - set(mirrored) if not attempt else lasting & (stable - set(mirrored))
        if not lasting:
            break
    assert stable
    assert lasting == set()


def test_the_process_is_in_each_list(mirror: Mount, sleeper: int) -> None:
    cases = [
        "ps aux",
        "ps -ef",
        "ps of threads",
        "top",
        "pgrep",
        "pgrep -f",
        "pstree",
        "lsof",
        "pmap",
    ]
    for case in (*cases, "ps of cgroups", "systemd-cgls", "pidstat", "pwdx", "prtstat"):
        out = over_proc(mirror.path, *(word.format(pid=sleeper) for word in COMMANDS[case])).out
        assert str(sleeper) in out, case


def test_sockets_and_locks_are_told_with_their_processes(
    mirror: Mount, listener: tuple[int, int], lock: Path
) -> None:
    pid, port = listener
    (row,) = [
        line
        for line in over_proc(mirror.path, "ss", "-Htlnp").out.splitlines()
        if f"127.0.0.1:{port} " in line
    ]
    assert f'users:(("nc",pid={pid},fd=3))' in row
    command = ("lslocks", "-no", "COMMAND,PATH")
    # The kernel may leave a lock out while locks of others come and go.
    (row,) = until(
        lambda: [
            line for line in over_proc(mirror.path, *command).out.splitlines() if str(lock) in line
        ]
    )
    assert row.split() == ["sleep", str(lock)]


def test_htop_shows_the_process(mirror: Mount, sleeper: int, tmp_path: Path) -> None:
    """It draws on a terminal only, which is closed as soon as it has drawn the process."""
    drawn = re.compile(rf"Load average.*(?<!\d){sleeper} .*sleep 611", re.DOTALL)
    for proc, screen in (
        (Path("/proc"), tmp_path / "native"),
        (mirror.path, tmp_path / "mirrored"),
    ):
        screen.touch()
        command = f"stty rows 40 cols 150; exec htop -C -d 3 -p {sleeper}"
        with running(*OVER_PROC, proc, "script", "-qfec", command, screen, name="script"):
            until(lambda: drawn.search(screen.read_text()), f"htop shows nothing over {proc}")  # noqa: B023
