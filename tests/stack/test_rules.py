"""Single steps from a frame to its caller, by rules made by hand, and where they end."""

from __future__ import annotations

import struct

import pytest

from procmirror.stack import golang
from procmirror.stack.cfi import row
from procmirror.stack.code import Call, call_before, frame_size, stub_slot
from procmirror.stack.expression import evaluate, signed, unsigned
from procmirror.stack.frames import NO_FILE, End, Frame
from procmirror.stack.process import Process
from procmirror.stack.snapshot import Memory, Where
from procmirror.stack.unwind import Stack, Unwinder
from tests.stack.crafted import TEXT, Crafted, file_with, with_program

BASE, STACK, OTHER = 0x10000, 0x20000, 0x30000
PC = BASE + TEXT + 5
MAPS = (
    b"10000-12000 r-xp 00000000 00:01 5 /file\n20000-21000 rw-p 00000000 00:00 0 [stack]\n"
    b"30000-31000 rw-p 00000000 00:00 0 \n40000-41000 rw-s 00000000 00:00 0 \n"
)
# The CFA is rsp + 16, the return address below it.
USUAL = b"\x0c\x07\x10\x90\x01"


def unwound(program: bytes, *words: int, augmentation: bytes = b"zR\0", sp: int = STACK) -> Stack:
    """The stack of a thread at PC, with these words above SP, in a function with these rules."""
    memory = struct.pack(f"<{len(words)}Q", *words).ljust(0x20000, b"\0")
    process = Process(Crafted(MAPS, memory, STACK, file_with(program, augmentation)))
    return Unwinder(process, Memory(process, sp), 100.0).stack(Where(0, (1, 2, 3, 4, 5, 6), sp, PC))


def second(program: bytes, *words: int, augmentation: bytes = b"zR\0") -> Frame:
    """The caller of the innermost frame."""
    return unwound(program, *words, augmentation=augmentation).frames[1]


def test_the_return_address_is_below_the_cfa() -> None:
    frame = second(USUAL, 0, PC + 1)
    assert (frame.pc, frame.registers[7], frame.mark, frame.at) == (
        PC + 1,
        STACK + 16,
        "proven",
        PC,
    )


def test_registers_are_restored_kept_or_lost() -> None:
    # rbx at CFA-16, rbp is the CFA itself - 8, r12 what rdi was (an argument of the call), r13
    # undefined, r14 never known
    program = USUAL + b"\x83\x02" + b"\x14\x06\x01" + b"\x09\x0c\x05" + b"\x07\x0d"
    assert second(program, 77, PC + 1).registers == {3: 77, 6: STACK + 8, 7: STACK + 16, 12: 1}


def test_expressions_give_a_value_or_a_place() -> None:
    # rbx in the word at rsp, rbp is rsp + 3
    program = USUAL + b"\x10\x03\x02\x77\x00" + b"\x16\x06\x02\x77\x03"
    assert second(program, 78, PC + 1).registers == {3: 78, 6: STACK + 3, 7: STACK + 16}


def test_the_cfa_may_be_computed() -> None:
    # rsp + 8 + 8
    assert second(b"\x0f\x04\x77\x08\x23\x08\x90\x01", 0, PC + 1).registers[7] == STACK + 16


def test_a_signal_frame_goes_on_at_the_interrupted_instruction() -> None:
    frame = second(USUAL, 0, PC + 1, augmentation=b"zRS\0")
    assert (frame.interrupted, frame.at) == (True, PC + 1)


def test_rules_hold_from_their_address_on() -> None:
    # until start + 4 the CFA is rsp + 8, until start + 6 rsp + 16, then rsp + 24
    elf = with_program(b"\x0c\x07\x08\x90\x01\x44\x0e\x10\x02\x02\x0e\x18")
    assert [(found := row(elf, TEXT + at)) and found.offset for at in (0, 3, 4, 5, 6, 999)] == [
        8,
        8,
        16,
        16,
        24,
        24,
    ]


def test_states_are_remembered_and_initial_rules_restored() -> None:
    elf = with_program(USUAL + b"\x0a\x0e\x20\x83\x03\x41\x0b\xc3\xd0\x41\x08\x10")
    offsets = [
        (found := row(elf, TEXT + at)) and (found.offset, sorted(found.rules)) for at in (0, 1, 2)
    ]
    assert offsets == [(32, [3, 16]), (16, []), (16, [])]


@pytest.mark.parametrize(
    ("program", "words", "reason"),
    [
        (USUAL + b"\x07\x10", [0, PC], None),
        (USUAL, [0, 0], "the return address is 0"),
        (USUAL, [0, STACK], "the return address is not code"),
        (USUAL, [0, BASE + 0x1FFF], "no unwind data"),
        (b"\x0c\x07\x00\x11\x10\x7f", [PC, PC], "the frames do not follow each other"),
        (b"\x0c\x06\x10\x90\x01", [0, PC], "a register is unknown that the unwind data needs"),
        (b"\x0c\x07\x10\x10\x10\x01\x19", [0, PC], "no unwind data"),
        (b"\x0c\x07\x90\xa0\x02\x90\x01", [0, PC], "the stack beyond this frame is not readable"),
        (b"\x1b\x1b", [0, PC], "no unwind data"),
    ],
)
def test_why_a_stack_ends(program: bytes, words: list[int], reason: str | None) -> None:
    assert unwound(program, *words).reason == reason


