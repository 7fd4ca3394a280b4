"""The mirror in containers.

Bound into one it judges as the kernel does there, and it can be mounted in one.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.containers import CAPABILITIES, Container, Map, container
from tests.everyday import everyday
from tests.harness import DEADLINE, ROOT, until
from tests.mounting import Mount, mounted
from tests.permissions.compare import Difference, is_owner_of_setting, judged
from tests.permissions.entries import Entries
from tests.permissions.operations import Item
from tests.permissions.requesters import OWNER
from tests.permissions.sessions import World, session
from tests.permissions.targets import Target, described, targets
from tests.programs import PROCMIRROR, killed, ran, running, serving, shell

# As rootless Podman maps: its root is the user who started it, all others are his subordinate
# users.
ROOTLESS: Map = ((0, OWNER, 1), (1, 100_000, 65_536))
REMAPPED: Map = ((0, 200_000, 65_536),)
ASKED = {"ordinary", "root's", "not dumpable", "in a child user namespace"}
PAGE = (ROOT / "docs" / "CONTAINERS.md").read_text(encoding="utf-8")


class Place(NamedTuple):
    """The mirror, and a second procfs of the machine.

    What the kernel says, wherever both are bound.
    """

    mirror: Mount
    kernel: Path


@pytest.fixture(scope="module")
def everybody() -> Iterator[list[Target]]:
    with targets() as running:
        yield [target for target in running if target.name in ASKED]


@pytest.fixture(scope="module")
def place(mirror: Mount) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="procmirror-kernel-"))
    folder.chmod(0o755)
    kernel = folder / "proc"
    kernel.mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", kernel], check=True)
    yield Place(mirror, kernel)
    subprocess.run(["umount", kernel], check=True)
    shutil.rmtree(folder)


KINDS: dict[str, tuple[Map, int]] = {
    "Docker": ((), 0),
    "Docker, a user": ((), OWNER),
    "remapped": (REMAPPED, 0),
    "rootless": (ROOTLESS, 0),
    "rootless, a user": (ROOTLESS, 1000),
}


@pytest.fixture(scope="module")
def containers(place: Place) -> Iterator[dict[Map, Container]]:
    with ExitStack() as stack:
        yield {
            ids: stack.enter_context(container(place.mirror.path, place.kernel, ids=ids))
            for ids in ((), REMAPPED, ROOTLESS)
        }


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_is_judged_as_by_the_kernel(
    place: Place,
    containers: dict[Map, Container],
    kind: str,
    everybody: list[Target],
    report: list[str],
) -> None:
    """Asked from within, with the machine's procfs beside the mirror.

    Of the container itself as well, and who oneself is.
    """
    ids, user = KINDS[kind]
    inside, start = containers[ids], time.monotonic()
    kernel, mirror = str(place.kernel), str(place.mirror.path)
    entries = Entries(kernel, mirror)
    asked = [*everybody, described("the container's first process", inside.pid)]
    with session("root", World({}, inside.within(user))) as requester:
        items = [
            item
            for turn in range(2)
            for at, one in enumerate(asked)
            for item in entries.about(one, 5 * turn + at)
        ]
        items += entries.everywhere(1)
        items += [
            Item(f"{kernel}/{name}", f"{mirror}/{name}", "readlink")
            for name in ("self", "thread-self", "self/cwd")
        ]
        items += [
            Item(f"{kernel}/self/{name}", f"{mirror}/self/{name}", "read")
            for name in ("maps", "environ", "cgroup", "comm")
        ]
        found = [
            judged(f"{kind} container", 0, item, outcome) for item, outcome in requester.ask(items)
        ]
    differences = [
        one for one in found if one is not None and not (expected(one) or is_owner_of_setting(one))
    ]
    assert not differences, "\n".join(map(str, differences[:20]))
    report.append(
        f"containers: {len(items):,} answers to {kind} compared with the kernel's in {time.monotonic() - start:.0f} s"
    )
    assert len(items) > 700


def expected(difference: Difference) -> bool:
    """What depends on the pid namespace of the reader is refused, and the kernel's log and memory (PERMISSIONS.md).

    The root of a process outside would lead its reader to his own.
    """
    kernel, mirror = difference.outcome.before, difference.outcome.mirror
    if difference.entry[-1] == "root" and mirror is not None and kernel is not None:
        return (kernel.data, mirror.data) == (b"/", b"(unreachable)/")
    return not difference.leak and (
        difference.entry[0] in {"loadavg", "sysvipc", "kmsg", "kcore"}
        or difference.entry[-1] in {"pid_max", "ns_last_pid", "cad_pid"}
    )


def test_a_container_sees_the_machine(place: Place, containers: dict[Map, Container]) -> None:
    """What is to be known before it is given.

    The numbers, names and command lines are those of all processes.
    """
    for inside in containers.values():
        assert inside.ran("ls", "/proc").out.split()[:1] == ["1"]
        shown = inside.ran("cat", place.mirror.path / str(os.getpid()) / "cmdline.txt")
        own = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
        assert (shown.code, shown.out.startswith(own)) == (0, True)
        assert (
            inside.ran("cat", place.mirror.path / str(inside.pid) / "cmdline.txt").out
            == "sleep infinity\n"
        )


def test_a_user_without_a_namespace_of_his_own_is_the_machines(
    containers: dict[Map, Container], place: Place
) -> None:
    """The same number is the same user.

    His processes outside are open to him, as in a procfs of the machine.
    """
    with tempfile.TemporaryFile() as nothing:
        outside = subprocess.Popen(
            ["sleep", "600"],
            user=OWNER,
            group=OWNER,
            extra_groups=[],
            env={"SECRET": "s"},
            stdin=nothing,
        )
    try:
        path = place.mirror.path / str(outside.pid) / "environ.txt"
        until(
            lambda: containers[()].ran("cat", path, user=OWNER).out == "SECRET=s\n",
            "it is not shown",
        )
        for ids, user in (((), 0), (REMAPPED, 0), (ROOTLESS, 0), (ROOTLESS, 1000)):
            assert (
                containers[ids].ran("cat", path, user=user).err
                == f"cat: {path}: Permission denied\n"
            )
    finally:
        outside.kill()
        outside.wait(DEADLINE)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory as the machine's root is under systemd.

    What is mounted below goes on to those who have it as slaves.
    """
    path = Path(tempfile.mkdtemp(prefix="procmirror-shared-"))
    path.chmod(0o755)
    assert (
        shell(
            'mount -t tmpfs -o mode=755 none "$1" && mount --make-shared "$1" && mkdir "$1/proc" "$1/bound"',
            path,
        ).code
        == 0
    )
    yield path
    until(lambda: shell('umount -R "$1"', path).code == 0, "it stays mounted")
    path.rmdir()


