"""Code without unwind data on aarch64: states of `programs/gapped.c`, captured under QEMU.

No debugger shows these frames: the oracle is what the program does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procmirror.stack import code_aarch64
from procmirror.stack.frames import RSP, Frame
from procmirror.stack.links import Links
from procmirror.stack.process import Name, Process
from procmirror.stack.repair import SEVERAL, WITHOUT_DATA
from procmirror.stack.snapshot import Memory, where
from procmirror.stack.unwind import Unwinder
from tests.stack.crafted import Crafted
from tests.stack.test_aarch64 import words

STATES = Path(__file__).parent / "aarch64_gaps"
PROGRAM = (STATES / "program").read_bytes()
OUTER = ["begun", "first", "_start"]
# The functions, innermost first; frames are missing before each inner list but the first.
WAYS = {
    "sorts": [["naps"], ["sleeps"] * 3 + ["compared", "each"], ["sorts"] * 3 + OUTER],
    "runs": [["naps"], ["sleeps"] * 3 + ["compared", "keeps"] + ["runs"] * 3 + OUTER],
    "twice": [["naps"], ["twice", *OUTER]],
}


def unwinder(way: str, change: Callable[[bytes], bytes] = lambda stack: stack) -> Unwinder:
    """Of a captured state, perhaps with another stack."""
    folder = STATES / way
    at = where((folder / "syscall").read_bytes().strip())
    assert at
    content = change((folder / "stack").read_bytes())
    process = Process(Crafted((folder / "maps").read_bytes(), content, at.sp, PROGRAM))
    return Unwinder(process, Memory(process, at.sp), 60)


def frames_of(unwinder: Unwinder, way: str) -> tuple[list[Frame], str | None]:
    at = where((STATES / way / "syscall").read_bytes().strip())
    assert at
    stack = unwinder.stack(at)
    return stack.frames, stack.reason


def named(process: Process, frames: list[Frame]) -> list[list[str]]:
    """The names of the frames, in the runs that the gaps make."""
    found: list[list[str]] = [[]]
    for frame in frames:
        if frame.gap:
            found.append([])
        symbol = process.name(frame.pc, innermost=frame.interrupted).symbol
        found[-1].append((symbol or b"?").decode())
    return found


@pytest.mark.parametrize("way", WAYS)
def test_the_frames_beyond_code_without_rules(way: str) -> None:
    unwinding = unwinder(way)
    frames, reason = frames_of(unwinding, way)
    assert named(unwinding.process, frames) == WAYS[way]
    assert reason == WITHOUT_DATA
    assert {frame.mark for frame in frames[1:]} == {"unsure"}


def test_of_two_calls_the_one_of_the_function_that_waits_counts() -> None:
    """The other one's return address is still where that call has saved it."""
    unwinding = unwinder("twice")
    frames, _ = frames_of(unwinding, "twice")
    function = unwinding.process.name(frames[0].pc, innermost=True).offset
    call = unwinding.links.call(frames[1].pc)
    assert call and call.target == frames[0].pc - (function or 0)


def test_of_two_calls_neither_is_shown_where_the_function_has_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unwinding = unwinder("twice")
    nobody = Name(*[None] * len(Name._fields))
    monkeypatch.setattr(unwinding.process, "name", lambda *_, **__: nobody)
    frames, reason = frames_of(unwinding, "twice")
    assert (len(frames), reason) == (1, SEVERAL)


def test_a_return_address_that_is_saved_elsewhere_is_an_old_one() -> None:
    """That of `naps` is 120 bytes below the SP of its caller, and nowhere else."""
    whole, _ = frames_of(unwinder("twice"), "twice")
    slot = whole[1].registers[RSP] - 120 - whole[0].registers[RSP]

    def moved(stack: bytes) -> bytes:
        saved = stack[slot : slot + 8]
        return stack[:slot] + bytes(8) + saved + stack[slot + 16 :]

    unwinding = unwinder("twice", moved)
    frames, _ = frames_of(unwinding, "twice")
    assert [frame.pc for frame in frames if frame.pc == whole[1].pc] == []


