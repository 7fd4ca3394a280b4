"""Nothing that the kernel printed is lost: every number of every captured file is in its JSON.

As it is, or converted as docs/VIEWS.md says: kB and blocks to bytes, ticks to seconds, addresses and
hexadecimal numbers to the notation of people. What became a word (a mask, a type, a state) and what
says nothing of its own is listed with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

import pytest

from procmirror.decoding.view import Machine
from tests.fixtures import FIXTURES, JSON, Fixture

NUMBER = re.compile(
    rb"(?<![0-9A-Za-z_.\-])"
    rb"-?(?:0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{4,})(?![0-9A-Za-z_])"
)
# What a number is multiplied with, or divided by, on its way to bytes and seconds.
FACTORS = (1, 60, 512, 1024)
DIVISORS = (100, 1000, 10**6, 10**9)

_LEAST = 5e-5  # what four digits behind the point can hold
_SHORT = 4  # digits that may be part of any other number

WORDS = "a mask, a type or a state, which is a list of names or a name"
UNSET = "the number that stands for unset or unlimited, which is null"
HEADER = "the header about the statistics, and types of values"
VERSION = "the version of the format"
GROUP = "a group of an IPv6 address, which is written shorter"
ESCAPES = "octal digits of an escape in a name, and the letters after it"
# By row of the table: a pattern of the numbers that are not in the JSON, and why.
REASONS: dict[str, tuple[str, str]] = {
    "PID/coredump_filter": ("[0-9a-f]{8}", WORDS),
    "PID/fdinfo/N": (r"[0-9]+|[0-9a-f]+", WORDS),
    "PID/loginuid": ("4294967295", UNSET),
    "PID/mountinfo": ("0[0-9a-f]{2,6}|134", ESCAPES),
    "PID/mounts": ("0[0-9a-f]{2,6}|134", ESCAPES),
    "PID/mountstats": ("0[0-9a-f]{2,6}", ESCAPES),
    "PID/numa_maps": ("[27]|[01][0-9]{2}[a-d]?", ESCAPES + "; pages of another size"),
    "PID/personality": ("[0-9a-f]{8}", WORDS),
    "PID/sessionid": ("4294967295", UNSET),
    "PID/stat": ("[0-9]+", WORDS + "; or unlimited"),
    "PID/status": ("[0-9a-f]{16}|18014398509481983", WORDS + "; or no size at all"),
    "PID/timens_offsets": ("-?[0-9]+", "seconds and nanoseconds are one number"),
    "PID/timers": ("-?[0-9]+", "a signal, and the clock of a process or thread, which is named"),
    "bus/input/devices": ("105|120013", WORDS),
    "bus/pci/devices": ("[0-9a-f]+", "two numbers in one, and flags in the low bits of addresses"),
    "config.gz": ("[0-9]+", "bytes of a compressed file"),
    "drbd": ("048|17|7301|8130", "parts of a number with commas, and of a time"),
    "fs/cifs/Stats": ("83", "jiffies, of which a line says that 250 are a second"),
    "fs/nfsd/exports": (r"1\.1", VERSION),
    "fs/nfsd/versions": ("-[0-9.]+", "a version that is off, which is a name"),
    "keys": ("[0-9a-f]{8}", WORDS),
    "mdstat": ("127", "minutes with a fraction, which are seconds"),
    "net/arp": ("0x[0-9a-f]+", WORDS),
    "net/fib_trie": (r"[0-9.]+", "the shape of the trie, and starts of addresses"),
    "net/icmp": ("0[0-9A-F]", WORDS),
    "net/icmp6": ("0[0-9A-F]", WORDS),
    "net/if_inet6": ("[0-9]{2}", WORDS),
    "net/igmp6": ("[0-9A-F]{8}", WORDS),
    "net/ip6_flowlabel": ("2|3|255", WORDS),
    "net/ip6_mr_cache": ("0[0-9a-f]{3}", GROUP),
    "net/ip_mr_vif": ("0[0-9A-F]{4}", WORDS),
    "net/nf_conntrack_expect": ("0[0-9a-f]{3}", GROUP),
    "net/ip_vs": ("0[0-9a-f]{3}", GROUP),
    "net/ip_vs_conn": ("0[0-9a-f]{3}", GROUP),
    "net/ipv6_route": ("[0-9a-f]{8}", WORDS),
    "net/netfilter/nf_log": ("[0-9]+", WORDS),
    "net/netfilter/nfnetlink_log": ("[0-2]", WORDS),
    "net/netlink": ("[0-9a-f]{8}|[0-9]{1,2}", WORDS),
    "net/packet": ("[0-9a-f]{4}|[23]|10", WORDS),
    "net/ptype": ("[0-9a-f]{4}", WORDS),
    "net/raw": ("0[0-9A-F]|00[0-9A-F]{2}", WORDS + "; the protocol is in place of a port"),
    "net/raw6": ("0[0-9A-F]|00[0-9A-F]{2}", WORDS + "; the protocol is in place of a port"),
    "net/route": ("[0-9]{4}", WORDS),
    "net/rpc/nfs": ("69", "how many numbers follow"),
    "net/rpc/nfsd": ("18|22", "how many numbers follow"),
    "net/rt_cache": ("90000000", WORDS),
    "net/sctp/assocs": ("3|0[0-9a-f]{3}", GROUP + "; " + WORDS),
    "net/sctp/eps": ("2|10", WORDS),
    "net/sctp/remaddr": ("2|0[0-9a-f]{3}", GROUP + "; " + WORDS),
    "net/tcp": ("0[0-9A-F]|30", WORDS + "; two values in one number"),
    "net/tcp6": ("0[0-9A-F]|30", WORDS + "; two values in one number"),
    "net/udp": ("0[0-9A-F]", WORDS),
    "net/udp6": ("0[0-9A-F]", WORDS),
    "net/udplite": ("0[0-9A-F]", WORDS),
    "net/udplite6": ("0[0-9A-F]", WORDS),
    "net/unix": ("[0-9a-f]{8}|000[0-9]", WORDS),
    "net/wireless": ("22", VERSION),
    "pagetypeinfo": ("[0-9]{1,2}", "the orders in the heading"),
    "schedstat": ("3", WORDS),
    "slabinfo": (r"2\.1", VERSION),
    "spl/kstat/zfs/abdstats": ("[0-9]+", HEADER),
    "spl/kstat/zfs/dbufstats": ("[0-9]+", HEADER),
    "spl/kstat/zfs/dnodestats": ("[0-9]+", HEADER),
    "spl/kstat/zfs/fm": ("[0-9]+", HEADER),
    "spl/kstat/zfs/zfetchstats": ("[0-9]+", HEADER),
    "spl/kstat/zfs/zstd": ("[0-9]+", HEADER),
    "spl/kstat/zfs/arcstats": ("[0-9]+", HEADER),
    "spl/kstat/zfs/dmu_tx": ("[0-9]+", HEADER),
    "spl/kstat/zfs/zil": ("[0-9]+", HEADER),
    "swaps": ("040", ESCAPES),
    "timer_list": ("9223372036854775807|0000000d|13", UNSET + "; " + WORDS),
}
# The same of single rows, where the number stands in another row of the file.
ROW_REASONS: dict[str, tuple[str, str]] = {"net/nf_conntrack": ("0[0-9a-f]{3}", GROUP)}
# Files with as many lines as records, that are not one for the other: headings, newlines in names.
NO_ROWS = {"devices", "keys", "net/unix"}


# A time since 1970 is a date there.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z")


def leaves(value: Any) -> Iterator[int | float | str]:
    """The numbers and words of a JSON document, keys among them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif value is not None:
        yield int(value) if isinstance(value, bool) else value
        if isinstance(value, str) and _DATE.fullmatch(value):
            yield int(datetime.fromisoformat(value).timestamp())


