"""The rights in a status file: never by what a task calls itself, never by guess."""

from __future__ import annotations

import pytest

from procmirror.identity.status import StatusIds, parse_status, real_uid
from tests.identity.folders import status

PLAIN = StatusIds(40, (1000,) * 4, (1000,) * 4, (24, 27, 1000), 0, 0)


def test_a_status_file() -> None:
    assert parse_status(status()) == PLAIN
    assert parse_status(status(uids="1\t2\t3\t4", gids="5\t6\t7\t8")) == PLAIN._replace(
        uids=(1, 2, 3, 4), gids=(5, 6, 7, 8)
    )
    assert parse_status(status(permitted=0x1FF, effective=0x3)) == PLAIN._replace(
        permitted=0x1FF, effective=3
    )
    assert parse_status(status(groups="")).groups == ()


@pytest.mark.parametrize(
    "name",
    [
        "CapEff:\t000001ffffffffff",
        "Uid:\t0\t0\t0\t0",
        "\\nUid:\t0\t0\t0\t0\\n",
        "Tgid:\t1",
        "Groups:",
        "CapInh:",
    ],
)
def test_what_a_task_calls_itself_says_nothing(name: str) -> None:
    assert parse_status(status(name=name)) == PLAIN


KEYS = [b"Tgid", b"Uid", b"Gid", b"Groups", b"CapPrm", b"CapEff"]


@pytest.mark.parametrize("key", [*KEYS, b"CapInh", b"CapBnd"])
def test_a_missing_line_is_an_error(key: bytes) -> None:
    whole = status()
    lines = [line for line in whole.splitlines(keepends=True) if not line.startswith(key + b":")]
    with pytest.raises(ValueError, match=r"instead of|not found"):
        parse_status(b"".join(lines))


@pytest.mark.parametrize("key", KEYS)
def test_a_line_that_stands_there_twice_is_an_error(key: bytes) -> None:
    lines = []
    for line in status().splitlines(keepends=True):
        lines += [line] * (1 + line.startswith(key + b":"))
    with pytest.raises(ValueError, match="instead of"):
        parse_status(b"".join(lines))


@pytest.mark.parametrize("content", [b"", b"Name:\tbash\n", status()[:200], status()[:-420]])
def test_a_part_of_a_file_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"instead of|not found"):
        parse_status(content)


@pytest.mark.parametrize("uids", ["1\t2\t3", "1\t2\t3\t4\t5", "a\tb\tc\td", ""])
def test_four_ids_are_wanted(uids: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid"):
        parse_status(status(uids=uids))


def test_a_task_may_have_65536_groups() -> None:
    groups = range(100000, 165536)
    assert parse_status(status(groups=" ".join(map(str, groups)))).groups == tuple(groups)


def test_the_real_uid_is_read_behind_the_name() -> None:
    assert real_uid(status(uids="1000\t0\t0\t0")) == 1000
    with pytest.raises(ValueError, match="no user ids"):
        real_uid(b"Name:\ta\\nUid:\t7\t\nUid:\tx\t0\n")
