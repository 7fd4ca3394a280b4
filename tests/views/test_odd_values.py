"""One odd word takes no other: words of each captured file are replaced, one at a time.

The view must answer all the same, by its schema. The numbers of all other words that it tells
otherwise must still be there, converted or as text. Of a list one element may change; what was others'
may be text, and nobody else's. What is left to refuse is listed with its reason.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, get_origin

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.view import DecodeError
from procmirror.views import VIEWS
from tests.fixtures import CHANGED, Fixture, Folder
from tests.properties import examples
from tests.schemas import validator
from tests.test_conservation import REASONS, Content
from tests.test_views import harmless
from tests.views.test_odd_files import BINARY, MACHINE

# No number, numbers that no column takes, and bytes that are no word at all.
ODD: tuple[bytes, ...] = (b"?x", b"-7", b"9" * 17, b"9" * 30, b"9" * 5000, b"f" * 20, b"1.5")
ODD += (b"nan", b"\xff\xfe", b"\0", b"-" + b"9" * 30, b"-%d" % ((1 << 63) + 1), b"%d" % (1 << 64))
ONE_VALUE = "the file is one value, or one word for another"
# Views that refuse a file with a word of another form, and why that is right.
REFUSES = {
    **dict.fromkeys(
        (
            *("PID/arch_status", "PID/autogroup", "PID/coredump_filter", "PID/ksm_merging_pages"),
            *("PID/loginuid", "PID/oom_adj", "PID/oom_score", "PID/oom_score_adj"),
            *("PID/patch_state", "PID/personality", "PID/sessionid", "PID/task/TID/children"),
            *("PID/setgroups", "PID/timerslack_ns", "PID/wchan", "fs/nfsd/max_block_size"),
            *("fs/nfsd/nfsv4gracetime", "fs/nfsd/nfsv4leasetime", "fs/nfsd/pool_threads"),
            *("fs/nfsd/threads", "version", "version_signature"),
        ),
        ONE_VALUE,
    ),
}
# How many lines at the beginning name the columns: what they say tells which file it is.
HEADERS = {
    **dict.fromkeys(
        (
            *("PID/latency", "PID/limits", "allocinfo", "cgroups", "interrupts", "softirqs"),
            *("fs/nfsd/pool_stats", "net/arp", "net/connector", "net/icmp", "net/icmp6"),
            *("net/igmp", "net/ip6_flowlabel", "net/ip_vs_conn", "net/mcfilter", "net/mcfilter6"),
            *("net/ip_mr_cache", "net/ip_mr_vif", "net/ip6_mr_cache", "net/ip6_mr_vif"),
            *("net/nfsfs/servers", "net/nfsfs/volumes", "tty/driver/serial"),
            *("net/netlink", "net/packet", "net/protocols", "net/ptype", "net/raw", "net/raw6"),
            *("net/route", "net/rt_cache", "net/sctp/assocs", "net/sctp/eps", "net/sctp/remaddr"),
            *("net/tcp", "net/tcp6", "net/udp", "net/udp6", "net/udplite", "net/udplite6"),
            *("net/unix", "partitions", "swaps", "sysvipc/msg", "sysvipc/sem", "sysvipc/shm"),
        ),
        1,
    ),
    **dict.fromkeys(("net/dev", "net/wireless"), 2),
    **{view.name: 2 for view in VIEWS if view.name.startswith("spl/")},
}

# Where a line is a title of all rows below it: they say what it says.
TITLES = {"devices", "net/fib_trie"}
# A mask that is a port of another row, in millionths.
BY_CHANCE = {"net/ip_vs": "80000000"}
# Records of many lines, of which a capture may have the first only.
OF_LINES = {"net/fib_triestat": 1}
DECODED = [one for one in CHANGED if one.view.decode and one.suffix in {"json", "ndjson"}]
DECODED = [one for one in DECODED if one.view.name not in BINARY | REFUSES.keys()]
Odd = tuple[re.Match[bytes], bytes, bytes]


def mutated(fixture: Fixture, count: int) -> Iterator[Odd]:
    """Words of a file below its header, what stands in the place of each, and the file then."""
    raw = fixture.raw.read_bytes()
    below = sum(map(len, raw.splitlines(keepends=True)[: HEADERS.get(fixture.view.name, 0)]))
    words = list(re.compile(rb"\S+").finditer(raw, below))
    chosen = random.Random(str(fixture))  # The same words in every run.
    for at in range(min(count, len(words) * len(ODD))):
        word = words[at] if at < len(words) and len(words) < count else chosen.choice(words)
        odd = ODD[at % len(ODD)]
        yield word, odd, raw[: word.start()] + odd + raw[word.end() :]


def is_refused_rightly(fixture: Fixture, word: re.Match[bytes]) -> bool:
    """Whether the only row of a file is odd, or what a file of one process begins with."""
    raw = word.string
    if fixture.view.name == "PID/stat":  # where the columns begin
        return word.start() < raw.rindex(b") ") + 1
    if fixture.view.name == "PID/status":  # which process it is
        line = raw[raw.rfind(b"\n", 0, word.start()) + 1 :].partition(b":")[0]
        return line in {b"Name", b"Pid", b"PPid"}
    rows = [line for line in raw.splitlines() if line.strip()]
    least = 1 if get_origin(fixture.view.record) is list else OF_LINES.get(fixture.view.name, 0)
    return len(rows) - HEADERS.get(fixture.view.name, 0) <= least


def numbers(raw: bytes) -> set[str]:
    """The words that are numbers of several digits, of which few are others' by chance."""
    return {one.decode() for one in re.findall(rb"(?<!\S)[1-9][0-9]{3,}(?!\S)", raw)}


