"""The fast decoder of status against the plain one, over captured files that were changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.view import Machine
from procmirror.views.pid import status, status_fast, status_text
from tests.fixtures import FIXTURES

CAPTURED = [
    one.raw.read_bytes()
    for one in FIXTURES
    if one.view.name == "PID/status" and one.suffix == "json"
]
MACHINE = Machine(users={0: "root", 1000: "user"}, groups={0: "root"})


def answer(decode: Any, raw: bytes) -> Any:
    """The record; a word where the decoder refuses the file, for whatever reason first."""
    try:
        return decode(raw, MACHINE)
    except SURPRISES:
        return "refused"


LINES = sorted({line for raw in CAPTURED for line in raw.split(b"\n")})
KINDS_OF_LINE = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from([b"", b"VmPeak:\t  12 kB", b"VmSwap:\t18446744073709551612 kB", b"SigPnd:\t0"]),
    st.sampled_from([b"Novelty:\t7 kB", b"Novelty:\t7", b"VmRSS:\t 4 pages", b"VmData: 8 kB"]),
    st.binary(max_size=20),
)


@pytest.mark.parametrize("raw", CAPTURED)
def test_a_captured_file_decodes_alike(raw: bytes) -> None:
    assert status_fast.decode(raw, MACHINE) == status.decode(raw, MACHINE)


@given(
    raw=st.sampled_from(CAPTURED),
    changes=st.lists(
        st.tuples(st.integers(0, 70), st.sampled_from(["in", "out", "for"]), KINDS_OF_LINE),
        max_size=6,
    ),
)
def test_a_changed_file_decodes_alike(raw: bytes, changes: list[tuple[int, str, bytes]]) -> None:
    lines = raw.split(b"\n")
    for at, how, line in changes:
        if how == "in":
            lines.insert(at, line)
        elif how == "out":
            del lines[at : at + 1]
        else:
            lines[at : at + 1] = [line]
    changed = b"\n".join(lines)
    assert answer(status_fast.decode, changed) == answer(status.decode, changed)


@given(raw=st.binary(max_size=120))
def test_any_bytes_decode_alike(raw: bytes) -> None:
    raw = b"Name:\tx\n" + raw
    assert answer(status_fast.decode, raw) == answer(status.decode, raw)


@pytest.mark.parametrize("process", [Path("/proc/self"), Path("/proc/1")])
def test_a_file_of_this_kernel_has_the_form_that_is_decoded_fast(
    process: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = (process / "status").read_bytes()
    plain = status.decode(raw, MACHINE)
    monkeypatch.delattr(status, "decode")
    assert status_fast.decode(raw, MACHINE) == plain


def test_a_new_key_among_the_rights_needs_no_plain_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Path("/proc/self/status").read_bytes()
    raw = raw.replace(b"\nCpus_allowed:", b"\nNovelty:\t7 kB\nCpus_allowed:")
    monkeypatch.delattr(status, "decode")
    assert status_fast.decode(raw, MACHINE).extra == {"Novelty": "7 kB"}


def test_lines_behind_the_counters_need_no_plain_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 6.6 and later has these at the end (arch_proc_pid_thread_features)."""
    raw = Path("/proc/self/status").read_bytes()
    raw = b"".join(line for line in raw.splitlines(keepends=True) if not line.startswith(b"x86_"))
    raw += b"x86_Thread_features:\tshstk wrss \nx86_Thread_features_locked:\t\nNovelty:\t7\n"
    plain = status.decode(raw, MACHINE)
    assert plain.x86_Thread_features == ("shstk", "wrss")
    assert (plain.x86_Thread_features_locked, plain.extra) == ((), {"Novelty": "7"})
    monkeypatch.delattr(status, "decode")
    found = status_fast.decode(raw, MACHINE)
    assert found == plain
    # A record is the caller's, whatever is kept of the file.
    assert isinstance(found.extra, dict)
    found.extra.clear()
    assert status_fast.decode(raw, MACHINE) == plain


def test_a_limit_of_nought_is_no_other_number() -> None:
    raw = CAPTURED[0].replace(re.findall(rb"SigQ:.*", CAPTURED[0])[0], b"SigQ:\t0/%d")
    words = [
        re.findall(
            "queued +(.*)", "".join(status_text.text(status.decode(raw % limit, MACHINE), MACHINE))
        )
        for limit in (0, 7, 2**64 - 1)
    ]
    assert words == [["0 of 0"], ["0 of 7"], ["0 of any number"]]


@pytest.mark.parametrize("limit", [2**32 - 1, 2**63 - 1, 2**64 - 1])
def test_queued_signals_without_a_limit_have_none(limit: int) -> None:
    """They are RLIM_INFINITY of a 32-bit kernel, of Alpha and of other 64-bit kernels."""
    raw = re.sub(rb"SigQ:.*", b"SigQ:\t3/%d" % limit, CAPTURED[0])
    for decode in (status.decode, status_fast.decode):
        assert decode(raw, MACHINE).SigQ == status.Queue(3, None)


LEFT_OUT = {
    "VmSwap": "swapped-out",
    "VmLck": "locked",
    "VmPin": "pinned",
    "HugetlbPages": "hugetlb-pages",
    "CapInh": "inheritable",
    "CapAmb": "ambient",
    "CapEff": "effective",
    "ShdPnd": "pending",
    "SigBlk": "blocked",
    "SigCgt": "handled",
}


@pytest.mark.parametrize("raw", CAPTURED)
def test_what_is_nought_or_empty_is_named_in_the_text(raw: bytes) -> None:
    found = status.decode(raw, MACHINE)
    text = "".join(status_text.text(found, MACHINE))
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    left_out = {name for row in rows if row[0] in {"at-0", "none"} for name in row[1:]}
    shown = {row[0] for row in rows}
    for key, label in LEFT_OUT.items():
        value = getattr(found, key)
        if found.VmSize is not None or isinstance(value, tuple):
            assert (label in left_out) == (value in (0, ())), key
            assert (label in shown) == bool(value), key
