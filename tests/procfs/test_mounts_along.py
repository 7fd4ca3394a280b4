"""Through which mounts a path leads, by a mountinfo of which only some lines are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.proc_files import mount_lines
from procmirror.procfs.link_targets import MountTree, mounts_along

_MOUNTS = rb"""30 1 8:1 / / rw - ext4 /dev/sda1 rw
31 30 0:4 / /proc rw - proc proc rw,hidepid=invisible
32 30 0:5 / /a\040b\134c\011d\012e rw - tmpfs t rw
33 32 0:6 / /a\040b\134c\011d\012e/below rw - tmpfs t rw
34 30 0:7 / /procs rw - tmpfs t rw
35 31 0:8 / /proc rw - proc proc rw
"""


@pytest.mark.parametrize(
    ("path", "way"),
    [
        (b"/proc", [30, 31, 35]),
        (b"/proc/1/exe", [30, 31, 35]),
        (b"/procs/x", [30, 34]),
        (b"/a b\\c\td\ne", [30, 32]),
        (b"/a b\\c\td\ne/below/x", [30, 32, 33]),
        (b"/", [30]),
    ],
)
def test_only_the_mounts_on_a_path_are_decoded(path: bytes, way: list[int]) -> None:
    assert [mount.mount_id for mount in mounts_along(_MOUNTS, path)] == way
    assert mounts_along(_MOUNTS, path) == MountTree(mount_lines(_MOUNTS)).way(path)


def test_the_mounts_of_this_machine_are_found_as_in_all_of_them() -> None:
    mountinfo = Path("/proc/self/mountinfo").read_bytes()
    tree = MountTree(mount_lines(mountinfo))
    for mount in tree:
        assert mounts_along(mountinfo, mount.mount_point) == tree.way(mount.mount_point)


class Counted(dict[tuple[int, bytes], Any]):
    """The mounts by their parents and places; `asked` counts how often one is looked for."""

    asked = 0

    def __contains__(self, key: object) -> bool:
        self.asked += 1
        return super().__contains__(key)


def test_a_stack_of_mounts_far_down_is_gone_through_once() -> None:
    """With fusermount3(1) a user may have a thousand, and paths have two thousand names."""
    place = b"/x" * 2000
    lines = [b"1 0 8:1 / / rw - ext4 /dev/sda1 rw"]
    lines += [b"%d %d 0:5 / %s rw - fuse x rw" % (one, one - 1, place) for one in range(2, 1002)]
    tree = MountTree(mount_lines(b"\n".join(lines)))
    tree._at = counted = Counted(tree._at)
    assert [mount.mount_id for mount in tree.way(place + b"/y")] == list(range(1, 1002))
    assert counted.asked < 5000


def test_mounts_that_are_on_each_other_are_gone_through_once() -> None:
    mounts = mount_lines(b"1 0 8:1 / / rw - ext4 d rw\n2 1 0:5 / /a rw - tmpfs t rw\n")
    tree = MountTree(mounts)
    tree._at[2, b"/a"] = mounts[1]
    assert [mount.mount_id for mount in tree.way(b"/a/b")] == [1, 2]


def test_a_root_that_is_no_mount_hides_no_mount_below_it() -> None:
    """As after chroot(2); the mounts listed before may lie anywhere."""
    mountinfo = b"40 30 0:5 / /dev rw - tmpfs t rw\n41 30 0:4 / /proc rw - proc proc rw\n"
    assert [mount.mount_id for mount in mounts_along(mountinfo, b"/proc")] == [41]