def told_usually(fixture: Fixture) -> set[str]:
    """The numbers of a captured file that its JSON has."""
    content = strict(Content(fixture))
    by_chance = BY_CHANCE.get(fixture.row) or REASONS.get(fixture.row, ("", ""))[0]
    every = numbers(fixture.raw.read_bytes())
    return {one for one in every if not re.fullmatch(by_chance, one) and content.has(one)}


def strict(content: Content) -> Content:
    """Without 0, which any number of nanoseconds is by rounding."""
    content.numbers.discard(0)
    content.rounded.discard(0)
    return content


def told_wrongly(before: Any, after: Any) -> bool:
    """Whether more than one element of a list is another one, and not a line as text."""
    if not isinstance(before, list) or not isinstance(after, list):
        return False
    old, new = (
        Counter(json.dumps(one, sort_keys=True) for one in some) for some in (before, after)
    )
    changed = [json.loads(one) for one in new - old]
    others = [one for one in changed if not (isinstance(one, dict) and is_marked(one))]
    return (old - new).total() > 1 and bool(others)


def is_marked(record: dict[str, Any]) -> bool:
    """Whether a record is a line as text, or says itself that it may be of several devices."""
    return "line" in record or bool(record.get("ambiguous"))


def answer(fixture: Fixture, raw: bytes) -> bytes | None:
    try:
        return fixture.content({fixture.view.entry: raw})
    except DecodeError:
        return None


@pytest.mark.parametrize("fixture", DECODED, ids=str)
def test_one_odd_word_takes_no_other(fixture: Fixture) -> None:
    checker = validator(fixture.view)
    before, usual = json.loads(fixture.expected.read_bytes()), told_usually(fixture)
    for word, odd, raw in mutated(fixture, examples(60)):
        said = answer(fixture, raw)
        if said is None:
            assert is_refused_rightly(fixture, word), f"{word[0]!r} as {odd[:9]!r}"
            continue
        after = json.loads(said)
        checker.validate(after)
        told = strict(Content(fixture, said))
        rest = numbers(word.string[: word.start()] + b" " + word.string[word.end() :])
        lost = {one for one in rest & usual if not told.has(one)}
        assert not lost, f"{word[0]!r} as {odd[:9]!r} takes {lost}"
        if fixture.view.name not in TITLES:
            assert not told_wrongly(before, after), f"{word[0]!r} as {odd[:9]!r}"


STAT = (
    b"7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 1 0 500 8192 3 18446744073709551615 1 1"
)
STAT += b" 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"


def read(name: str, raw: bytes) -> Any:
    return json.loads(json_of(name, raw))


def json_of(name: str, raw: bytes, suffix: str = "json") -> bytes:
    view = next(view for view in VIEWS if view.name == name)
    return b"".join(rendered(view, suffix, view.decoded(raw, MACHINE), MACHINE))