def addresses(text: str) -> Iterator[str]:
    """The addresses that hexadecimal digits may be: of either byte order, or of a link."""
    digits = text.removeprefix("0x")
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", digits):
        return
    raw = bytes.fromhex(digits)
    swapped = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if len(raw) in {4, 16}:
        for one in (raw, swapped):
            yield inet_ntop(AF_INET if len(raw) == 4 else AF_INET6, one)
    yield raw.hex(":")


def values(text: str) -> Iterator[int | float]:
    for base in (10, 16, 8):
        try:
            yield int(text, base)
        except ValueError:
            continue
    if "." in text:
        yield float(text)


def conversions(number: float, machine: Machine) -> Iterator[float]:
    wrapped = (number - 2**64, number - 2**32) if isinstance(number, int) else ()
    for one in (number, *wrapped):
        yield from (one * factor for factor in (*FACTORS, machine.page_size))
        yield from (one / divisor for divisor in (*DIVISORS, machine.ticks))


class Content:
    """What an expected JSON holds, or another one of the same view."""

    def __init__(self, fixture: Fixture, said: bytes | None = None) -> None:
        raw = fixture.expected.read_bytes() if said is None else said
        documents = raw.splitlines() if fixture.suffix == "ndjson" else [raw]
        found = [leaf for one in documents for leaf in leaves(json.loads(one))]
        self.numbers = {one for one in found if not isinstance(one, str)}
        self.rounded = {round(float(one), 4) for one in self.numbers}
        self.significant = {f"{one:.9g}" for one in self.numbers}
        self.text = "\n".join(one for one in found if isinstance(one, str))
        self.words = set(re.findall(r"[0-9A-Za-z]+", self.text))
        self.words |= set(re.findall(r"(?<![0-9])-?[0-9]+\.[0-9]+|-[0-9]+", self.text))
        self.machine = fixture.machine

    def _says(self, text: str) -> bool:
        """Whether a text is there: as a word of its own where it is short."""
        spelt = {text, f"0x{text.lower()}"}  # as it is, or with what says that it is hexadecimal
        return bool(spelt & self.words) or (len(text) > _SHORT and text in self.text)

    def has(self, text: str) -> bool:
        """Whether a number is there, as it is or converted; 0 and 1 may be any false and true."""
        return (
            self._says(text)
            or any(one in self.text for one in addresses(text))
            or any(self._has(one) for one in values(text))
        )

    def _has(self, number: float) -> bool:
        if number in {-1, 0, 1} or self._says(f"{number}"):
            return True
        if isinstance(number, int) and self._says(hex(number)):
            return True
        return any(
            # What rounds to nought is any nought.
            one in self.numbers
            or f"{one:.9g}" in self.significant
            or (abs(one) >= _LEAST and round(float(one), 4) in self.rounded)
            for one in conversions(number, self.machine)
        )


