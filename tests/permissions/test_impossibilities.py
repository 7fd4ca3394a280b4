"""What a file system in user space cannot answer as the kernel does.

Each difference shown, so that none is only believed.

docs/PERMISSIONS.md lists them with their reasons. A test here fails when a difference has gone, and
the list is then too long.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mounting import Mount
from tests.permissions.compare import IMPOSSIBLE
from tests.permissions.operations import Answer
from tests.permissions.requesters import OWNER
from tests.permissions.sessions import session
from tests.permissions.targets import Target

FUSE_SUPER_MAGIC = b"65735546"


@pytest.fixture(scope="module")
def target(everybody: list[Target]) -> Target:
    return next(target for target in everybody if target.name == "ordinary")


@pytest.fixture
def both(mirror: Mount) -> Callable[..., tuple[Answer, Answer]]:
    """The kernel's answer and the mirror's to a requester; the path is one below /proc."""

    def ask(requester: str, operation: str, path: str, argument: int = 0) -> tuple[Answer, Answer]:
        with session(requester) as running:
            path = path.replace("SELF", str(running.pid))
            return running.one(operation, f"/proc{path}", argument), running.one(
                operation, f"{mirror.path}{path}", argument
            )

    return ask


Both = Callable[..., tuple[Answer, Answer]]


def test_every_impossibility_names_a_test_that_is_here() -> None:
    assert {impossibility.test for impossibility in IMPOSSIBLE} <= set(globals())


def test_every_test_here_stands_in_the_documentation() -> None:
    document = (Path(__file__).parents[2] / "docs" / "PERMISSIONS.md").read_text()
    shown = [
        name for name in globals() if name.startswith("test_") and not name.startswith("test_every")
    ]
    assert [name for name in shown if name not in document] == []


@pytest.mark.parametrize("name", ["fd/4", "fd/5", "ns/net", "ns/user"])
def test_a_link_is_text_and_leads_nowhere_by_magic(both: Both, target: Target, name: str) -> None:
    """The kernel goes to the object itself.

    A link of FUSE is read as a path, which pipes, sockets and namespaces have not. A pipe is not
    found; a namespace can be looked at and not opened.
    """
    kernel, mirror = both("root", "followed", f"/{target.pid}/{name}")
    if name == "fd/5":  # a socket cannot be opened, but it is found
        assert kernel.errno == mirror.errno == errno.ENXIO
    else:
        assert kernel.errno == 0
        assert mirror.errno == (errno.ENOENT if name == "fd/4" else errno.EACCES)


def test_the_file_system_is_another_type(both: Both) -> None:
    kernel, mirror = both("root", "magic", "")
    assert (kernel.data, mirror.data) == (b"9fa0", FUSE_SUPER_MAGIC)


def test_a_directory_of_the_mirror_is_no_pidfd(both: Both, target: Target) -> None:
    kernel, mirror = both("root", "as_pidfd", f"/{target.pid}")
    assert (kernel.errno, mirror.errno) == (0, errno.EBADF)


def test_ioctls_do_not_arrive(both: Both, target: Target) -> None:
    kernel, mirror = both("root", "mapping_asked", f"/{target.pid}/maps", target.address)
    assert (kernel.errno, mirror.errno) == (0, errno.ENOTTY)


def test_a_file_can_be_mapped_that_the_kernel_would_not_map(both: Both, target: Target) -> None:
    kernel, mirror = both("root", "mapped", f"/{target.pid}/status")
    assert (kernel.errno, mirror.errno) == (errno.ENODEV, 0)


def test_the_end_of_a_file_without_size_is_its_beginning(both: Both, target: Target) -> None:
    kernel, mirror = both("root", "at_the_end", f"/{target.pid}/status")
    assert (kernel, mirror) == (Answer(errno.EINVAL), Answer(0, b"0"))


def test_epoll_takes_every_file(both: Both, target: Target) -> None:
    kernel, mirror = both("root", "polled", f"/{target.pid}/status")
    assert (kernel.errno, mirror.errno) == (errno.EPERM, 0)


@pytest.mark.parametrize("name", ["self/mounts", "self/mountinfo"])
def test_no_poll_tells_of_a_change(both: Both, name: str) -> None:
    """The FUSE library passes no polls on."""
    kernel, mirror = both("root", "tells_changes", f"/{name}")
    assert (kernel.data, mirror.data) == (b"told", b"nothing")


def test_a_handle_leads_to_what_its_user_may_open(both: Both, target: Target) -> None:
    kernel, mirror = both("root", "by_handle", f"/{target.pid}/status")
    assert kernel.errno == errno.EOPNOTSUPP
    assert mirror.data.startswith(b"Name:")
    # CAP_DAC_READ_SEARCH opens by handles, but is no right to look into a process.
    _, mirror = both("another with SYS_PTRACE and DAC_READ_SEARCH", "by_handle", "/1/status")
    assert mirror.data.startswith(b"Name:")
    _, mirror = both("another with CAP_DAC_READ_SEARCH", "by_handle", f"/{target.pid}/environ")
    assert mirror.errno == errno.EACCES
    _, mirror = both("another", "by_handle", f"/{target.pid}/status")
    assert mirror.errno == errno.EPERM


def test_addresses_in_the_upper_half_cannot_be_read(both: Both, target: Target) -> None:
    """The offset of a FUSE file is a signed number.

    Seeking there fails where the kernel's mem only finds nothing.
    """
    kernel, mirror = both("root", "beyond", f"/{target.pid}/mem")
    assert (kernel.errno, mirror.errno) == (errno.EIO, errno.EINVAL)


def test_a_watch_is_granted_without_a_question(both: Both, target: Target) -> None:
    """Inotify and fanotify ask the inode for the right to read.

    FUSE has none but what was last seen of its mode.
    """
    kernel, mirror = both("another", "watched", f"/{target.pid}/fd")
    assert (kernel.errno, mirror.errno) == (errno.EACCES, 0)


def test_the_owner_of_a_setting_is_that_of_the_daemons_namespaces(both: Both) -> None:
    """FUSE has one file for all namespaces, and the kernel lets its owner have leases on it."""
    kernel, mirror = both("root of the owner's container", "lstat", "/sys/net/ipv4/route/flush")
    assert kernel.data.split()[1] == b"0:0" and mirror.data.split()[1] == b"65534:65534"


def test_a_landlock_domain_cannot_be_seen(both: Both, target: Target) -> None:
    """The kernel refuses a sandboxed process what is outside its domain, and says nowhere that there is one."""
    kernel, mirror = both("landlocked owner", "readlink", f"/{target.pid}/exe")
    assert (kernel.errno, mirror.errno) == (errno.EACCES, 0)


def test_keys_are_possessed_only_by_oneself(both: Both) -> None:
    """/proc/keys shows a key also to who possesses it by keyrings, which another process cannot have."""
    kernel, mirror = both("another", "shows_own_key", "/keys")
    assert (kernel.data, mirror.data) == (b"shown", b"not shown")


def test_a_link_outside_of_the_readers_root_leads_nowhere(both: Both, target: Target) -> None:
    """The kernel's text leads to what stands at that path below the reader's root, if anything."""
    kernel, mirror = both("root", "rooted", f"/{target.pid}/exe")
    assert (kernel.data, mirror.data) == (b"/bin/sleep", b"/bin/sleep")
    kernel, mirror = both("root", "rooted", f"/{target.pid}/root")
    assert (kernel.data, mirror.data) == (b"/", b"(unreachable)/")


def test_who_reads_a_descriptor_that_was_given_to_him_is_taken_for_who_opened_it(
    both: Both, target: Target
) -> None:
    """READ does not say who reads (pyfuse3 has no context for it), so it is judged by the opener's rights."""
    kernel, mirror = both("root", "passed", f"/{target.pid}/io", OWNER)
    assert kernel.data == b"errno 13"
    assert mirror.data.startswith(b"rchar:")
    kernel, mirror = both("root", "passed", f"/{target.pid}/map_files", OWNER)
    assert kernel.data == b"errno 13"
    assert b"-" in mirror.data


