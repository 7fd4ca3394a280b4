"""What captured files cannot show of the views of the system.

Floods, forgeries, bombs, and the mistakes that others make.
"""

from __future__ import annotations

import errno
import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procmirror.decoding.render import rendered
from procmirror.decoding.view import DecodeError, Machine
from procmirror.views import VIEWS
from procmirror.views.locks import DESCRIPTORS
from procmirror.views.sys import LEFT_OUT, typed
from tests.fixtures import MACHINES, Folder
from tests.properties import examples
from tests.test_views import harmless

BY_NAME = {view.name: view for view in VIEWS}
HELD = b"%d: POSIX  ADVISORY  WRITE %d fe:00:7 0 EOF\n"


def record(name: str, raw: bytes) -> Any:
    """What the view gives for `raw`, when nothing else can be read."""
    return BY_NAME[name].record_of(Folder(Path(), {BY_NAME[name].entry: raw}), Machine())


def content(name: str, suffix: str, raw: bytes) -> str:
    return b"".join(rendered(BY_NAME[name], suffix, record(name, raw), Machine())).decode()


def test_two_consoles_of_the_command_line_are_both_there() -> None:
    found = record("cmdline", b'console=tty0 ro console="ttyS0,115200n8" quiet -- console=init\n')
    assert [one.value for one in found.parameters if one.name == "console"] == [
        "tty0",
        "ttyS0,115200n8",
    ]
    assert found.init == ["console=init"]


def test_a_lock_with_a_waiter_is_read_and_not_fatal() -> None:
    (lock,) = record("locks", HELD % (1, 11) + b"1: -> POSIX  ADVISORY  READ 12 fe:00:7 5 9\n")
    assert [(one.pid, one.type, one.start, one.end, one.depth) for one in lock.waiters] == [
        (12, "READ", 5, 9, 1)
    ]


def test_a_long_chain_of_waiters_stays_flat() -> None:
    chain = b"".join(
        b"1:%*s POSIX  ADVISORY  WRITE %d fe:00:7 0 EOF\n" % (depth + 2, b"->", depth)
        for depth in range(1, 3000)
    )
    (lock,) = json.loads(content("locks", "json", HELD % (1, 9) + chain))
    assert [one["depth"] for one in lock["waiters"]] == list(range(1, 3000))


@pytest.mark.parametrize(
    "raw",
    [b"1: -> " + HELD[4:] % 9, HELD % (1, 9) + b"2: -> " + HELD[4:] % 9],
    ids=["none", "other"],
)
def test_a_request_that_waits_for_nothing_is_no_answer(raw: bytes) -> None:
    if raw.startswith(b"1: ->"):
        with pytest.raises(DecodeError, match="expected the lock that this request waits for"):
            record("locks", raw)
        return
    lock, odd = json.loads(content("locks", "json", raw))
    assert (lock["waiters"], odd["incomplete"][0]["part"]) == ([], "line 2")


def test_of_a_remote_lock_and_one_without_a_file_what_is_not_there_is_null() -> None:
    remote, nowhere = record(
        "locks",
        b"1: POSIX  ADVISORY  READ -7 00:2d:5 0 9\n2: FLOCK  *NOINODE* WRITE 0 <none>:0 0 EOF\n",
    )
    assert (remote.pid, remote.comm, remote.device, remote.inode, remote.end) == (
        -7,
        None,
        "0:45",
        5,
        9,
    )
    assert (nowhere.pid, nowhere.mode, nowhere.device, nowhere.inode) == (
        None,
        "*NOINODE*",
        None,
        None,
    )
    assert "(elsewhere)" in content("locks", "txt", b"1: POSIX  ADVISORY  READ -7 00:2d:5 0 9\n")


class Crowd(Folder):
    """Two processes that each hold a lock and have more descriptors than anybody wants to look at."""

    looked_at = 0

    def read(self, path: str) -> bytes:
        if path == "locks":
            return HELD % (1, 11) + HELD % (2, 12)
        self.looked_at += path.count("fdinfo")
        return b"crowd\n"

    def link(self, path: str) -> str:
        assert "/fd/" in path
        return "/srv/file"

    def names(self, path: str) -> list[str]:
        return (
            [str(number) for number in range(DESCRIPTORS - 100)] if path.endswith("fdinfo") else []
        )


def test_the_search_for_paths_is_bounded() -> None:
    crowd = Crowd(Path())
    assert [lock.path for lock in BY_NAME["locks"].record_of(crowd, Machine())] == [None, None]
    assert crowd.looked_at == DESCRIPTORS