def test_a_stack_without_end_is_cut() -> None:
    stack = unwound(USUAL, *[PC, PC] * 400)
    assert (len(stack.frames), stack.omitted) == (256, 1)
    assert [frame.registers[7] - STACK for frame in stack.frames[199:201]] == [199 * 16, 201 * 16]
    assert stack.reason == "the stack beyond this frame is not readable"


def test_a_stack_that_goes_on_for_too_long_is_given_up() -> None:
    maps = MAPS + b"50000-250000 rw-p 00000000 00:00 0 \n"
    memory = struct.pack("<Q", PC) * (0x200000 // 8)
    process = Process(Crafted(maps, memory, 0x50000, file_with(USUAL)))
    where = Where(0, (), 0x50000, PC)
    stack = Unwinder(process, Memory(process, 0x50000), 100.0).stack(where)
    assert (len(stack.frames), stack.omitted) == (256, 20_000 - 256)
    assert stack.reason == "more than 20000 frames"


def test_memory_elsewhere_is_read_if_it_can_be_a_stack() -> None:
    def seen(address: int) -> int | None:
        process = Process(Crafted(MAPS, bytes(range(256)) * 512, STACK, file_with(USUAL)))
        return Memory(process, STACK).word(address)

    assert seen(OTHER + 8) == int.from_bytes(bytes(range(8, 16)), "little")
    assert seen(0x40008) is None
    assert seen(BASE) is None
    assert seen(0x90000) is None


def test_only_so_much_of_other_places_is_read() -> None:
    places = range(0x20000, 0x20000 + 0x2000 * 1024, 0x2000)
    maps = b"".join(b"%x-%x rw-p 00000000 00:00 0 \n" % (at, at + 0x1000) for at in places)
    process = Process(Crafted(maps, bytes(0x2000 * 1024), STACK))
    memory = Memory(process, STACK)
    words = [memory.word(at) for at in places]
    # Each place counts for 32 KiB of 16 MiB.
    assert words == [0] * 512 + [None] * 512
    assert memory.exhausted
    assert len(memory.copied) < 8


def generated(*words: int) -> Stack:
    """The stack below generated code at 0x50000, with frame pointers.

    What is beyond the first 256 bytes of code ends it.
    """
    memory = struct.pack(f"<{len(words)}Q", *words).ljust(0x20000, b"\0")
    maps = MAPS + b"50000-51000 rwxp 00000000 00:00 0 \n"
    process = Process(
        Crafted(maps, memory, STACK, file_with(USUAL + b"\x86\x02\x03\x00\x01\x07\x10"))
    )
    return Unwinder(process, Memory(process, STACK), 100.0).stack(
        Where(0, (1, 2, 3, 4, 5, 6), STACK, PC)
    )


def test_generated_code_is_followed_if_its_frame_pointers_lead_to_the_end() -> None:
    stack = generated(
        STACK + 0x20, 0x50010, 0, 0, STACK + 0x40, 0x50020, 0, 0, 0, BASE + TEXT + 0x200
    )
    assert [frame.mark for frame in stack.frames] == ["proven", "proven", "unsure", "unsure"]
    assert (stack.frames[-1].pc, stack.reason) == (BASE + TEXT + 0x200, None)


@pytest.mark.parametrize(
    "words",
    [
        [STACK + 0x20, 0x50010, 0, 0, STACK + 0x40, 0x50020, 0, 0, 0, 0],
        [STACK + 0x20, 0x50010, 0, 0, STACK + 0x10, 0x50020, 0, 0, 0, BASE + TEXT + 0x200],
        [STACK + 0x20, 0x50010, 0, 0, STACK + 0x40, STACK, 0, 0, 0, BASE + TEXT + 0x200],
        [STACK - 0x20, 0x50010, 0, 0, STACK + 0x40, 0x50020, 0, 0, 0, BASE + TEXT + 0x200],
        [STACK + 0x21, 0x50010, 0, 0, STACK + 0x40, 0x50020, 0, 0, 0, BASE + TEXT + 0x200],
    ],
)
def test_otherwise_nothing_is_guessed(words: list[int]) -> None:
    stack = generated(*words)
    assert ([frame.mark for frame in stack.frames], stack.reason) == (
        ["proven", "proven"],
        "no unwind data",
    )


@pytest.mark.parametrize(("word", "calls"), [(PC + 1, True), (PC + 1, False), (0, True)])
def test_a_thread_that_pthreads_made_for_go_has_frames_of_c(
    word: int, calls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = struct.pack("<Q", word).ljust(0x20000)
    process = Process(Crafted(MAPS, memory, STACK, file_with(USUAL)))
    unwinder = Unwinder(process, Memory(process, STACK), 100.0)
    monkeypatch.setattr(unwinder.links, "call", lambda _: Call(None) if calls else None)
    mstart = golang.Frame(b"runtime.mstart", 0, None, None, 0, top=True, switches_stack=False)
    first = Frame(PC, {7: STACK}, innermost=True)
    if word and calls:
        assert unwinder.thread_start(first, mstart).pc == word
        return
    with pytest.raises(End) as end:
        unwinder.thread_start(first, mstart)
    assert end.value.reason is None


def test_a_stack_ends_with_its_time() -> None:
    memory = struct.pack("<4Q", 0, PC + 1, 0, PC + 1).ljust(0x20000, b"\0")
    process = Process(Crafted(MAPS, memory, STACK, file_with(USUAL, b"zR\0")))
    unwinder = Unwinder(process, Memory(process, STACK), process.target.clock() - 1)
    stack = unwinder.stack(Where(0, (1, 2, 3, 4, 5, 6), STACK, PC))
    assert ([frame.pc for frame in stack.frames], stack.reason) == ([PC], "time")


def test_a_process_without_files_has_its_innermost_frame() -> None:
    process = Process(Crafted(MAPS, bytes(64), STACK))
    stack = Unwinder(process, Memory(process, STACK), 100.0).stack(Where(0, (), STACK, PC))
    assert ([frame.pc for frame in stack.frames], stack.reason) == ([PC], NO_FILE)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("9090e8fbffffff", Call(0x1000)),
        ("90909090 90ffd0", Call(None)),
        ("90909090 41ffd4", Call(None, register=12)),
        ("909090 90ff5308", Call(None)),
        ("909090 ff542408", Call(None)),
        ("90ff1500000000", Call(None, slot=0x1005)),
        ("ff942400010000", Call(None)),
        ("90909090 90ffe0", None),
        ("90909090909090", None),
        ("e800000000", None),
    ],
)
def test_calls_before_an_address(code: str, call: Call | None) -> None:
    assert call_before(bytes.fromhex(code), 0x1005) == call