def test_what_is_judged_at_each_read_knows_no_self(mirror: Mount) -> None:
    """A descriptor of one's own `timerslack_ns` may be read by others, or after an exec.

    Its reads are judged as anybody's.
    """
    with session("another") as requester:
        kernel, ours = (
            requester.one("read", f"{proc}/self/timerslack_ns") for proc in ("/proc", mirror.path)
        )
    assert (kernel.errno, ours.errno) == (0, errno.EPERM)


def test_who_looks_at_himself_sees_himself_waiting(both: Both) -> None:
    """Mostly: a daemon on another processor may look before its requester has fallen asleep."""
    for _ in range(50):
        kernel, mirror = both("root", "read", "/SELF/wchan")
        assert kernel.data == b"0"
        if mirror.data != b"0":
            break
    assert mirror.data == b"request_wait_answer"


def test_a_listing_of_oneself_lacks_its_own_descriptor(both: Both) -> None:
    """What only being oneself allows is done at once, in the one question that opens."""
    kernel, mirror = both("owner, not dumpable", "listdir", "/SELF/fd")
    assert (kernel.data, mirror.data) == (b"0\n1\n2\n3", b"0\n1\n2")


@pytest.mark.parametrize("path", ["/loadavg", "/sysvipc/shm", "/sys/kernel/pid_max"])
def test_what_depends_on_the_pid_namespace_is_refused_from_another(both: Both, path: str) -> None:
    kernel, mirror = both("root in a child pid namespace", "read", path)
    assert (kernel.errno, mirror.errno) == (0, errno.EACCES)


