"""What the kernel knows of the mirror, without a mount: lookups, FORGET, and names that come again."""

from __future__ import annotations

import stat
from types import SimpleNamespace
from typing import Any

import pytest

from procmirror.decoding.proc_files import mount_lines
from procmirror.fuse import listed_numbers, nodes
from procmirror.fuse.mounts_below import MountsBelow
from procmirror.fuse.nodes import ROOT, Node, Nodes
from procmirror.mirror.traits import Directory, directory
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Process


class Kernel:
    """Nodes, and the names that the kernel was asked to forget."""

    def __init__(self) -> None:
        self.dropped: list[bytes] = []
        self.nodes = Nodes(directory(""), lambda node: self.dropped.append(node.name))

    def process(self, name: bytes, lookups: int = 1) -> Node:
        """A process in the root that was looked up."""
        traits = directory("PID")
        made = self.nodes.add(self.nodes.root, name, Process(name, 1), b"", traits, None)
        made.lookups = lookups
        return made

    def below(self, parent: Node, name: bytes, traits: Directory | None = None) -> Node:
        """A name in the directory of a process."""
        path = parent.path + b"/" + name if parent.path else name
        made = self.nodes.add(parent, name, parent.process, path, traits, None)
        made.lookups = 1
        return made


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_a_number_means_one_node_as_long_as_it_is_looked_up(kernel: Kernel) -> None:
    node = kernel.process(b"40", lookups=3)
    kernel.nodes.forget(node.number, 2)
    assert kernel.nodes[node.number] is kernel.nodes.root.children[b"40"] is node
    assert kernel.nodes.forget(node.number, 1) is node.process
    assert kernel.nodes.get(node.number) is None
    assert b"40" not in kernel.nodes.root.children


def test_a_forgotten_node_does_not_take_the_name_of_its_successor(kernel: Kernel) -> None:
    """The kernel forgets the old number long after the name has got a new one."""
    old, new = kernel.process(b"40"), kernel.process(b"40")
    assert kernel.nodes.forget(old.number, 1) is old.process
    assert kernel.nodes.root.children[b"40"] is new is kernel.nodes[new.number]


def test_numbers_are_never_given_twice(kernel: Kernel) -> None:
    numbers = set()
    for _ in range(5):
        node = kernel.process(b"40")
        numbers.add(node.number)
        kernel.nodes.forget(node.number, 1)
    assert len(numbers) == 5
    assert len(kernel.nodes) == 1


def test_only_the_node_of_its_directory_gives_a_process_back(kernel: Kernel) -> None:
    process = kernel.process(b"40")
    entry = kernel.below(process, b"status")
    assert kernel.nodes.forget(entry.number, 1) is None
    # A view of no file of its own has the path of its directory.
    view = kernel.nodes.add(process, b"process.json", process.process, b"", None, None)
    view.lookups = 1
    assert kernel.nodes.forget(view.number, 1) is None
    assert kernel.nodes.forget(process.number, 1) is process.process


def test_the_root_is_never_forgotten(kernel: Kernel) -> None:
    assert kernel.nodes.forget(ROOT, 1 << 40) is None
    assert kernel.nodes[ROOT] is kernel.nodes.root


def test_a_number_that_nobody_has_is_forgotten_in_silence(kernel: Kernel) -> None:
    assert kernel.nodes.forget(77, 1) is None


def test_the_oldest_of_too_many_descriptors_is_dropped_and_other_files_are_not(
    kernel: Kernel,
) -> None:
    kernel.nodes._leaves.most = 2
    process = kernel.process(b"40")
    folder = kernel.below(process, b"fd", directory("PID/fd"))
    for name in (b"0", b"1", b"2"):
        kernel.below(folder, name)
    for name in (b"stat", b"status", b"comm"):
        kernel.below(process, name)
    assert kernel.dropped == [b"0"]


def test_a_name_that_is_forgotten_makes_room_for_another(
    kernel: Kernel,
) -> None:
    kernel.nodes._leaves.most = 2
    folder = kernel.below(kernel.process(b"40"), b"fd", directory("PID/fd"))
    for name in (b"0", b"1", b"2", b"3"):
        kernel.nodes.forget(kernel.below(folder, name).number, 1)
    assert kernel.dropped == []