@contextmanager
def slave(source: Path, target: Path) -> Iterator[tuple[str, ...]]:
    """What engines make of rslave and of HostToContainer; what stands before a command there."""
    bind = 'mount --rbind "$1" "$2" && mount --make-rslave "$2" && exec sleep 600'
    with running(
        "unshare",
        "-m",
        "--propagation",
        "slave",
        "sh",
        "-c",
        bind,
        "sh",
        source,
        target,
        name="sleep",
    ) as pid:
        yield ("nsenter", "-t", str(pid), "-m")


def test_a_mirror_that_is_started_again_comes_back_where_its_parent_is_bound(shared: Path) -> None:
    """The directory above the mirror has to be given to a container.

    The mirror itself given stays what it was, and dies.
    """
    point, bound = shared / "proc", shared / "bound"
    with slave(shared, Path("/mnt")) as parent:
        for _ in range(2):
            assert ran(*parent, "ls", "/mnt/proc").out == ""
            assert ran(*PROCMIRROR, point) == (0, "", "")
            assert ran(*parent, "cat", "/mnt/proc/self/comm").out == "cat\n"
            assert ran("umount", point).code == 0
        assert ran(*PROCMIRROR, point) == (0, "", "")
        with slave(point, bound) as alone:
            assert ran(*alone, "cat", bound / "self/comm").out == "cat\n"
            killed(*serving(point))
            until(lambda: not serving(point), "the daemon is left")
            assert ran(*PROCMIRROR, point) == (0, "", "")
            assert ran(*parent, "cat", "/mnt/proc/self/comm").out == "cat\n"
            assert ran(*alone, "cat", bound / "self/comm").err.endswith(
                "Transport endpoint is not connected\n"
            )


# Less than the machine


