"""One part never takes the rest: each source of each joined view is refused, and is garbage.

The captured machines are read with one source at a time in another state. The view must answer all
the same and name the source with the reason under `incomplete`, or show the garbage as it is. The
exceptions are listed with their reasons.
"""

from __future__ import annotations

import errno
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.view import DecodeError
from tests.fixtures import FIXTURES, JSON, Fixture, Folder

Question = tuple[str, str]
REFUSED = errno.ETIMEDOUT
GARBAGE = b"\xff garbage \x00 12 x\nmore (garbage\n"

# By view, what of it is its subject: without it there is nothing to show, and the errno or the
# error of the decoder is the answer.
SUBJECTS = {
    "PID/attr": {"attr"},
    "PID/auxv": {"auxv"},
    "PID/fd": {"fd"},
    "PID/files": {"fd", "status"},
    "PID/limits": {"limits"},
    "PID/ns": {"ns"},
    "PID/pagemap": {"maps", "pagemap"},
    "PID/smaps": {"smaps"},
    "PID/stack": {"task"},
    "PID/syscall": {"syscall"},
    "PID/task": {"task"},
    "PID/tree": {"self/status"},
    "PID/waits": {"self", "self/status"},
    "kallsyms": {"kallsyms"},
    "locks": {"locks"},
    "fs/jbd2": {"jbd2"},
    "irq": {"irq"},
    "net/bonding": {"bonding"},
    "net/dev_snmp6": {"dev_snmp6"},
    "net/nf_conntrack": {"nf_conntrack"},
    "net/stat": {"stat"},
    "net/vlan": {"vlan"},
    "sys": {"sys"},
}
SUBJECT_OF_ALL = "."

# What is not named, by view and source, and why that is right.
AS_FAR_AS_SEEN = "who holds it is told as far as the reader may see, which the field says"
ELSEWHERE = "another part tells the same: the answer does not change"
NOT_TO_BE_READ = "parameters that nobody can read are null, hundreds of them"
ONLY_WORDS = "an argument that cannot be followed is shown as the number that it is"
NO_SOCKET = "a descriptor whose link has another form is no socket"
UNKNOWN = "`complete` is false: somebody unseen may hold it"
UNNAMED = {
    ("PID/fd", r"net/\w+"): "only a descriptor without its socket names the tables it may be in",
    ("PID/fd", "(cmdline|environ)"): "a watched path that is not found there is null",
    ("PID/limits", "ns/user"): "said with the number of threads, which needs other processes",
    ("PID/process", "fd/N"): NO_SOCKET,
    ("PID/stack", r".*(schedstat|wchan|fd/N|comm|maps|mem|stack)"): ELSEWHERE,
    ("PID/stack", "fd/N"): ONLY_WORDS,
    ("PID/syscall", r"(mem|cwd|fd/N|fdinfo/N|stack|net/.*)"): ONLY_WORDS,
    ("locks", r"N/(comm|fd/N|fdinfo|fdinfo/N)"): AS_FAR_AS_SEEN,
    ("sockets", r"N/(comm|fd|fd/N|ns/net)"): AS_FAR_AS_SEEN,
    ("sys", r"sys/.*"): NOT_TO_BE_READ,
    ("PID/tree", "N/(status|cmdline)"): "of a process outside of the branch nothing is shown",
    ("waits", r"(N/.*|locks|self/net/tcp6?)"): UNKNOWN,
    ("PID/waits", r"(N/.*|locks|self/net/tcp6?)"): UNKNOWN,
}


class Odd(Folder):
    """A captured folder of which one source is refused or garbage; `asked` is what was asked."""

    def __init__(self, fixture: Fixture, at: Question | None = None, *, refuses: bool) -> None:
        super().__init__(fixture.top, itself=fixture.itself)
        self._at, self._refuses = at, refuses
        self.asked: list[Question] = []

    def _is_odd(self, verb: str, path: str) -> bool:
        self.asked.append((verb, path))
        if (verb, path) != self._at:
            return False
        if self._refuses:
            raise OSError(REFUSED, "refused")
        return True

    def read(self, path: str) -> bytes:
        return GARBAGE if self._is_odd("read", path) else super().read(path)

    def part(self, path: str, offset: int, size: int) -> bytes:
        return (
            GARBAGE[:size]
            if self._is_odd("part", path)
            else Folder(self.folder).part(path, offset, size)
        )

    def lines(self, path: str) -> Iterator[bytes]:
        return (
            iter(GARBAGE.splitlines())
            if self._is_odd("lines", path)
            else Folder(self.folder).lines(path)
        )

    def link(self, path: str) -> str:
        return "garbage" if self._is_odd("link", path) else super().link(path)

    def names(self, path: str) -> list[str]:
        self._is_odd("names", path)
        return super().names(path)


def content(fixture: Fixture, source: Folder) -> bytes:
    record = fixture.view.record_of(source, fixture.machine)
    return b"".join(rendered(fixture.view, fixture.suffix, record, fixture.machine))


def asked(fixture: Fixture) -> list[Question]:
    source = Odd(fixture, refuses=False)
    content(fixture, source)
    # What stat(2) says of descriptors is a file here only.
    return [one for one in dict.fromkeys(source.asked) if one[1] != "fstat.json"]


def kind(question: Question) -> str:
    """The path with N for the numbers in it."""
    return re.sub(r"(?<![a-z])\d+", "N", question[1])


JOINED = [one for one in FIXTURES if one.view.join and one.suffix in JSON]


def excused(view: str, path: str) -> bool:
    return any(name == view and re.fullmatch(place, path) for name, place in UNNAMED)


def is_subject(view: str, path: str) -> bool:
    return path == SUBJECT_OF_ALL or path in SUBJECTS.get(view, set())


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "garbage"])
@pytest.mark.parametrize("view", sorted({one.view.name for one in JOINED}))
def test_each_part_may_be_missing(view: str, *, refuses: bool) -> None:
    tried: dict[tuple[str, str], int] = defaultdict(int)
    for fixture in (one for one in JOINED if one.view.name == view):
        usual = content(fixture, Odd(fixture, refuses=False))
        for question in asked(fixture):
            path = kind(question)
            tried[question[0], path] += 1
            # What the names of a directory look like is the kernel's alone.
            if tried[question[0], path] > 3 or (question[0] == "names" and not refuses):
                continue
            try:
                odd = content(fixture, Odd(fixture, question, refuses=refuses))
            except (OSError, DecodeError):
                assert is_subject(view, path), f"{fixture}: {question} ends the view"
                continue
            assert (
                odd.count(b'"reason":') > usual.count(b'"reason":')
                or (b"ETIMEDOUT" if refuses else b"garbage") in odd
                or is_subject(view, path)
                or excused(view, path)
            ), f"{fixture}: {question} is missing and nothing says so"


def test_no_exception_is_about_what_no_view_reads() -> None:
    everything = {(one.view.name, kind(question)) for one in JOINED for question in asked(one)}
    for name, place in UNNAMED:
        assert any(view == name and re.fullmatch(place, path) for view, path in everything)
    for name, paths in SUBJECTS.items():
        assert paths <= {path for view, path in everything if view == name}, name