@pytest.mark.parametrize(
    ("at", "name", "odd"),
    [
        (0, "pid", b"x"),
        (4, "ppid", b"9" * 30),
        (7, "tty_nr", b"-"),
        (9, "flags", b"-7"),
        (14, "utime", b"1.5"),
        (22, "starttime", b"\xff"),
        (24, "rss", b"9" * 5000),
    ],
)
def test_a_column_of_another_form_is_null_and_stands_as_text(
    at: int, name: str, odd: bytes
) -> None:
    words = STAT.split(b" ")
    words[at] = odd  # the name has two words
    usual, found = read("PID/stat", STAT), read("PID/stat", b" ".join(words))
    assert found.pop("extra") == {name: odd.decode("utf-8", "backslashreplace")}
    changed = {key for key in usual if usual[key] != found[key]}
    assert changed <= {name, "tty", "started"} and found[name] is None
    last = json_of("PID/stat", b" ".join(words), "txt").decode().splitlines()[-1]
    assert last.startswith(f"incomplete: {name}: expected another form, found ")


def test_columns_that_begin_elsewhere_are_not_guessed() -> None:
    with pytest.raises(DecodeError, match="expected NUMBER"):
        read("PID/stat", STAT.replace(b"(a) b) S", b"(a) b S"))


@pytest.mark.parametrize(
    ("name", "raw", "kept"),
    [
        (
            "PID/statm",
            b"1 x 3 4 0 6 0\n",
            {"size": 4096, "resident": None, "extra": {"resident": "x"}},
        ),
        ("loadavg", b"0.5 ? 1.5 1/9 7\n", {"load1": 0.5, "load5": None, "load15": 1.5, "total": 9}),
        ("uptime", b"nan 5.5\n", {"uptime": None, "idle": 5.5, "extra": {"uptime": "nan"}}),
        (
            "net/rpc/nfs",
            b"net 0 0 0 0\nrpc 5 ?x 0\nproc3 2 1 2\n",
            {"rpc": None, "proc3": {"null": 1, "getattr": 2}, "extra": {"rpc": "5 ?x 0"}},
        ),
        (
            "net/rpc/nfsd",
            b"rc 1 2 3\nio ?x 2\nnet 1 1 0 0\n",
            {"rc": {"hits": 1, "misses": 2, "nocache": 3}, "io": None, "extra": {"io": "?x 2"}},
        ),
    ],
)
def test_the_rest_of_a_record_is_told(name: str, raw: bytes, kept: dict[str, Any]) -> None:
    found = read(name, raw)
    assert {key: found[key] for key in kept} == kept


def test_a_key_of_smaps_rollup_and_its_first_line_take_no_other() -> None:
    head = b"00400000-7fff0000 ---p 00000000 00:00 0    [rollup]\n"
    raw = head + b"Rss: 8 kB\nPss: x kB\nSwap: 4 kB\n"
    found = read("PID/smaps_rollup", raw)
    assert (found["Rss"], found["Pss"], found["Swap"]) == (8192, None, 4096)
    assert found["extra"] == {"Pss": "x kB"}
    found = read("PID/smaps_rollup", raw.replace(b"---p", b"?"))
    assert (found["start"], found["Rss"]) == (None, 8192)
    assert head.strip().replace(b"---p", b"?").decode() in found["extra"]


def test_what_stands_below_an_odd_line_is_nobody_elses() -> None:
    igmp = b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo : 1 V3\n"
    igmp += b"\t\t\t\t010000E0     1 0:00000000\t\t0\n?\teth0 : 1 V3\n\t\t\t\tFB0000E0     1 0:00000000\t\t0\n"
    first, *odd = read("net/igmp", igmp)
    assert [group["group"] for group in first["groups"]] == ["224.0.0.1"]
    assert [one["incomplete"][0]["part"] for one in odd] == ["line 4", "line 5"]
    zones = b"Node 0, zone DMA\n  pages free 1\nNode ?, zone Normal\n  pages free 2\n"
    first, odd_zone = read("zoneinfo", zones)
    assert (first["sizes"]["free"], odd_zone["incomplete"][0]["part"]) == (4096, "line 3")
    (cpu,) = read("schedstat", SCHEDSTAT)["cpus"]
    assert cpu["domains"] == []


