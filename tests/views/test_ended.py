"""What is told of a process that has ended and is not waited for, or that never had memory."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence

import pytest

from procmirror.decoding.view import Machine
from procmirror.views.pid import ns, process, process_text
from tests.readings import Imitated

STAT = (
    b"1060 (python3) Z 1018 1012 29253 0 -1 4228172 226"
    + b" 0" * 7
    + (b" 20 0 1 0 143 0 0 18446744073709551615" + b" 0" * 11 + b" 0 0 0 17 1 0 0 0 0 0")
)
LIMITS = b"""Limit                     Soft Limit           Hard Limit           Units
Max open files            20000                20000                files
"""


class Links(Imitated):
    """The links of ns/, with the names in `left`."""

    def __init__(
        self, files: Mapping[str, object], links: Mapping[str, object], left: Sequence[str] = ()
    ) -> None:
        super().__init__(files, links)
        self._left = [*left] or ["mnt", "pid"]

    def names(self, path: str) -> list[str]:
        return self._left if path == "ns" else []


@pytest.mark.parametrize(
    ("refused", "words"),
    [(errno.ENOENT, "none: the process has ended"), (errno.EACCES, "(not permitted)")],
)
def test_a_namespace_that_was_left_is_not_one_that_may_not_be_seen(
    refused: int, words: str
) -> None:
    # A zombie has left all but its pid and user namespace (switch_task_namespaces of do_exit).
    reading = Links({}, {"ns/mnt": refused, "ns/pid": "pid:[4026531836]"})
    text = ns.text(ns.join(reading, Machine()), Machine())
    assert text.splitlines()[1].split(maxsplit=2) == ["mnt", "-", words]


def test_a_pid_namespace_without_a_process_yet_is_none_before_the_first_child() -> None:
    reading = Links({}, {"ns/mnt": "mnt:[4026531832]"}, left=["mnt", "pid_for_children"])
    text = ns.text(ns.join(reading, Machine()), Machine())
    assert "pid_for_children  -           none before the first child\n" in text


def test_what_can_have_no_descriptors_is_not_asked_about_them() -> None:
    found = process.join(Links({"stat": STAT, "limits": LIMITS}, {}), Machine())
    assert found.fds is None
    assert "descriptors" not in process_text.text(found, Machine())


@pytest.mark.parametrize(
    ("threads", "words"),
    [(1, "Z (zombie)"), (3, "Z (zombie); 2 of its threads live on (task.txt)")],
)
def test_a_process_whose_first_thread_alone_has_ended_is_told_from_a_zombie(
    threads: int, words: str
) -> None:
    fields = STAT.rpartition(b")")[2].split()
    fields[0], fields[17] = b"Z", b"%d" % threads
    raw = b"7 (x) " + b" ".join(fields)
    found = process.join(Links({"stat": raw}, {}), Machine())
    page = process_text.text(found, Machine())
    assert re.search(rf"^state +{re.escape(words)}$", page, re.MULTILINE)
