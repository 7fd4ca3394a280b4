"""Whoever's own /proc hides something sees through the mirror no more than there.

The oracle is that /proc: the requester asks it and the mirror the same.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mounting import Mount, mounted
from tests.permissions.requesters import OWNER

STRANGER = 61041
# What is asked of both: for a process, and of the machine.
OF_PROCESS = ("", "status", "cmdline", "task", "fd", "exe", "net/tcp", "environ")
VIEWS = ("status.json", "cmdline.txt", "stack.txt", "fd.json", "process.txt")
OF_MACHINE = (
    "cpuinfo",
    "meminfo",
    "kallsyms",
    "sys/kernel/hostname",
    "net/tcp",
    "version",
    "loadavg",
)
VIEWS_OF_MACHINE = (
    *(
        "processes.ndjson",
        "sockets.txt",
        "tree.txt",
        "machine.txt",
        "by-name",
        "by-user",
        "cpuinfo.json",
    ),
    *("memory.txt", "waits.txt", "files.ndjson"),
)
_ASK = """
import errno, json, os, sys
def ask(path):
    said = []
    for act in (os.stat, os.listdir, read, os.readlink):
        try:
            act(path)
            said.append("")
        except OSError as refused:
            said.append(errno.errorcode[refused.errno])
    return said
def read(path):
    with open(path, "rb", buffering=0) as file:
        file.read(1)
print(json.dumps({root: {path: ask(root + "/" + path) for path in sys.argv[2:]} for root in ("/proc", sys.argv[1])}
    | {"names": [sorted(os.listdir(root)) for root in ("/proc", sys.argv[1], "/proc")], "self": os.getpid()}))