@pytest.mark.parametrize("name", ["locks", "kallsyms"])
@settings(max_examples=examples(60), deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_of_a_joined_view_are_harmless(name: str, raw: bytes) -> None:
    harmless(BY_NAME[name], raw)


@pytest.mark.parametrize(("name", "host"), [("locks", "fileserver"), ("kallsyms", "documented")])
def test_a_joined_file_cut_anywhere_is_harmless(name: str, host: str) -> None:
    raw = (MACHINES / host / name).read_bytes()
    for end in range(len(raw)):
        harmless(BY_NAME[name], raw[:end])


class Symbols(Folder):
    """So many symbols that their JSON is far longer than what may be held, made one by one."""

    count = 40_000
    address = "ffffffff8%07x"

    def lines(self, path: str) -> Iterator[bytes]:
        assert path == "kallsyms"
        for number in range(self.count):
            yield f"{self.address % number} t a_function_of_the_kernel_{number}\t[a_module]".encode()


class HiddenSymbols(Symbols):
    """The same for a reader that may not see addresses."""

    address = "%.0s0000000000000000"


@pytest.mark.parametrize(
    ("symbols", "first"), [(Symbols, '"0xffffffff80000000"'), (HiddenSymbols, "null")]
)
def test_all_symbols_of_a_kernel_stream_in_bounded_memory(
    symbols: type[Symbols], first: str
) -> None:
    length = 0
    tracemalloc.start()
    try:
        view = BY_NAME["kallsyms"]
        pieces = rendered(view, "json", view.record_of(symbols(Path()), Machine()), Machine())
        assert f'"address": {first},' in next(pieces).decode()
        for piece in pieces:
            length += len(piece)
        assert length > 4 << 20 and tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_symbol_that_does_not_decode_stands_among_the_others_as_text() -> None:
    raw = b"ffffffff81000000 T _text\n" * 100
    found = json.loads(content("kallsyms", "json", raw + b"torn\n" + raw))
    assert [one.get("line") for one in found] == [None] * 100 + ["torn"] + [None] * 100
    assert found[100]["incomplete"][0]["part"] == "line 101"
    with pytest.raises(DecodeError, match="kallsyms:1: "):
        content("kallsyms", "json", b"torn\n" * 3)


class Sysctl(Folder):
    """A tree in which reading has consequences, directories never end, and much is forbidden."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        super().__init__(Path())
        self.tree, self.was_read = names, set[str]()

    def read(self, path: str) -> bytes:
        self.was_read.add(path)
        if path in self.tree:
            raise IsADirectoryError(errno.EISDIR, path)
        if path.endswith("secret"):
            raise PermissionError(errno.EPERM, path)
        if path.endswith("unset"):
            raise OSError(errno.EIO, path)
        return b"one\ttwo\nthree \xff\n"

    def names(self, path: str) -> list[str]:
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, path)
        return self.tree[path]


def test_what_cannot_be_read_of_sysctl_is_null_and_the_rest_is_there() -> None:
    reading = Sysctl(
        {
            "sys": ["a", "closed", "secret"],
            "sys/a": ["value", "unset", "empty"],
            "sys/a/empty": [],
            "sys/closed": [],
        }
    )
    assert BY_NAME["sys"].record_of(reading, Machine()) == {
        "a": {"value": "one\ttwo\nthree \\xff", "unset": None, "empty": {}},
        "closed": None,
        "secret": None,
    }


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("60", 60),
        ("-1", -1),
        ("4\t4\t1\t7", [4, 4, 1, 7]),
        ("0022", "0022"),
        ("00000000-0000", "00000000-0000"),
        ("99999999999999999999", "99999999999999999999"),
        ("", ""),
        ("cubic reno", "cubic reno"),
    ],
)
def test_a_sysctl_is_a_number_only_if_it_is_written_as_one(said: str, value: object) -> None:
    assert typed(said) == value


def test_no_sysctl_with_a_consequence_is_touched() -> None:
    tree: dict[str, list[str]] = {}
    for path in LEFT_OUT:
        parts = ["sys", *path.split("/")]
        for at, name in enumerate(parts[1:], 1):
            found = tree.setdefault("/".join(parts[:at]), [])
            if name not in found:
                found.append(name)
    reading = Sysctl(tree)
    BY_NAME["sys"].record_of(reading, Machine())
    assert not reading.was_read & {f"sys/{path}" for path in LEFT_OUT}


class Endless(Sysctl):
    """Every name is a directory; `width` of them in each."""

    def __init__(self, width: int) -> None:
        super().__init__({})
        self.width = width

    def read(self, path: str) -> bytes:
        raise IsADirectoryError(errno.EISDIR, path)

    def names(self, path: str) -> list[str]:
        del path
        return [str(number) for number in range(self.width)]


@pytest.mark.parametrize("width", [1, 60_000])
def test_an_endless_sysctl_tree_is_refused(width: int) -> None:
    with pytest.raises(OSError, match="too many parameters") as refused:
        BY_NAME["sys"].record_of(Endless(width), Machine())
    assert refused.value.errno == errno.EFBIG


@pytest.mark.parametrize(
    "raw",
    [
        gzip.compress(b"CONFIG_A=y\n" * (2 << 20)),
        gzip.compress(b"CONFIG_A=y\n")[:-9],
        b"CONFIG_A=y\n",
        b"",
    ],
    ids=["bomb", "cut", "plain", "empty"],
)
def test_a_configuration_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        record("config.gz", raw)


def test_values_of_a_configuration_have_their_kinds() -> None:
    lines = ['A="a \\"b\\" \\\\ c"', 'B=""', "C=-1", "D=0x10", "E=m", 'F="y"', "G=" + "9" * 30]
    raw = "".join(f"CONFIG_{line}\n" for line in lines) + "# CONFIG_H is not set\n# a comment\n"
    options = record("config.gz", gzip.compress(raw.encode()))
    assert list(options.values()) == ['a "b" \\ c', "", -1, "0x10", "m", "y", "9" * 30, None]
    assert content("config.gz", "txt", gzip.compress(raw.encode())) == raw


def test_a_forged_key_is_marked_and_text_after_a_newline_is_description() -> None:
    real = b"3ce56aea I--Q---     2 perm 3f030000     0     0 user      mine: 5\n"
    keys = record("keys", real + b"and more\n\n" + real.replace(b"mine", b"yours"))
    assert [(key.description, key.ambiguous) for key in keys] == [
        ("mine: 5\nand more\n", True),
        ("yours: 5", True),
    ]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("diskstats", b"8 0 sda %d" % 2**64 + b" 1" * 10),
        ("cgroups", b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t%d\t1\t1\n" % 2**64),
        ("iomem", b"0-ffffffffffffffffffff : all\n"),
    ],
)
def test_no_number_that_a_parser_would_round_reaches_the_json(name: str, raw: bytes) -> None:
    with pytest.raises(DecodeError):
        content(name, "json", raw)


@pytest.mark.parametrize(
    ("name", "raw", "field"),
    [
        ("meminfo", b"MemTotal: %d kB\n" % 2**60, "MemTotal"),
        ("loadavg", b"0.00 0.00 0.00 1/2 %d\n" % 2**64, "last_pid"),
    ],
)
def test_such_a_number_is_null_in_a_record(name: str, raw: bytes, field: str) -> None:
    found = json.loads(content(name, "json", raw))
    assert found[field] is None
    assert found["extra"][field] in raw.decode()


@pytest.mark.parametrize("bad", [b"0-1", b"99999999999", b"-1"])
def test_cpus_that_no_kernel_has_are_refused(bad: bytes) -> None:
    with pytest.raises(DecodeError):
        record("softirqs", b" CPU" + bad + b"x\n HI: 1\n")


class Vanishing(Folder):
    """A process that holds a lock and closes every descriptor before it can be read."""

    def names(self, path: str) -> list[str]:
        del path
        return ["3", "4"]


def test_a_descriptor_that_goes_away_costs_a_lock_its_path_only() -> None:
    (lock,) = BY_NAME["locks"].record_of(
        Vanishing(Path(), {"locks": HELD % (1, 11), "11/comm": b"quick\n"}), Machine()
    )
    assert (lock.comm, lock.path) == ("quick", None)


def test_a_paragraph_that_is_no_array_stands_as_it_is() -> None:
    found = record("mdstat", b"Personalities : [raid1] \nmd0 is gone\n\nunused devices: <none>\n")
    assert (found.personalities, found.arrays, found.lines) == (["raid1"], [], ["md0 is gone"])


def test_an_odd_state_of_the_processors_is_named() -> None:
    view = next(view for view in VIEWS if view.name == "machine")
    odd = b"cpu  400 0 486 765 0 0 ?x 0 0 0\ncpu0 400 0 486 765 0 0 1 0 0 0\n"
    source = Folder(MACHINES / "bookworm", {"stat": odd})
    record = view.record_of(source, Machine())
    (why,) = json.loads(b"".join(rendered(view, "json", record, Machine())))["incomplete"]
    assert why["part"] == "stat" and why["reason"].startswith("softirq: ")
