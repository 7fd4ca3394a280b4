"""aarch64: its code as the assembler of binutils writes it, and states of a program on its kernel.

`aarch64/` has what was captured on Linux 6.12 under QEMU (`-cpu max`, so with pointer
authentication): the program of `programs/linked.c`, and for each state the files of /proc, the
stack, and what gdb said. It stops a thread, which takes its program counter back to the system
call, four bytes before the one that the kernel tells of a thread that waits.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procmirror.stack import code_aarch64
from procmirror.stack.architecture import AARCH64
from procmirror.stack.callers import callers
from procmirror.stack.code import Call
from procmirror.stack.elf import Elf
from procmirror.stack.frames import RSP
from procmirror.stack.process import Image, Process
from procmirror.stack.repair import SEARCHED
from procmirror.stack.repair_linked import UNTOLD, LinkedRepairs
from procmirror.stack.sample import ARCHITECTURES, parsed
from procmirror.stack.snapshot import Memory, where
from procmirror.stack.target import Blob
from procmirror.stack.unwind import Stack, Unwinder
from tests.stack.crafted import Crafted

STATES = Path(__file__).parent / "aarch64"
PROGRAM = (STATES / "linked").read_bytes()
AT = 0x400000


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


@pytest.mark.parametrize(
    ("word", "call"),
    [
        (0x94000400, Call(AT + 0x1000)),  # bl .+0x1000
        (0x97FFFFFE, Call(AT - 8)),  # bl .-8
        (0xD63F0260, Call(None, register=19)),  # blr x19
        (0xD63F0120, Call(None)),  # blr x9
        (0xD63F0A9F, Call(None, register=20)),  # blraaz x20
        (0xD73F0ABF, Call(None, register=21)),  # blraa x21, sp
        (0xD65F03C0, None),  # ret
        (0x17FFFFFF, None),  # b .-4
        (0xD61F0220, None),  # br x17
    ],
)
def test_calls(word: int, call: Call | None) -> None:
    assert code_aarch64.call_before(words(word), AT + 4) == call
    assert dict(code_aarch64.calls(words(0, word), AT - 4)) == ({AT + 4: call} if call else {})


@pytest.mark.parametrize(
    ("word", "ahead"),
    [
        (0x17FFFFFF, -4),  # b
        (0x54000081, 16),  # b.ne
        (0xB4FFFF03, -32),  # cbz x3
        (0x35000103, 32),  # cbnz w3
        (0x36180201, 64),  # tbz w1
        (0xB747FE01, -64),  # tbnz x1
    ],
)
def test_jumps(word: int, ahead: int) -> None:
    assert list(code_aarch64.jumps(words(word, 0xD65F03C0), AT)) == [AT + ahead]
    assert not code_aarch64.jumps_anywhere(words(word))


@pytest.mark.parametrize("word", [0xD61F0220, 0xD71F0A11])  # br x17; braa x16, x17
def test_jumps_through_a_register(word: int) -> None:
    assert code_aarch64.jumps_anywhere(words(0xD65F03C0, word))


def test_stubs() -> None:
    # adrp x16, .+0x5000; ldr x17, [x16, #4088]; add x16, x16, #4088; br x17
    stub = words(0xB0000030, 0xF947FE11, 0x913FE210, 0xD61F0220)
    assert code_aarch64.stub_slot(stub, AT) == AT + 0x5000 + 4088
    assert code_aarch64.stub_slot(words(0xD503245F) + stub, AT) == AT + 0x5000 + 4088  # bti c
    assert code_aarch64.stub_slot(bytes(20), AT) is None


def test_what_moves_sp() -> None:
    # stp x29, x30, [sp, #-48]!; stp d8, d9, [sp, #-64]!; str x30, [sp, #-16]!; sub sp, sp, #0x120;
    # sub sp, sp, #1, lsl #12; stp x19, x20, [sp, #16]
    code = words(0xA9BD7BFD, 0x6DBC27E8, 0xF81F0FFE, 0xD10483FF, 0xD14007FF, 0xA90153F3)
    assert code_aarch64.depth(code) == 48 + 64 + 16 + 0x120 + 4096


@given(st.binary(max_size=64), st.integers(0, 1 << 48))
def test_any_code(code: bytes, address: int) -> None:
    code_aarch64.call_before(code, address)
    code_aarch64.stub_slot(code, address)
    code_aarch64.depth(code)
    list(code_aarch64.calls(code, address))
    list(code_aarch64.jumps(code, address))


class Captured(Crafted):
    """A captured process; the page of the kernel that a handler returns to is none of its files."""

    def part(self, path: str, offset: int, size: int) -> bytes:
        if self.base <= offset < self.base + len(self.memory):
            return super().part(path, offset, size)
        return code_aarch64.SIGNAL_RETURN[:size]


def stack_of(state: str, change: Callable[[bytes], bytes] = lambda stack: stack) -> Stack:
    """The frames of a captured state, perhaps with another stack."""
    folder = STATES / state
    at = where((folder / "syscall").read_bytes().strip())
    assert at
    content = change((folder / "stack").read_bytes())
    process = Process(Captured((folder / "maps").read_bytes(), content, at.sp, PROGRAM))
    return Unwinder(process, Memory(process, at.sp), 60).stack(at)


def said(state: str) -> list[int]:
    """The program counters that gdb gave, innermost first; it has none for a return from a signal."""
    text = (STATES / state / "gdb").read_text(encoding="utf-8")
    return [int(at, 16) for at in re.findall(r"^#\d+ +(0x[0-9a-f]+)", text, re.MULTILINE)]


def counters(stack: Stack) -> list[int]:
    """Those of a stack, the first as a debugger sees it: at the system call."""
    return [frame.pc - (0 if at else 4) for at, frame in enumerate(stack.frames)]


@pytest.mark.parametrize("state", ["one_call", "jumped"])
def test_the_caller_of_a_function_that_keeps_its_return_address_in_a_register(state: str) -> None:
    stack = stack_of(state)
    assert counters(stack) == said(state)
    assert [frame.mark for frame in stack.frames][:3] == ["proven", "repaired", "proven"]
    assert stack.reason is None


def test_of_two_calls_that_may_be_the_one_neither_is_shown() -> None:
    stack = stack_of("two_calls")
    theirs = said("two_calls")
    assert counters(stack) == [theirs[0], *theirs[2:]]
    assert [frame.gap for frame in stack.frames] == [False, True, False, False]
    assert stack.reason == UNTOLD


@pytest.mark.parametrize("state", ["alloca", "pointer"])
def test_what_no_call_proves_is_unsure(state: str) -> None:
    """SP has moved since the beginning of the frame, or a register names the function."""
    stack = stack_of(state)
    assert counters(stack) == said(state)
    assert {frame.mark for frame in stack.frames[1:]} == {"unsure"}
    assert stack.reason == SEARCHED


def test_the_function_that_a_signal_interrupted() -> None:
    """Its return address is in x30, which the frame of the handler has."""
    stack = stack_of("signal")
    handler = next(at for at, frame in enumerate(stack.frames) if frame.interrupted and at)
    ours = counters(stack)
    assert ours[:handler] + ours[handler + 1 :] == said("signal")
    assert stack.frames[handler + 1].interrupted
    assert stack.reason is None


def test_return_addresses_are_authenticated() -> None:
    """What was saved has a code above the address; without it nothing of the above is tested."""
    stack = (STATES / "one_call/stack").read_bytes()
    saved = struct.unpack(f"<{len(stack) // 8}Q", stack)
    assert any(word >> 48 and word & 0xFFFFFFFFFFFF == 0x4001A8 for word in saved)


def test_an_older_return_address_is_no_caller() -> None:
    """The place of the return address of `begun` has that of another function."""
    stack = stack_of("one_call", lambda raw: raw.replace(b"\xa8\x01\x40", b"\x68\x01\x40"))
    assert counters(stack)[0] == said("one_call")[0]
    assert stack.reason
    assert len(stack.frames) == 1


@pytest.mark.parametrize("state", sorted(one.name for one in STATES.iterdir() if one.is_dir()))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_stack_ends(state: str, data: st.DataObject) -> None:
    size = len((STATES / state / "stack").read_bytes())
    at = data.draw(st.integers(0, size - 8))
    word = data.draw(st.one_of(st.binary(min_size=8, max_size=8), st.just(bytes(8))))
    stack = stack_of(state, lambda raw: raw[:at] + word + raw[at + 8 :])
    assert len(stack.frames) < 20


def test_the_search_for_a_caller_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may have a million places that could have called a function."""
    assert len(said("one_call")) > 1

    def late(_: LinkedRepairs, __: Call, ___: int) -> list[int]:
        monkeypatch.setattr(Captured, "clock", lambda _: 61.0)
        return [0x400190]

    monkeypatch.setattr(LinkedRepairs, "entered", late)
    assert len(counters(stack_of("one_call"))) == 1