def test_processes_are_the_numbers_of_the_root(kernel: Kernel) -> None:
    process = kernel.process(b"40")
    kernel.nodes.add(kernel.nodes.root, b"uptime", None, b"uptime", None, None)
    kernel.below(process, b"7")
    assert kernel.nodes.processes() == [process]


def test_directories_of_threads_are_kept_to_a_number(
    kernel: Kernel,
) -> None:
    """Nothing else ends them: a process may have any number of threads, and end none."""
    kernel.nodes._directories.most = 2
    process = kernel.process(b"40")
    task = kernel.below(process, b"task", directory("PID/task"))
    threads = [kernel.below(task, b"%d" % tid, directory("PID/task/TID")) for tid in (41, 42)]
    kernel.below(threads[0], b"fd", directory("PID/task/TID/fd"))
    assert kernel.dropped == []
    kernel.below(task, b"43", directory("PID/task/TID"))
    assert kernel.dropped == [b"41"]
    # What the kernel forgot by itself makes room.
    kernel.nodes.forget(threads[1].number, 1)
    kernel.below(task, b"44", directory("PID/task/TID"))
    assert kernel.dropped == [b"41"]


@pytest.mark.parametrize(
    ("place", "is_directory"),
    [
        ("sys/net/ipv4/conf", True),
        ("sys/net/ipv6/neigh", True),
        ("sys/net/ipv4/conf/lo", False),
        ("PID/net/dev_snmp6", False),
    ],
)
def test_names_of_interfaces_are_kept_to_a_number(
    kernel: Kernel, place: str, is_directory: bool
) -> None:
    """A user gives one interface any number of names, in a network namespace of its own."""
    kernel.nodes._directories.most = kernel.nodes._leaves.most = 2
    parent = kernel.below(kernel.process(b"40"), place.rsplit("/", 1)[-1].encode())
    parent.traits = directory(place)
    for name in (b"a", b"b", b"c"):
        kernel.below(parent, name, directory(f"{place}/c") if is_directory else None)
    assert kernel.dropped == [b"a"]


def test_who_looks_up_most_loses_its_own_names(kernel: Kernel) -> None:
    """Whoever has one as its working directory would be told that it is deleted."""
    kernel.nodes._account_of = lambda asker: int(str(asker))
    kernel.nodes._directories.most = 4
    task = kernel.below(kernel.process(b"40"), b"task", directory("PID/task"))

    def look_up(name: bytes, account: int) -> None:
        thread = directory("PID/task/TID")
        kernel.nodes.add(task, name, task.process, name, thread, None, account)

    for name, account in ((b"1", 0), (b"2", 1000), (b"3", 1000), (b"4", 1000)):
        look_up(name, account)
    assert kernel.dropped == []
    for name in (b"5", b"6", b"7", b"8", b"9"):
        look_up(name, 1000)
    assert kernel.dropped == [b"2", b"3", b"4", b"5", b"6"]
    # Of two that have as many, who asks loses one.
    look_up(b"10", 0)
    assert kernel.dropped[5:] == [b"7"]
    look_up(b"11", 0)
    assert kernel.dropped[6:] == [b"1"]


def test_a_name_that_others_looked_up_too_is_not_dropped_for_who_was_first(
    kernel: Kernel,
) -> None:
    """Whoever lists all first would have all names, and the working directories of others."""
    kernel.nodes._account_of = lambda asker: int(str(asker))
    kernel.nodes._directories.most = 3
    task = kernel.below(kernel.process(b"40"), b"task", directory("PID/task"))

    def look_up(name: bytes, account: int) -> None:
        attributes = Attributes(stat.S_IFDIR | 0o555, *[0] * 10)
        source: Any = None
        kernel.nodes.of(task, name, name, attributes, source, account)

    for name in (b"1", b"2", b"3"):
        look_up(name, 1000)
    look_up(b"1", 0)
    for name in (b"4", b"5", b"6", b"7"):
        look_up(name, 1000)
    assert kernel.dropped == [b"2", b"3", b"4", b"5"]
    kernel.nodes.forget(task.children[b"1"].number, 0)
    assert len(kernel.nodes._directories) == 2