def test_stubs_of_the_linkage_table() -> None:
    assert stub_slot(bytes.fromhex("ff25fa0f0000") + bytes(10), 0x1000) == 0x2000
    assert stub_slot(bytes.fromhex("f30f1efaf2ff25f50f0000") + bytes(5), 0x1000) == 0x2000
    assert stub_slot(bytes.fromhex("f30f1efaff25f60f0000") + bytes(6), 0x1000) == 0x2000
    assert stub_slot(bytes(16), 0x1000) is None


@pytest.mark.parametrize(
    ("code", "saved", "size"),
    [
        ("554889e5 4883ec20", 16, (16 + 0x20, 0)),
        ("f30f1efa 554889e5 4157 4156 53 4881ec00010000", 40, (40 + 0x100, 0)),
        ("55 488d87b0feffff 4889e5 4157 53 4883ec10", 32, (32 + 0x10, 0)),
        ("55488bec c3", 16, (16, 0)),
        ("554889e5 4883e4e0 4883ec40", 16, (16 + 0x40, 24)),
        ("554889e5 53 4883e4f0 c3", 24, (24, 8)),
        ("", 16, (16, 0)),
    ],
)
def test_prologues(code: str, saved: int, size: tuple[int, int]) -> None:
    assert frame_size(bytes.fromhex(code), saved) == size


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ("08ff", 0xFF),
        ("09ff", (1 << 64) - 1),
        ("0a3412", 0x1234),
        ("0c78563412", 0x12345678),
        ("10e58e26", 624485),
        ("1180 7f", (1 << 64) - 128),
        ("353222", 7),
        ("353 21c".replace(" ", ""), 3),
        ("31321a", 0),
        ("313221", 3),
        ("33341e", 12),
        ("313324", 8),
        ("3808 4024".replace(" ", ""), 0),
        ("383125", 4),
        ("09f0 3226".replace(" ", ""), (1 << 64) - 4),
        ("333227", 1),
        ("31322a", 0),
        ("32312b", 1),
        ("31122 9".replace(" ", ""), 1),
        ("7708 06".replace(" ", ""), 0x108),
        ("30", 0),
    ],
)
def test_expressions(program: str, value: int) -> None:
    assert evaluate(bytes.fromhex(program), {7: 0x100}, lambda address: address) == value


def test_an_expression_knows_what_it_does_not_know() -> None:
    assert evaluate(b"\x76\x00", {7: 1}, lambda address: address) is None
    assert evaluate(b"\x30\x06", {}, lambda _: None) is None


def test_numbers_of_variable_length() -> None:
    assert unsigned(b"\xe5\x8e\x26", 0) == (624485, 3)
    assert signed(b"\x80\x7f", 0) == (-128, 2)
    with pytest.raises(ValueError, match="64 bits"):
        unsigned(b"\xff" * 20, 0)