"""


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mounted() as mount:
        yield mount


@pytest.fixture(scope="module")
def pids() -> Iterator[dict[str, int]]:
    """A process of root's, and one of each user's."""
    users = {"root": 0, "owner": OWNER, "stranger": STRANGER}
    started = {
        name: subprocess.Popen(
            [
                *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
                *("sleep", "1000"),
            ]
        )
        for name, user in users.items()
    }
    yield {name: one.pid for name, one in started.items()}
    for one in started.values():
        one.kill()
        one.wait()


def asked(
    own_mirror: Mount, options: str, paths: list[str], user: int, *groups: int, alone: bool = False
) -> dict[str, Any]:
    """What a user is told whose /proc is mounted with these options; `alone` in a user namespace."""
    who = ["setpriv", f"--reuid={user}", f"--regid={user}"]
    who.append("--groups=" + ",".join(map(str, groups)) if groups else "--clear-groups")
    who += ["unshare", "--user"] if alone else []
    # Behind so many mounts that mountinfo does not fit into what one read(2) gives of it.
    many = "for at in $(seq 60); do mount --bind /mnt /mnt; done"
    inside = f'{many}; mount -t proc -o {options} proc /proc && exec "$@"'
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", inside, "sh", *who]
    done = subprocess.run(
        [*command, "/usr/bin/python3", "-c", _ASK, own_mirror.path, *paths],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert not done.returncode, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("user", [STRANGER, 0])
@pytest.mark.parametrize("hidden", ["noaccess", "invisible", "ptraceable"])
def test_processes_that_the_own_proc_hides(
    own_mirror: Mount, pids: dict[str, int], hidden: str, user: int
) -> None:
    paths = [f"{pid}/{name}" for pid in pids.values() for name in OF_PROCESS]
    told = asked(own_mirror, f"hidepid={hidden}", paths, user)
    native, ours = told["/proc"], told[str(own_mirror.path)]
    for path in paths:
        for before, mirrored in zip(native[path], ours[path], strict=True):
            # Which of two refusals it is may differ; that it is one may not.
            assert bool(before) == bool(mirrored), (
                path,
                native[path],
                ours[path],
            )
    # A process that began between the two may be in the second alone.
    listed, shown, later = told["names"]
    found = {name for name in shown if name.isdigit()} - {str(told["self"]), *listed, *later}
    assert not {name for name in found if Path("/proc", name).exists()}
    for name, pid in pids.items():
        assert (str(pid) in shown) == (str(pid) in listed), name


def test_views_of_hidden_processes_are_hidden(own_mirror: Mount, pids: dict[str, int]) -> None:
    paths = [f"{pids[name]}/{view}" for name in ("root", "owner") for view in VIEWS]
    told = asked(own_mirror, "hidepid=invisible", [*paths, *VIEWS_OF_MACHINE], STRANGER)
    ours = told[str(own_mirror.path)]
    for path in paths:
        assert all(ours[path]), (path, ours[path])
    for view in (
        "processes.ndjson",
        "sockets.txt",
        "tree.txt",
        "memory.txt",
        "waits.txt",
        "files.ndjson",
    ):
        assert ours[view][2] == "EACCES", view
    assert ours["by-user"][1] == "EACCES"
    chain = f"{pids['stranger']}/waits.txt"
    told = asked(own_mirror, "hidepid=invisible", [chain], STRANGER)
    assert told[str(own_mirror.path)][chain][2] == "EACCES"
    # Of oneself everything is there.
    own = [f"{pids['stranger']}/{view}" for view in VIEWS]
    told = asked(own_mirror, "hidepid=invisible", own, STRANGER)
    assert all(not told[str(own_mirror.path)][path][2] for path in own)


def test_a_group_that_sees_everything(own_mirror: Mount, pids: dict[str, int]) -> None:
    path = f"{pids['root']}/status"
    options = f"hidepid=invisible,gid={OWNER}"
    told = asked(own_mirror, options, [path], STRANGER, OWNER)
    assert (told["/proc"][path][2], told[str(own_mirror.path)][path][2]) == ("", "")
    told = asked(own_mirror, options, [path], STRANGER)
    assert (told["/proc"][path][2], told[str(own_mirror.path)][path][2]) == ("ENOENT", "ENOENT")
    options = f"hidepid=ptraceable,gid={OWNER}"
    told = asked(own_mirror, options, [path], STRANGER, OWNER)
    assert (told["/proc"][path][2], told[str(own_mirror.path)][path][2]) == ("ENOENT", "ENOENT")


def test_a_proc_of_processes_alone(own_mirror: Mount, pids: dict[str, int]) -> None:
    machine = [*OF_MACHINE, *VIEWS_OF_MACHINE]
    left = [f"{pids['root']}/status", f"{pids['root']}/status.txt", "self/status", "README.txt"]
    told = asked(own_mirror, "subset=pid", [*machine, *left], 0)
    native, ours = told["/proc"], told[str(own_mirror.path)]
    for path in machine:
        assert all(ours[path]), (path, ours[path])
    for path in OF_MACHINE:
        assert all(native[path])
    for path in left:
        assert not ours[path][2], path
    listed, shown, _ = told["names"]
    # README.txt says what a mirror is, and nothing of the machine.
    named = {name for name in shown if not name.isdigit()}
    assert named == {"self", "thread-self", "README.txt"}
    assert {name for name in listed if not name.isdigit()} == {"self", "thread-self"}


def test_what_is_open_and_what_others_looked_at_changes_nothing(
    own_mirror: Mount, pids: dict[str, int]
) -> None:
    path = f"{pids['root']}/status"
    for _ in range(5):
        # The kernel knows the names by now.
        assert Path(own_mirror.path / path).read_bytes()
        assert Path(own_mirror.path / "cpuinfo.json").read_bytes()
        told = asked(own_mirror, "hidepid=invisible,subset=pid", [path, "cpuinfo.json"], STRANGER)
        assert told[str(own_mirror.path)][path][2] == "ENOENT"
        assert told[str(own_mirror.path)]["cpuinfo.json"][2] == "ENOENT"


def test_a_service_of_systemds_kind(own_mirror: Mount, pids: dict[str, int]) -> None:
    # ProtectProc=invisible and ProcSubset=pid are these options.
    told = asked(
        own_mirror, "nosuid,nodev,noexec,hidepid=invisible,subset=pid", ["self/stack.txt"], STRANGER
    )
    _, shown, _ = told["names"]
    assert str(pids["stranger"]) in shown
    assert str(pids["root"]) not in shown and "1" not in shown


def test_who_acts_for_a_service_with_users_of_its_own_is_not_listed(
    own_mirror: Mount, pids: dict[str, int]
) -> None:
    # PrivateUsers= besides: a worker enters that user namespace, and would see itself.
    path = f"{pids['stranger']}/status"
    for _ in range(2):
        told = asked(own_mirror, "hidepid=invisible", [path], STRANGER, alone=True)
        before, shown, after = (set(filter(str.isdigit, names)) for names in told["names"])
        assert shown <= before | after
        assert str(told["self"]) in shown


@pytest.mark.parametrize(
    "left",
    [
        ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs none /proc; exec "$@"', "sh"],
        ["unshare", "-Urmpf", "--mount-proc"],
    ],
    ids=["another thing", "another procfs"],
)
def test_who_makes_a_user_namespace_leaves_a_private_proc_behind(
    own_mirror: Mount, pids: dict[str, int], left: list[str]
) -> None:
    """The kernel does not tell from where: docs/PERMISSIONS.md names it."""
    status = str(own_mirror.path / f"{pids['root']}/status")
    who = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    hidden = ["sh", "-c", 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"', "sh", *who]

    def reads(*how: str) -> bool:
        command = ["unshare", "-m", "--propagation", "private", *hidden, *how, "cat", status]
        return not subprocess.run(command, capture_output=True, check=False, timeout=60).returncode

    assert not reads()
    assert not reads("unshare", "-Urm")
    assert reads(*left)


def test_an_ordinary_namespace_hides_nothing(own_mirror: Mount, pids: dict[str, int]) -> None:
    path = f"{pids['root']}/status"
    told = asked(own_mirror, "nosuid", [path, "cpuinfo.json", "tree.txt"], STRANGER)
    assert [told[str(own_mirror.path)][name][2] for name in (path, "cpuinfo.json", "tree.txt")] == [
        ""
    ] * 3