def test_a_mount_below_another_mirror_is_none_below_this_one() -> None:
    """A user may mount what has the type of a mirror."""
    kernel = Kernel()
    masked = kernel.below(kernel.process(b"40"), b"environ")
    text = (
        b"20 1 0:5 / / rw - ext4 /dev/vda rw\n"
        b"30 20 0:9 / /mnt rw - fuse.procmirror /proc rw\n"
        b"31 20 0:10 / /home/own rw - fuse.procmirror none rw\n"
        b"32 31 0:3 / /home/own/40/environ rw - tmpfs none rw\n"
    )
    mounts: Any = SimpleNamespace(all=lambda: mount_lines(text))
    below = MountsBelow(mounts)
    assert below.holds(masked)
    below.device = b"0:9"
    assert not below.holds(masked) and not below.holds_below(masked)
    below.device = b"0:10"
    assert below.holds(masked) and below.holds_below(masked)


def test_what_is_mounted_below_a_directory_is_known() -> None:
    kernel = Kernel()
    task = kernel.below(kernel.process(b"40"), b"task", directory("PID/task"))
    thread, other = (kernel.below(task, name, directory("PID/task/TID")) for name in (b"41", b"4"))
    text = (
        b"20 1 0:5 / / rw - ext4 /dev/vda rw\n"
        b"30 20 0:9 / /mnt rw - fuse.procmirror /proc rw\n"
        b"31 30 0:3 / /mnt/40/task/41/comm rw - tmpfs none rw\n"
    )
    mounts: Any = SimpleNamespace(all=lambda: mount_lines(text))
    below = MountsBelow(mounts)
    assert below.holds_below(thread) and not below.holds(thread)
    assert not below.holds_below(other)


def test_numbers_of_listed_names_are_kept_for_so_many(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed_numbers, "_MOST", 3)
    first, second = kernel.process(b"7"), kernel.process(b"8")

    def number(directory: Node, name: bytes) -> int:
        return kernel.nodes.listed.numbers(directory.number)[name]

    told = {name: number(first, name) for name in (b"a", b"b", b"c")}
    assert len(set(told.values())) == len(kernel.nodes.listed) == 3
    assert {name: number(first, name) for name in told} == told
    other = number(second, b"a")
    assert number(second, b"a") == other
    assert len(kernel.nodes.listed) == 1, "those of the directory that came first are dropped"
    assert number(first, b"a") not in {*told.values(), other}


def test_numbers_of_a_directory_that_is_forgotten_are_dropped(kernel: Kernel) -> None:
    process = kernel.process(b"7")
    told = kernel.nodes.listed.numbers(process.number)[b"a"]
    assert kernel.below(process, b"a").number == told
    assert not len(kernel.nodes.listed)
    assert kernel.nodes.listed.numbers(process.number)[b"b"]
    kernel.nodes.forget(process.number, 1)
    assert not len(kernel.nodes.listed)


@pytest.mark.parametrize("last", [True, False])
def test_listed_names_get_numbers_that_nothing_else_has(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    process = kernel.process(b"7")
    taken = kernel.below(process, b"z").number + 2
    if last:
        monkeypatch.setattr(nodes, "_LAST", taken)
    else:
        kernel.nodes.taken = taken.__eq__
    names = [b"a", b"b", b"c"]
    told = dict(kernel.nodes.listed.numbers(process.number, names))
    assert list(told) == names and len(set(told.values())) == 3
    assert (taken in told.values()) == last
    assert not last or told[b"c"] > 1 << 32
    assert kernel.below(process, b"b").number == told[b"b"]
    assert kernel.nodes.listed.numbers(process.number, [b"a", b"c"])[b"c"] == told[b"c"]
    assert len(kernel.nodes.listed) == 2


def test_of_names_that_are_listed_at_once_so_many_numbers_are_kept(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed_numbers, "_MOST", 3)
    first, second = kernel.process(b"7").number, kernel.process(b"8").number
    told = kernel.nodes.listed.numbers(first, [b"a", b"b"])
    kernel.nodes.listed.numbers(second, [b"a", b"b"])
    assert len(kernel.nodes.listed) == 2
    assert told[b"a"] < kernel.nodes.listed.numbers(first, [b"a"])[b"a"]
    assert len(kernel.nodes.listed.numbers(second, [b"c", b"d", b"e", b"f"])) >= 4
    assert len(kernel.nodes.listed) == 1, "the directory that is kept the longest is dropped"