def test_a_mirror_of_a_procfs_that_hides_shows_a_container_little() -> None:
    folder = Path(tempfile.mkdtemp(prefix="procmirror-hiding-"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "proc", "-o", "hidepid=invisible", "proc", folder], check=True)
    try:
        with mounted(source=str(folder)) as mount, container(mount.path, ids=REMAPPED) as inside:
            for user in (0, 1000):
                listed = set(inside.ran("ls", mount.path, user=user).out.split())
                # A user sees himself, the root of a user namespace all of the container, and
                # neither anybody else.
                assert (str(inside.pid) in listed) == (user == 0)
                assert not listed & {str(os.getpid()), str(mount.daemon), "1"} and "self" in listed
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """The device of FUSE as everybody may open it."""
    node = tmp_path / "fuse"
    os.mknod(node, stat.S_IFCHR, os.makedev(10, 229))
    node.chmod(0o666)
    return node


@pytest.mark.parametrize("ids", [(), REMAPPED], ids=["privileged", "mapped"])
def test_a_container_mounts_its_own(ids: Map, device: Path, report: list[str]) -> None:
    """With the device and two capabilities, of its own user namespace where it has one.

    There it serves all of its users.
    """
    with container(
        ids=ids, capabilities=[*CAPABILITIES, "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"], device=device
    ) as inside:
        script = 'mkdir /tmp/proc && "$1" -m procmirror /tmp/proc && cat /tmp/proc/1/cmdline.txt /tmp/proc/self/comm'
        assert inside.ran("sh", "-c", script, "sh", sys.executable) == (
            0,
            "sleep infinity\ncat\n",
            "",
        )
        first = Target("the first process", 1, (1,), 0x1000, "1000-2000")
        for user in (0, 1000):
            with session("root", World({}, inside.within(user))) as requester:
                items = [
                    item
                    for turn in range(4)
                    for item in Entries("/proc", "/tmp/proc").about(first, turn)
                ]
                found = [judged("root", 0, item, outcome) for item, outcome in requester.ask(items)]
            differences = [one for one in found if one is not None]
            assert not differences, "\n".join(map(str, differences[:20]))
            report.append(
                f"containers: {len(items):,} answers of a mirror mounted in one compared with the kernel's"
            )
        assert inside.ran("umount", "/tmp/proc") == (0, "", "")


def test_views_are_printed_where_there_is_no_fuse() -> None:
    with container() as inside:
        printed = inside.ran(
            sys.executable, "-m", "procmirror", "--print", "1/cmdline.txt", "self/comm"
        )
        assert (printed.code, printed.out.splitlines()[0]) == (0, "sleep infinity")
        refused = inside.ran(sys.executable, "-m", "procmirror", "/tmp")
        said = "/dev/fuse is missing; root can load the module: modprobe fuse; a container must be given the device"
        assert refused == (1, "", f"procmirror: {said}\n")


# The page


def commands(page: str) -> list[tuple[str, str, str]]:
    """What its section for those without an engine shows.

    The prompt, the command, and what is written then.
    """
    section = page.partition("## Without an engine")[2]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [
        (prompt, line, out)
        for block in blocks
        for prompt, line, out in re.findall(r"([#$]) (.*)\n((?:(?![#$] ).*\n)*)", block)
    ]


@pytest.mark.parametrize(
    ("prompt", "line", "shown"), commands(PAGE), ids=range(len(commands(PAGE)))
)
def test_the_commands_of_the_page_do_what_it_says(
    mirror: Mount, prompt: str, line: str, shown: str
) -> None:
    with everyday(OWNER) as machine:
        machine.root("echo visitor:100000:65536 | tee /etc/subuid > /etc/subgid")
        begin = machine.within if prompt == "#" else machine.as_user()
        answer = ran(*begin, "sh", "-c", f"({line.replace('/mnt/proc', str(mirror.path))}) 2>&1")

    def alike(text: str) -> list[list[str]]:
        return [
            re.sub(r"\d+", "N", one).split()
            for one in text.replace(str(mirror.path), "/mnt/proc").splitlines()
        ]

    assert alike(answer.out) == alike(shown)


def test_the_page_shows_commands() -> None:
    assert [prompt for prompt, _, _ in commands(PAGE)] == ["#"] * 3 + ["$"] * 4