def test_a_tick_device_with_an_odd_head_takes_nothing_of_the_one_above() -> None:
    device = (
        b"Tick Device: mode:     1\nPer CPU device: %d\nClock Event Device: lapic%d\n mult: %d\n"
    )
    raw = b"now at 5 nsecs\n\n" + device % (0, 0, 1234) + b"\n" + device % (1, 1, 5678)
    first, second = read("timer_list", raw)["devices"]
    assert (first["facts"]["mult"], second["facts"]["mult"]) == (1234, 5678)
    (only,) = read("timer_list", raw.replace(b"\nTick", b"\n?x").replace(b"?x", b"Tick", 1))[
        "devices"
    ]
    assert (only["cpu"], only["name"], only["facts"]["mult"]) == (0, "lapic0", 1234)
    assert {"?x Device: mode:     1", "Clock Event Device: lapic1", "mult: 5678"} <= set(
        only["facts"]
    )


SCHEDSTAT = (
    b"version 15\ntimestamp 9\ncpu0 0 0 0 0 0 0 1 2 3\ncpu? 0 0 0 0 0 0 1 2 3\ndomain0 3 1 2\n"
)


def test_a_driver_s_line_about_locks_ends_no_view_of_locks(tmp_path: Any) -> None:
    """The lines of fdinfo that begin with `lock:` may be a driver's own."""
    for name, text in (("5/comm", "x\n"), ("5/fdinfo/3", "pos:\t0\nlock:\tmine\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "locks").write_text("1: POSIX  ADVISORY  WRITE 5 fe:00:7 0 EOF\n")
    view = next(view for view in VIEWS if view.name == "locks")
    (lock,) = view.record_of(Folder(tmp_path), MACHINE)
    assert (lock.pid, lock.comm, lock.path) == (5, "x", None)


# One capture of each view, the longest that is read in a moment.
SHORT = {
    one.view.name: one
    for one in sorted(DECODED, key=lambda one: one.raw.stat().st_size)
    if one.raw.stat().st_size < 1 << 14
}
LONG = 1 << 14
FILLED = (b"x", b"9", b"f", b" ", b"\0", b"1 ", b"a:", b"1: 2 ", b"a=1 ", b"[1/1] ", b"\\040", b"(")
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "CR LF": lambda raw: raw.replace(b"\n", b"\r\n"),
    "CR": lambda raw: raw.replace(b"\n", b"\r"),
    "no last newline": lambda raw: raw.rstrip(b"\n"),
    "every line twice": lambda raw: re.sub(rb"(?m)^(.*)$", rb"\1\n\1", raw),
    "twice": lambda raw: raw + raw,
    "NUL for blanks": lambda raw: raw.replace(b" ", b"\0"),
    "NUL for newlines": lambda raw: raw.replace(b"\n", b"\0"),
    "negative": lambda raw: re.sub(rb"(?<=\s)(?=[0-9])", b"-", raw),
    "signs": lambda raw: re.sub(rb"(?<=\s)(?=[0-9])", b"+", raw),
    "underscores": lambda raw: re.sub(rb"([0-9])(?=[0-9])", rb"\1_", raw),
    "other digits": lambda raw: re.sub(rb"(?<=\s)[0-9]", "٣".encode(), raw),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHORT)
def test_any_form_of_a_file_gives_a_record_or_decode_error(name: str, form: str) -> None:
    harmless(SHORT[name].view, FORMS[form](SHORT[name].raw.read_bytes()))


@pytest.mark.parametrize("name", SHORT)
def test_a_line_of_many_kilobytes_gives_a_record_or_decode_error(name: str) -> None:
    """Also of what a pattern may read in many ways: the run would not end."""
    raw = SHORT[name].raw.read_bytes()
    places = [word.span() for word in re.finditer(rb"\S+", raw)] or [(0, 0)]
    chosen = random.Random(name)  # the same words in every run
    for filled in FILLED:
        (start, end), long = chosen.choice(places), filled * (LONG // len(filled))
        harmless(SHORT[name].view, raw[:start] + long + raw[end:])
        harmless(SHORT[name].view, raw[:start] + b"\n" + long + b"\n" + raw[end:])
