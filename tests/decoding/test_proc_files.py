"""Files of /proc whose shape several parts of the program rely on."""

from __future__ import annotations

import pytest

from procmirror.decoding.proc_files import (
    MountLine,
    mount_line,
    mount_lines,
    socket_inode,
    stat_columns,
    status_value,
)
from procmirror.identity.errors import error

STATUS = (
    b"Name:\tUid:\t9\t9\nUmask:\t0022\nTgid:\t7\nUid:\t1\t2\t3\t4\nGroups:\t \nVmUid:\t5\nlast:\tx"
)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"Tgid", b"7"),
        (b"Uid", b"1\t2\t3\t4"),
        (b"Umask", b"0022"),
        (b"Groups", b""),
        (b"last", b"x"),
    ],
)
def test_a_value_of_status(key: bytes, value: bytes) -> None:
    assert status_value(STATUS, key) == value


@pytest.mark.parametrize("key", [b"Name", b"mask", b"Uid:\t1", b"NSpid", b"u"])
def test_a_key_that_status_lacks(key: bytes) -> None:
    """The first line is the name of the task, and the end of a key is none."""
    with pytest.raises(ValueError, match="in status"):
        status_value(STATUS, key)
    with pytest.raises(ValueError, match="in status"):
        status_value(b"", key)


@pytest.mark.parametrize("comm", [b"sh", b"", b"a b", b") S 1 (", b"(", b"))", b"a\\nb", b"\xff)"])
def test_a_name_may_hold_anything(comm: bytes) -> None:
    assert stat_columns(b"7 (" + comm + b") S 1 7 7\n") == [b"S", b"1", b"7", b"7"]


def test_stat_without_a_name() -> None:
    with pytest.raises(ValueError, match="not found"):
        stat_columns(b"7 sh S 1\n")


# Debian 12, Linux 6.1.
PLAIN = b"26 29 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=4028548k,mode=755"


def test_a_line_of_mountinfo() -> None:
    assert mount_line(PLAIN) == MountLine(
        *(26, 29, b"0:5", b"/", b"/dev", b"rw,nosuid"),
        [b"shared:2"],
        *(b"devtmpfs", b"udev", b"rw,size=4028548k,mode=755"),
    )


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        (rb"1 0 0:5 /a\040b /m\012n\134\043 rw - tmpfs - rw", (b"/a b", b"/m\nn\\#", [], b"-")),
        (rb"1 0 0:5 / /- rw - tmpfs  rw", (b"/", b"/-", [], b"")),
        (rb"1 0 0:5 / /m rw shared:1 master:2 unbindable - tmpfs a\040- rw", None),
    ],
)
def test_escapes_empty_sources_and_optional_fields(
    line: bytes, changed: tuple[bytes, bytes, list[bytes], bytes] | None
) -> None:
    mount = mount_line(line)
    expected = changed or (b"/", b"/m", [b"shared:1", b"master:2", b"unbindable"], b"a -")
    assert (mount.root, mount.mount_point, mount.optional, mount.source) == expected
    assert (mount.fs_type, mount.super_options) == (b"tmpfs", b"rw")


@pytest.mark.parametrize("line", [b"", b"1 0 0:5 / /m rw tmpfs none rw", b"1 0 0:5 / /m rw -"])
def test_what_is_no_mount_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"not in|unpack"):
        mount_line(line)


def test_lines_of_mountinfo() -> None:
    assert mount_lines(PLAIN + b"\n" + PLAIN + b"\n") == [mount_line(PLAIN)] * 2
    assert mount_lines(b"") == []


def test_an_error_has_the_class_and_the_words_of_its_errno() -> None:
    assert repr(error(2)) == "FileNotFoundError(2, 'No such file or directory')"
    assert type(error(3)) is ProcessLookupError
    assert type(error(13)) is PermissionError


@pytest.mark.parametrize(
    ("link", "inode"),
    [
        ("socket:[8080]", 8080),
        ("socket:[18446744073709551615]", 2**64 - 1),
        ("socket:[]", None),
        ("socket:[+1]", None),
        ("socket:[\u0661]", None),
        ("socket:[7]\n", None),
        ("/tmp/socket:[7]", None),
        ("pipe:[7]", None),
    ],
)
def test_a_socket_is_named_by_a_link_of_its_form_alone(link: str, inode: int | None) -> None:
    assert socket_inode(link) == inode
