"""The command of an ordinary user: a mount of his own, and clear words where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.everyday import OPEN, Everyday, everyday
from tests.harness import comes_true, ended, until
from tests.programs import PROCMIRROR, Ran, descendants, killed, ran, serving

# Whom no machine knows.
VISITOR = 61003
NOBODY = 65534


@pytest.fixture(scope="module")
def machine() -> Iterator[Everyday]:
    with everyday(VISITOR) as made:
        yield made


def test_a_user_has_a_mount_of_his_own(machine: Everyday) -> None:
    with machine.mounted("own") as mount:
        place = mount.path
        (fields,) = machine.mounted_at(place)
        assert fields[5].startswith("ro,nosuid,nodev,noexec")
        assert fields[fields.index("-") + 1 :] == [
            "fuse.procmirror",
            "/proc",
            f"ro,user_id={VISITOR},group_id={VISITOR}",
        ]
        assert "PATH=" in machine.ran("cat", place / "self" / "environ.txt").out
        assert machine.ran("cat", place / "self" / "comm.json").out == '{\n  "comm": "cat"\n}\n'
        for name in ("environ", "environ.json", "maps.txt"):
            path = place / str(os.getpid()) / name
            assert machine.ran("cat", path) == (1, "", f"cat: {path}: Permission denied\n")
        for other in ("0", str(NOBODY)):
            answer = ran(
                *machine.within,
                "setpriv",
                f"--reuid={other}",
                f"--regid={other}",
                "--clear-groups",
                "ls",
                place,
            )
            assert answer.err == f"ls: cannot access '{place}': Permission denied\n"


def test_he_writes_what_is_his(machine: Everyday) -> None:
    with machine.mounted("writing", "-o", "write") as mount:
        write = ("sh", "-c", 'echo 300 > "$0"; cat /proc/self/oom_score_adj')
        assert machine.ran(*write, mount.path / "self" / "oom_score_adj") == (0, "300\n", "")
        answer = machine.ran(*write, mount.path / str(os.getpid()) / "oom_score_adj")
        assert answer.err.endswith("oom_score_adj: Permission denied\n")
        root_there = machine.ran(
            "unshare", "--user", "--map-root-user", *write, mount.path / "self" / "oom_score_adj"
        )
        inherited = Path("/proc/self/oom_score_adj").read_text(encoding="ascii")
        assert root_there.out == inherited != "300\n" and root_there.err


def test_in_the_background_as_well(machine: Everyday) -> None:
    """Started, refused a second time, killed, taken over, unmounted by root.

    In a directory that is not empty.
    """
    place = machine.folder("background")
    machine.root("touch $1/thing", place)
    for _ in range(2):
        assert machine.ran(*PROCMIRROR, place) == (0, "", "")
        assert (
            machine.ran(*PROCMIRROR, place).err
            == f"procmirror: {place}: already served by procmirror\n"
        )
        (daemon,) = serving(place)
        processes = descendants(daemon)
        killed(daemon)
        until(lambda: all(map(ended, processes)), "processes are left")  # noqa: B023
        assert machine.ran("ls", place).err.endswith("Transport endpoint is not connected\n")
    assert machine.ran(*PROCMIRROR, place) == (0, "", "")
    assert len(machine.mounted_at(place)) == 1
    (daemon,) = serving(place)
    assert machine.root("umount $1 && ls $1", place) == (0, "thing\n", "")
    until(lambda: ended(daemon), "the daemon is left")


# What a user is told, in one line


NOT_HIS = "not yours to mount at; take a directory that you own and may write to"
NOT_PERMITTED = (
    "mounting is not permitted; it takes CAP_SYS_ADMIN (in a container: in its own user namespace), "
    "or a fusermount3 that is setuid root and not kept from it by no-new-privileges or nosuid"
)


def told(answer: Ran, said: str) -> None:
    assert answer == (1, "", f"procmirror: {said}\n")


@pytest.mark.parametrize("flags", [[], ["-f"]], ids=["background", "foreground"])
@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("mkdir $1", NOT_HIS),
        ("mkdir -m 1777 $1", NOT_HIS),
        ("mkdir -m 700 $1", "Permission denied"),
        ("mkdir $1 && mount -t tmpfs -o mode=700 none ${1%/*} && mkdir $1", "Permission denied"),
        ("touch $1", "Not a directory"),
        ("true", "No such file or directory"),
    ],
    ids=["root's", "everybody's", "closed", "behind a closed door", "a file", "nothing"],
)
def test_where_he_may_not_mount(
    machine: Everyday, folder: str, said: str, flags: list[str]
) -> None:
    outer = machine.folder(f"outer{len(list(Path(f'/proc/{machine.pid}/root/mnt').iterdir()))}")
    assert machine.root(folder, outer / "place").code == 0
    told(machine.ran(*PROCMIRROR, *flags, outer / "place"), f"{outer / 'place'}: {said}")


def test_over_proc_only_root_mounts(machine: Everyday) -> None:
    told(machine.ran(*PROCMIRROR, "/proc"), "/proc: only root can mount over it")


def test_sources_that_are_none(machine: Everyday) -> None:
    place = machine.folder("sourceless")
    told(machine.ran(*PROCMIRROR, "/none", place), "/none: No such file or directory")
    told(machine.ran(*PROCMIRROR, "/etc", place), "/etc: not a procfs")


def test_others_are_served_only_where_root_allows_it(machine: Everyday) -> None:
    place = machine.folder("for-all")

    def answered(*options: str) -> Ran:
        """The daemon of the command before may end a moment after that command."""
        answers: list[Ran] = []

        def no_other() -> bool:
            answers.append(machine.ran(*PROCMIRROR, *options, place))
            return "is being started there" not in answers[-1].err

        assert comes_true(no_other)
        return answers[-1]

    said = f"{place}: allow_other is refused to users; root can allow it: echo user_allow_other >> /etc/fuse.conf"
    for content in ("", "# user_allow_other\n"):
        machine.configure(content)
        told(answered("-o", "allow_other"), said)
    machine.configure("mount_max = 0\n")
    told(
        answered(),
        f"{place}: fusermount3: too many FUSE filesystems mounted; mount_max=N can be set in /etc/fuse.conf",
    )
    machine.configure(OPEN)
    with machine.mounted("allowed", "-o", "allow_other") as mount:
        assert ran(*machine.within, "stat", "-c", "%A", mount.path / "self").out == "lrwxrwxrwx\n"
    machine.configure("")


BARE = "mkdir dev && mount -t tmpfs none dev && touch dev/null && mount --bind /dev/null dev/null && mount --bind dev /dev"


@pytest.mark.parametrize(
    ("change", "by_root", "said"),
    [
        (
            BARE,
            True,
            "/dev/fuse is missing; root can load the module: modprobe fuse; a container must be given the device",
        ),
        (
            "chmod 600 /dev/fuse",
            False,
            "/dev/fuse: Permission denied; root can open it to users: chmod 666 /dev/fuse",
        ),
        (
            "chmod 644 /dev/fuse",
            False,
            "/dev/fuse: Permission denied; root can open it to users: chmod 666 /dev/fuse",
        ),
        (
            "mount --bind /dev/null $(which fusermount3)",
            False,
            "fusermount3 is missing; root can install it: apt-get install fuse3",
        ),
        (
            "cp $(which fusermount3) f && mount --bind f $(which fusermount3)",
            False,
            f"{{place}}: {NOT_PERMITTED}",
        ),
    ],
    ids=[
        "no device",
        "root's device",
        "a device to read",
        "no fusermount3",
        "fusermount3 without rights",
    ],
)
def test_what_the_machine_lacks(change: str, by_root: bool, said: str) -> None:
    with everyday(VISITOR) as lacking:
        assert lacking.root(f"cd /mnt && {change}") == (0, "", "")
        place = lacking.folder("place")
        told(lacking.ran(*PROCMIRROR, place), said.format(place=place))
        if by_root:
            told(ran(*lacking.within, *PROCMIRROR, place), said)


@pytest.mark.parametrize(
    "deprived",
    [
        lambda machine: (*machine.as_user(), "--no-new-privs"),
        lambda machine: (
            *machine.within,
            "setpriv",
            "--bounding-set=-sys_admin",
            "--inh-caps=-sys_admin",
        ),
        lambda machine: (*machine.within, "unshare", "--user", "--map-root-user"),
    ],
    ids=["no new privileges", "root without CAP_SYS_ADMIN", "root of a user namespace alone"],
)
def test_who_may_mount_nothing(
    machine: Everyday, deprived: Callable[[Everyday], tuple[str, ...]]
) -> None:
    place = machine.folder(f"deprived{len(list(Path(f'/proc/{machine.pid}/root/mnt').iterdir()))}")
    told(ran(*deprived(machine), *PROCMIRROR, place), f"{place}: {NOT_PERMITTED}")


def test_a_dead_mount_of_roots_is_not_his_to_take_over(machine: Everyday) -> None:
    place = machine.folder("roots")
    assert ran(*machine.within, *PROCMIRROR, place) == (0, "", "")
    told(machine.ran(*PROCMIRROR, place), f"{place}: already served by procmirror")
    killed(*serving(place))
    until(lambda: not serving(place), "the daemon is left")
    told(
        machine.ran(*PROCMIRROR, place),
        f"{place}: its daemon is gone, and it cannot be unmounted: Operation not permitted",
    )
    assert machine.root("umount $1", place) == (0, "", "")