def test_stubs_of_one_function_are_not_without_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each the code is searched, a tenth of a second for four MiB."""
    image = Process(Captured((STATES / "signal/maps").read_bytes(), b"", 0, PROGRAM))
    asked: list[int] = []

    def stubs(*_: object) -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield 0x400170

    other = Image(Elf(Blob(PROGRAM)), 1)
    images = iter([image.image(0x400170), other])
    monkeypatch.setattr(image, "image", lambda _: next(images, None))
    monkeypatch.setattr("procmirror.stack.callers._stubs", stubs)
    list(callers(image, 0x400170))
    assert len(asked) == 4


def test_functions_that_call_another() -> None:
    image = Process(Captured((STATES / "signal/maps").read_bytes(), b"", 0, PROGRAM))
    # objdump -d: leaf is called by one_call, two_calls (twice) and with_alloca.
    assert list(callers(image, 0x400170)) == [0x400190, 0x4001F0, 0x400230]


def test_the_registers_of_a_sample() -> None:
    """x0 to x30, sp and pc: include/uapi, arch/arm64/include/uapi/asm/perf_regs.h."""
    registers = [*range(100, 131), 0xFFFF0000, 0x400190]
    record = struct.pack("=Q33QQ8sQ", 2, *registers, 8, b"contents", 8)
    sample = parsed(record, "aarch64", kernel=False)
    assert sample
    assert (sample.pc, sample.registers[RSP], sample.stack) == (0x400190, 0xFFFF0000, b"contents")
    assert AARCH64.as_written(sample.registers) == dict(enumerate(registers[:32]))
    assert sorted(ARCHITECTURES["aarch64"]) == list(range(33))
