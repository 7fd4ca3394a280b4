"""What hostile names and refused files do to the views of sockets.

Nothing that another process would have to bear.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.byte_order import decoding_as
from procmirror.decoding.render import rendered
from procmirror.decoding.shapes import inet_address
from procmirror.decoding.view import DecodeError, Machine
from procmirror.views import VIEWS, sockets, sockets_text
from procmirror.views.net import unix
from tests.fixtures import MACHINES, Folder

HEADER = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
ROW = b"00000000461edaf3: 00000003 00000000 00000000 0001 03 %5d"
CONTAINER = MACHINES / "container"
NAMESPACE = {"net": "net:[4026532323]"}
SOCKETS = next(view for view in VIEWS if view.name == "sockets")


def decoded(*lines: bytes) -> list[unix.Unix]:
    return unix.decode(HEADER + b"".join(line + b"\n" for line in lines), Machine())


def joined(folder: Folder, **facts: Any) -> dict[str | None, sockets.Socket]:
    return {one.local: one for one in sockets.join(folder, Machine(**facts))}


def test_a_name_with_newlines_blinds_nobody() -> None:
    found = decoded(ROW % 7 + b" /tmp/two", b"", b"lines", ROW % 8)
    assert [(one.inode, one.path) for one in found] == [(7, "/tmp/two"), (8, None)]
    assert found[0].unparsed == ["", "lines"]


def test_rows_that_share_an_inode_are_marked_and_those_without_one_are_not() -> None:
    found = decoded(ROW % 7 + b" @x", ROW % 7 + b" /run/forged", ROW % 8, ROW % 0, ROW % 0)
    assert [one.ambiguous for one in found] == [True, True, False, False, False]


@pytest.mark.parametrize(
    "line",
    [
        ROW.replace(b"0003", b"3", 1) % 7,
        (ROW % 7).upper(),
        ROW % 7 + b"/no/blank",
        b" " + ROW % 7,
        (ROW % 7).replace(b"    7", b"7"),
        b"00000000461edaf3: 00000003 00000000 00000000 0001 03 " + b"9" * 20,
    ],
)
def test_what_the_kernel_would_not_print_is_no_row(line: bytes) -> None:
    assert len(decoded(ROW % 1, line)) == 1


@pytest.mark.parametrize("line", [b"", b"x", ROW[1:] % 7])
def test_another_format_than_the_kernels_is_an_error(line: bytes) -> None:
    view = next(view for view in VIEWS if view.name == "net/unix")
    with pytest.raises(DecodeError):
        view.record_of(Folder(Path(), {"unix": HEADER + line + b"\n"}), Machine())


def test_a_blank_at_either_end_of_a_name_is_kept() -> None:
    assert decoded(ROW % 1 + b"  a ")[0].path == " a "
    assert decoded(ROW % 1 + b" ")[0].path == ""


def test_forged_rows_name_no_process_and_leave_the_genuine_socket_alone() -> None:
    found = joined(Folder(CONTAINER), namespaces=NAMESPACE)
    assert found["0.0.0.0:22"].processes == (sockets.Process(44, "sshd", [3]),)
    assert found["/run/forged0"].inode == found["0.0.0.0:22"].inode
    for name in ("/run/forged0", "/run/forged1", "dbus.sock"):
        assert found[name].ambiguous and found[name].processes == ()


def test_processes_of_another_network_namespace_are_named_only_if_that_cannot_be_told() -> None:
    assert joined(Folder(CONTAINER), namespaces=NAMESPACE)["127.0.0.1:9999"].processes == ()
    assert joined(Folder(CONTAINER))["127.0.0.1:9999"].processes == (
        sockets.Process(50, "elsewhere", [3]),
    )


def test_a_file_that_may_not_be_read_is_said_and_spoils_nothing() -> None:
    class Refusing(Folder):
        def read(self, path: str) -> bytes:
            if path == "self/net/udp":
                raise PermissionError(13, "Permission denied")
            if path.endswith("/comm"):
                raise ProcessLookupError(3, "No such process")
            return super().read(path)

    found = list(sockets.join(Refusing(CONTAINER), Machine(namespaces=NAMESPACE)))
    assert [(one.netid, one.inode) for one in found if one.incomplete] == [("udp", None)]
    assert next(one for one in found if one.local == "0.0.0.0:22").processes == (
        sockets.Process(44, None, [3]),
    )
    assert "net/udp: EACCES" in sockets_text.text(found, Machine())


def test_what_vanishes_while_it_is_read_is_left_out() -> None:
    class Vanishing(Folder):
        def read(self, path: str) -> bytes:
            if path == "self/net/udplite":
                raise FileNotFoundError(2, "No such file or directory")
            return super().read(path)

        def link(self, path: str) -> str:
            if path.endswith(("/ns/net", "44/fd/3")):
                raise PermissionError(13, "Permission denied")
            return super().link(path)

    found = joined(Vanishing(CONTAINER), namespaces=NAMESPACE)
    assert found["0.0.0.0:22"].processes == ()
    assert found["[::]:22"].processes == (sockets.Process(44, "sshd", [5]),)
    assert found["127.0.0.1:9999"].processes == (sockets.Process(50, "elsewhere", [3]),)


def test_no_name_hides_a_socket_from_the_text() -> None:
    content = HEADER + ROW % 7 + b" @evil:kernel\n"
    found = sockets.join(Folder(CONTAINER, {"self/net/unix": content}), Machine())
    text = sockets_text.text(found, Machine())
    assert "@evil:kernel" in text and "route:kernel" not in text


@pytest.mark.parametrize(
    ("table", "own", "peer", "address"),
    [
        ("raw", b"00000000", b"00000000", None),
        ("raw", b"020200C0", b"4D0200C0", "192.0.2.77"),
        ("raw6", b"0" * 32, b"0" * 32, None),
        ("raw6", b"0" * 32, b"B80D0120000000000000000002000000", "2001:db8::2"),
    ],
)
def test_the_peer_of_a_raw_socket_has_an_address_and_no_port(
    table: str, own: bytes, peer: bytes, address: str | None
) -> None:
    """The kernel prints 0 for the port of the peer of every raw socket (net/ipv4/raw.c)."""
    heading = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
    ends = b"  58: %b:003A %b:0000 01 00000000:00000000 00:00000000 00000000" % (own, peer)
    content = heading + b"\n" + ends + b"     0        0 7007 2 000000008e808973 0\n"
    found = sockets.join(Folder(CONTAINER, {f"self/net/{table}": content}), Machine())
    one = next(one for one in found if one.inode == 7007)
    assert (one.peer_address, one.peer_port) == (address, None)


def test_a_name_cannot_forge_a_line_of_the_text() -> None:
    content = HEADER + ROW % 7 + b" @a\rLISTEN\n" + b"tcp    LISTEN\n"
    found = SOCKETS.record_of(Folder(CONTAINER, {"self/net/unix": content}), Machine())
    assert r"@a\rLISTEN\ntcp\x20\x20\x20\x20LISTEN" in sockets_text.text(found, Machine())


@pytest.mark.parametrize(
    ("digits", "address"),
    [
        (b"0100007F", "127.0.0.1"),
        (b"00000000000000000000000001000000", "::1"),
        (b"0000000000000000FFFF00000100007F", "::ffff:127.0.0.1"),
        (b"B80D0120000000000000000002000000", "2001:db8::2"),
    ],
)
def test_addresses_are_words_of_the_host(digits: bytes, address: str) -> None:
    with decoding_as("little"):
        assert inet_address(digits) == address
    swapped = b"".join(
        bytes.fromhex(digits[at : at + 8].decode())[::-1].hex().encode()
        for at in range(0, len(digits), 8)
    )
    with decoding_as("big"):
        assert inet_address(swapped) == address


CONNTRACK = (MACHINES / "documented" / "net" / "nf_conntrack").read_bytes()


def tracked(raw: bytes) -> bytes:
    view = next(view for view in VIEWS if view.name == "net/nf_conntrack")
    return b"".join(
        rendered(
            view,
            "json",
            view.record_of(Folder(Path(), {"nf_conntrack": raw}), Machine()),
            Machine(),
        )
    )


def test_a_table_of_connections_cut_anywhere_gives_connections_or_an_error() -> None:
    for end in range(0, len(CONNTRACK), 5):
        with suppress(DecodeError):
            json.loads(tracked(CONNTRACK[:end]))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"ipv4 2",
        b"ipv4 2 tcp 6",
        b"ipv4 2 tcp 6 1 x=1 src=1 dst=2",
        b"ipv4 2 udp 17 1 src=x: dst=:",
    ],
)
def test_a_line_that_is_no_connection_is_an_error(line: bytes) -> None:
    with pytest.raises(DecodeError):
        tracked(line + b"\n")