def lost(fixture: Fixture) -> set[str]:
    """The numbers of a captured file that its JSON does not have."""
    content = Content(fixture)
    found = {one.decode() for one in NUMBER.findall(fixture.raw.read_bytes())}
    return {one for one in found if not content.has(one)}


DECODED = [one for one in FIXTURES if one.view.decode and one.suffix in JSON]


@cache
def all_lost() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for fixture in DECODED:
        found.setdefault(fixture.row, set()).update(lost(fixture))
    return found


@pytest.mark.parametrize("row", sorted({one.row for one in DECODED}))
def test_every_number_is_in_the_json(row: str) -> None:
    pattern, _ = REASONS.get(row, ("", ""))
    assert {one for one in all_lost()[row] if not re.fullmatch(pattern, one)} == set()


def test_no_reason_is_about_what_is_there() -> None:
    assert {row for row in REASONS if not all_lost().get(row)} == set()


def rows(fixture: Fixture) -> Iterator[tuple[bytes, Content]]:
    """The lines of a table with what their records hold; none of a file without a record a line."""
    records = json.loads(fixture.expected.read_bytes()) if fixture.suffix == "json" else None
    lines = [line for line in fixture.raw.read_bytes().split(b"\n") if line.strip()]
    headings = len(lines) - len(records) if isinstance(records, list) else -1
    if fixture.row in NO_ROWS or not 0 <= headings <= 2:
        return
    for line, record in zip(lines[headings:], records or [], strict=True):
        yield line, Content(fixture, json.dumps([record]).encode())


def lost_of_rows(row: str) -> set[str]:
    """The numbers of lines that their own records do not have."""
    patterns = [REASONS.get(row, ("", ""))[0], ROW_REASONS.get(row, ("", ""))[0]]
    return {
        number
        for fixture in ROWS
        if fixture.row == row
        for line, content in rows(fixture)
        for number in map(bytes.decode, NUMBER.findall(line))
        if not content.has(number) and not any(re.fullmatch(one, number) for one in patterns)
    }


# Views of several sources too, whose rows are those of one of them.
ROWS = [one for one in FIXTURES if one.suffix == "json" and one.raw.is_file()]
TABLES = sorted({one.row for one in ROWS if any(True for _ in rows(one))})


@pytest.mark.parametrize("row", TABLES)
def test_every_number_of_a_row_is_in_its_record(row: str) -> None:
    # A number that a row loses is often that of another row: 30 seconds, port 80.
    assert lost_of_rows(row) == set()
