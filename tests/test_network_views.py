"""What fixtures of the network views cannot say.

Files that go away, lines that do not belong together.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from procmirror.decoding.shapes import counters, flags, headed_counters, ipv4, ipv6
from procmirror.decoding.view import Machine
from procmirror.views import VIEWS
from procmirror.views.net import netstat
from tests.fixtures import MACHINES, Folder

_VIEWS = {view.name: view for view in VIEWS}


class Without(Folder):
    """The captured network directory, in which one file answers with an error."""

    def __init__(self, path: str, error: int) -> None:
        super().__init__(MACHINES / "bookworm" / "net")
        self.path, self.error = path, error

    def read(self, path: str) -> bytes:
        if path == self.path:
            raise OSError(self.error, "")
        return super().read(path)


def rows(name: str, path: str, error: int) -> Any:
    return _VIEWS[name].record_of(Without(path, error), Machine())


def test_an_interface_that_went_away_is_null() -> None:
    found = {one.interface: one for one in rows("net/dev_snmp6", "dev_snmp6/tun0", errno.ENOENT)}
    assert (found["tun0"].ifIndex, found["tun0"].counters) == (None, None)
    assert found["lo"].ifIndex == 1 and found["lo"].counters


def test_statistics_that_may_not_be_read_are_named() -> None:
    found = rows("net/stat", "stat/nf_conntrack", errno.EACCES)
    (missing,) = found["nf_conntrack"].incomplete
    assert (missing.part, missing.reason) == ("stat/nf_conntrack", "EACCES")
    assert found["rt_cache"]


def test_lines_that_do_not_belong_together_are_no_group_of_counters() -> None:
    assert headed_counters(b"A: x y\nA: 1 2\nB:\nB:\n") == {"A": {"x": 1, "y": 2}, "B": {}}
    for raw in (b"A: x\nB: 1\n", b"A: x\nA: 1 2\n", b"A: x\n", b"A x\nA 1\n"):
        with pytest.raises(ValueError, match="expected two lines"):
            headed_counters(raw)
        names: dict[str, dict[str, int]] = {line: {} for line in raw.decode().splitlines()}
        assert headed_counters(b"D: z\nD: 3\n" + raw) == {"D": {"z": 3}, **names}


def test_counters_keep_their_names_and_order() -> None:
    assert counters(b"A 1\nA two words\nB\nB x\n") == {
        "A": 1,
        "A two words": "",
        "B": "",
        "B x": "",
    }
    assert list(counters(b"Zeta\t1\nAlpha   18446744073709551615\n").items()) == [
        ("Zeta", 1),
        ("Alpha", -1),
    ]
    with pytest.raises(ValueError, match="expected a line"):
        counters(b"Name\n")


def test_every_bit_of_a_mask_is_told() -> None:
    assert flags(0b1011, {1: "ONE", 8: "EIGHT"}) == ["ONE", "0x2", "EIGHT"]
    assert flags(0, {}) == []
    for mask in (-1, 1 << 128):
        with pytest.raises(ValueError, match="128 bits"):
            flags(mask, {})


def test_addresses_have_the_usual_notation() -> None:
    assert ipv6(b"20010db8000000000000000000000001") == "2001:db8::1"
    assert ipv6(b"00000000000000000000ffffc0000201") == "::ffff:192.0.2.1"
    assert ipv4(b"FFFFFFFF") == "255.255.255.255"
    for digits in (b"100000000", b"-1", b""):
        with pytest.raises((ValueError, OverflowError)):
            ipv4(digits)


def test_a_kernel_with_no_counters_of_ip_has_a_text() -> None:
    record = netstat.decode(b"TcpExt: A\nTcpExt: 0\n", Machine())
    assert "".join(netstat.text(record, Machine())) == "TcpExt (1 at 0)\n"


def test_an_interface_without_its_counters_is_kept_as_text() -> None:
    raw = (MACHINES / "bookworm/net/dev").read_bytes().replace(b"  lo:", b"  lo: 7")

    class Longer(Folder):
        def read(self, path: str) -> bytes:
            del path
            return raw

    found = _VIEWS["net/dev"].record_of(Longer(MACHINES), Machine())
    (bad,) = found.undecoded
    assert bad.line.lstrip().startswith("lo: 7")
    assert bad.incomplete[0].reason.startswith("expected a name and 16 counters")
    assert "lo" not in {one.interface for one in found}


PROTOCOLS = (MACHINES / "bookworm" / "net" / "protocols").read_bytes()


@pytest.mark.parametrize(
    ("release", "page_size", "unit"),
    [
        ("4.10.17", 65536, 65536),
        ("4.11.0", 65536, 4096),
        ("4.18.0-553.el8_10.ppc64le", 65536, 4096),
        ("5.19.17", 65536, 4096),
        ("6.0.0-rc1", 65536, 65536),
        ("10.2", 65536, 65536),
        ("5.10.0", 16384, 4096),
        ("5.10.0", 4096, 4096),
        ("", 65536, 65536),
        ("other", 65536, 65536),
    ],
)
def test_the_memory_of_sockets_is_counted_in_what_the_kernel_takes_for_a_page(
    release: str, page_size: int, unit: int
) -> None:
    """SK_MEM_QUANTUM was 4096 from Linux 4.11 to 5.19, and the size of a page before and after."""
    machine = Machine(page_size=page_size, release=release)
    counts = _VIEWS["net/sockstat"].decoded(
        b"UDP: inuse 4 mem 3\nFRAG: inuse 1 memory 7\n", machine
    )
    assert (counts["UDP"].mem, counts["FRAG"].memory) == (3 * unit, 7)
    found = _VIEWS["net/protocols"].decoded(PROTOCOLS, machine)
    assert {one.protocol: one.memory for one in found}["TCP"] == 1069 * unit