def test_an_empty_mount_point_lists_no_attributes(both: Both) -> None:
    kernel, mirror = both("root", "listxattr", "/sys/fs/binfmt_misc")
    assert (kernel.errno, mirror.errno) == (errno.ENOTSUP, 0)


def test_a_ring_acts_without_capabilities_and_groups(both: Both, target: Target) -> None:
    """A thread of io_uring shows the credentials of its birth, not those of the request.

    Only user and group are believed.
    """
    kernel, mirror = both(
        "ring of another with root's personality", "read", f"/{target.pid}/environ"
    )
    assert (kernel.errno, mirror.errno) == (0, errno.EACCES)


def test_a_ring_reads_nothing_from_a_file_without_size(both: Both, target: Target) -> None:
    """The kernel's FUSE ends an asynchronous read at the size of the file without asking (fs/fuse/file.c, fuse_direct_IO)."""
    kernel, mirror = both(
        "ring warmed as root, then another", "read by ring", f"/{target.pid}/status"
    )
    assert kernel.data and not mirror.data


def test_a_lock_on_the_mirrors_file_is_not_on_the_kernels(mirror: Mount) -> None:
    path = "sys/kernel/hostname"
    with open(f"/proc/{path}", "rb") as kernel, (mirror.path / path).open("rb") as ours:
        fcntl.flock(kernel, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_inodes_and_devices_have_numbers_of_their_own(mirror: Mount) -> None:
    kernel, ours = os.stat("/proc/version"), os.stat(mirror.path / "version")
    assert (kernel.st_dev, kernel.st_ino) != (ours.st_dev, ours.st_ino)


def test_addresses_that_only_a_true_user_may_see_are_zeros(both: Both) -> None:
    """With kptr_restrict=1, %pK asks for CAP_SYSLOG and for equal real and effective ids, which acting as another has not."""
    restriction = Path("/proc/sys/kernel/kptr_restrict")
    before = restriction.read_text()
    restriction.write_text("1")
    try:
        kernel, mirror = both("another with CAP_SYSLOG", "read", "/net/unix")
    finally:
        restriction.write_text(before)
    addresses = [
        {line.split(b":")[0] for line in answer.data.splitlines()[1:-1]}
        for answer in (kernel, mirror)
    ]
    assert len(addresses[0]) > 1
    assert addresses[1] == {b"0" * 16}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("owner", 0),
        ("root of the owner's new user namespace", 0),
        ("owner without capabilities in a new user namespace", errno.EPERM),
    ],
)
def test_who_serves_a_user_namespace_has_no_right_that_the_requester_lacks(
    mirror: Mount, name: str, told: int
) -> None:
    """CAP_SYS_NICE would be a right on all of that namespace, for who has none there."""
    with session(name) as requester:
        assert requester.one("read", "/proc/self/timerslack_ns").errno == 0
        for view in ("timerslack_ns.txt", "timerslack_ns.json"):
            assert requester.one("content", f"{mirror.path}/self/{view}").errno == told


def test_a_path_leads_through_a_private_directory_back_to_its_parent(both: Both) -> None:
    """Which everybody may search: FUSE asks no question where a path only goes through."""
    for path in ("/1/fd/..", "/1/fdinfo/.", "/tty/driver/.."):
        kernel, mirror = both("another", "lstat", path)
        assert (kernel.errno, mirror.errno) == (errno.EACCES, 0)
    for path in ("/1/fd/0", "/1/fdinfo/0"):
        kernel, mirror = both("another", "lstat", path)
        assert kernel.errno == mirror.errno == errno.EACCES