def test_generated_code_is_followed_by_its_frame_pointer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its beginning is not known, and the frame is unsure."""
    unwinding = unwinder("runs")
    process, name = unwinding.process, unwinding.process.name

    def nameless(pc: int, *, innermost: bool) -> Name:
        found = name(pc, innermost=innermost)
        return found._replace(offset=None) if found.symbol == b"keeps" else found

    monkeypatch.setattr(process, "name", nameless)
    frames, reason = frames_of(unwinding, "runs")
    assert named(process, frames) == WAYS["runs"]
    assert reason == WITHOUT_DATA
    monkeypatch.setattr("procmirror.stack.repair_unruled.sets_frame_pointer", lambda _: False)
    inner, outer = WAYS["runs"][1][:5], WAYS["runs"][1][5:]
    assert named(process, frames_of(unwinding, "runs")[0]) == [["naps"], inner, outer]
    monkeypatch.setattr(process, "generated", lambda _: True)
    assert named(process, frames_of(unwinding, "runs")[0]) == WAYS["runs"]


@pytest.mark.parametrize("chosen", [slice(1, 2), slice(1, 3), slice(1, None)])
def test_a_stack_full_of_return_addresses_takes_no_longer_than_it_is(
    chosen: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each of two thousand, two thousand others could be looked at."""
    asked: list[int] = []

    def counted(links: Links, start: int, function: int) -> bool | None:
        asked.append(start)
        return leads(links, start, function)

    leads = Links.leads
    pcs = [frame.pc for frame in frames_of(unwinder("twice"), "twice")[0][chosen]]
    full = struct.pack("<2048Q", *(pcs[at % len(pcs)] for at in range(2048)))
    monkeypatch.setattr(Links, "leads", counted)
    frames, _ = frames_of(unwinder("twice", lambda stack: full[: len(stack)]), "twice")
    assert len(frames) < 3
    places = len((STATES / "twice" / "stack").read_bytes()) // 8
    assert len(asked) < 20 * places


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_stack_ends(way: str, data: st.DataObject) -> None:
    stack = (STATES / way / "stack").read_bytes()
    chosen = data.draw(st.integers(0, min(len(stack), 900) - 8))
    place = chosen & -8 if data.draw(st.booleans()) else chosen
    known = [stack[at : at + 8] for at in range(0, 640, 8)]
    word = data.draw(st.one_of(st.binary(min_size=8, max_size=8), st.sampled_from(known)))
    changed = stack[:place] + word + stack[place + 8 :]
    frames, _ = frames_of(unwinder(way, lambda _: changed), way)
    assert len(frames) < 40


@pytest.mark.parametrize(
    ("code", "below"),
    [
        ((0xA9BD7BFD,), 40),  # stp x29, x30, [sp, #-48]!
        ((0xD503233F, 0xA9BD7BFD), 40),  # paciasp before
        ((0xD10483FF, 0xA9017BFD), 0x120 - 24),  # sub sp, sp, #0x120; stp x29, x30, [sp, #16]
        ((0xF81F0FFE,), 16),  # str x30, [sp, #-16]!
        ((0xD10483FF, 0xF9000BFE), 0x120 - 16),  # sub sp, sp, #0x120; str x30, [sp, #16]
        ((0x14000002, 0xA9BD7BFD), None),  # b
        ((0xA9BD53F3,), None),  # stp x19, x20, [sp, #-48]!
    ],
)
def test_where_a_function_saves_its_return_address(code: tuple[int, ...], below: int) -> None:
    assert code_aarch64.link_saved(words(*code)) == below


@pytest.mark.parametrize(
    ("code", "sets"),
    [
        ((0xA9BD7BFD, 0x910003FD), True),  # stp x29, x30, [sp, #-48]!; mov x29, sp
        ((0xA9017BFD, 0x910043FD, 0xD63F0000), True),  # stp …, [sp, #16]; add x29, sp, #16; blr x0
        ((0xA9BD7BFD, 0xD63F0000), False),
        ((0x910003FD,), False),
        ((0xA9BD7BFD, 0x910003FD, 0xD65F03C0, 0xD63F0000), False),  # ret
    ],
)
def test_whether_a_function_keeps_a_frame_pointer(code: tuple[int, ...], sets: bool) -> None:
    assert code_aarch64.sets_frame_pointer(words(*code)) is sets


@given(st.binary(max_size=200))
def test_any_code(code: bytes) -> None:
    code_aarch64.link_saved(code)
    code_aarch64.sets_frame_pointer(code)
