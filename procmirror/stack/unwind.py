"""From the program counter, the stack pointer and a copy of the stack to the chain of calls.

Of a thread in a system call the kernel shows SP and PC; the other registers stay unknown until an
inner frame restores them. The rules of .eh_frame and of Go's table lead to proven frames. Where
they need a register that is unknown (functions with a frame pointer, at the inner end of the
stack), or where there are none, three repairs are tried, and each must be confirmed by a CALL that
could have made the frame:

1. the function's prologue tells how far SP is below the return address;
2. the stack is searched upwards for a return address behind a call of this very function (alloca
   moved SP);
3. code without rules is believed to keep rbp as frame pointer (JIT).

A call whose target the code does not tell (through a pointer, or a function that jumped on)
confirms only a frame from which the rules alone lead to the end of the stack, and the frame is
unsure; so is one of generated code that no CALL left there, as interpreters do it, and then the
frame pointers must lead to the end. Nothing else is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from procmirror.stack import cfi, golang
from procmirror.stack.cfi_program import UNDEFINED, Rule
from procmirror.stack.code import (
    LONGEST_CALL,
    PROLOGUE,
    STUB,
    WORD,
    Call,
    call_before,
    frame_size,
    stub_slot,
)
from procmirror.stack.elf import BROKEN
from procmirror.stack.expression import evaluate
from procmirror.stack.process import Process
from procmirror.stack.snapshot import Memory, Where

RBP, RSP = 6, 7
PRESERVED = (3, RBP, 12, 13, 14, 15)
# The arguments of a system call are still in their registers: rdi, rsi, rdx, r10, r8, r9.
ARGUMENTS = (5, 4, 1, 10, 8, 9)
MOST_FRAMES = 256
MOST_SCANNED = 16 << 10
MOST_TRIED = 8  # return addresses of a search that are followed to the end of the stack

PROVEN, REPAIRED, UNSURE = "proven", "repaired", "unsure"


@dataclass(frozen=True)
class Frame:
    """One frame: its program counter, the registers that are known in it, and how it was found.

    In the innermost frame and in one that a signal interrupted (`interrupted`), `pc` is the
    instruction itself, else the one after the call.
    """

    pc: int
    registers: dict[int, int] = field(hash=False)
    interrupted: bool = False
    mark: str = PROVEN

    @property
    def at(self) -> int:
        """An address inside the instruction that the frame executes."""
        return self.pc if self.interrupted else self.pc - 1


class End(Exception):
    """Why there is no further frame; None where the rules themselves say so."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


class NeedsRegister(Exception):
    """The rules need a register that is not known here."""


NO_DATA = "no unwind data"


@dataclass(frozen=True)
class Stack:
    """The frames, innermost first.

    `reason` says why there are no more and is None for a complete stack.
    """

    frames: list[Frame]
    reason: str | None


class Unwinder:
    """One thread's stack."""

    def __init__(self, process: Process, memory: Memory, deadline: float) -> None:
        self.process, self.memory, self.deadline = process, memory, deadline
        self.trusted: set[int] = (
            set()
        )  # the stack pointers of frames from which the end was reached

    def stack(self, where: Where) -> Stack:
        """All frames that can be shown to exist."""
        registers = {RSP: where.sp}
        if len(where.arguments) == len(ARGUMENTS):
            registers.update(zip(ARGUMENTS, where.arguments, strict=True))
        frames = [Frame(where.pc, registers, interrupted=True)]
        try:
            while len(frames) < MOST_FRAMES:
                frames.append(self.caller(frames[-1]))
        except End as end:
            return Stack(frames, end.reason)
        return Stack(frames, f"more than {MOST_FRAMES} frames")

    def caller(self, frame: Frame) -> Frame:
        """The frame that called `frame`, by the rules or by a repair."""
        try:
            reason = NO_DATA
            found = self.ruled(frame) or self.by_frame_pointer(frame)
        except NeedsRegister:
            reason = "a register is unknown that the unwind data needs"
            found = self.by_call(frame)
        if found is None:
            raise End(reason)
        return found

    def ruled(self, frame: Frame) -> Frame | None:
        """The caller by the rules of the file; None if there are none for this address."""
        if self.process.target.clock() > self.deadline:
            raise End("time")
        image = self.process.image(frame.at)
        if image is None:
            return None
        address = frame.at - image.bias
        row = cfi.row(image.elf, address)
        if row:
            return self.by_row(frame, row)
        go = golang.frame(image.elf, address)
        return self.by_go(frame, go) if go else None

    def by_row(self, frame: Frame, row: cfi.Row) -> Frame:
        """The caller by one row of call frame information."""
        known, word = frame.registers, self.memory.word
        if row.rules.get(row.return_register) == UNDEFINED:
            raise End(None)
        try:
            if row.program:
                cfa = evaluate(row.program, known, word)
            else:
                base = known.get(row.register)
                cfa = None if base is None else (base + row.offset) & WORD
            if cfa is None:
                raise NeedsRegister
            registers = {number: known[number] for number in PRESERVED if number in known}
            registers[RSP] = cfa
            for number, rule in row.rules.items():
                value = self.value(rule, cfa, known)
                if value is None:
                    registers.pop(number, None)
                else:
                    registers[number] = value
        except BROKEN:
            raise End(NO_DATA) from None
        pc = registers.pop(row.return_register, None)
        return self.checked(frame, pc, registers, interrupted=row.signal)

    def value(self, rule: Rule, cfa: int, known: dict[int, int]) -> int | None:
        """What a rule says of one register of the caller."""
        if rule.kind == "at":
            return self.memory.word((cfa + rule.value) & WORD)
        if rule.kind == "is":
            return (cfa + rule.value) & WORD
        if rule.kind == "register":
            return known.get(rule.value)
        if rule.kind == "undefined":
            return None
        value = evaluate(rule.program, known, self.memory.word, cfa)
        return value if value is None or rule.kind == "is expression" else self.memory.word(value)

    def by_go(self, frame: Frame, go: golang.Frame) -> Frame:
        """The caller by Go's table of frame sizes."""
        if go.top:
            raise End(None)
        if go.switches_stack and not frame.interrupted:
            raise End("the Go runtime switched stacks here")
        if go.size is None:
            raise End(NO_DATA)
        slot = frame.registers[RSP] + go.size
        return self.checked(
            frame, self.memory.word(slot & WORD), {RSP: (slot + 8) & WORD}, interrupted=False
        )

    def checked(
        self, frame: Frame, pc: int | None, registers: dict[int, int], *, interrupted: bool
    ) -> Frame:
        """The caller, if it is one.

        The stack grows (but for a signal frame) and the address is code.
        """
        if pc is None:
            raise End("the stack beyond this frame is not readable")
        if pc == 0:
            raise End("the return address is 0")
        if registers[RSP] <= frame.registers[RSP] and not interrupted:
            raise End("the frames do not follow each other")
        if not self.process.executable(pc if interrupted else pc - 1):
            raise End("the return address is not code")
        return Frame(pc, registers, interrupted, UNSURE if frame.mark == UNSURE else PROVEN)

    def by_call(self, frame: Frame) -> Frame | None:
        """The caller by the call that it made, which the first two repairs look for."""
        function = self.process.function(frame.at)
        if function is None:
            return None
        return self.by_prologue(frame, function) or self.by_search(frame, function)

    def by_prologue(self, frame: Frame, function: int) -> Frame | None:
        """The caller if SP has not moved since the prologue."""
        size = frame_size(
            self.process.code(function, min(PROLOGUE, frame.pc - function))
            if frame.pc > function
            else b""
        )
        return (
            None
            if size is None
            else self.confirmed(frame, function, frame.registers[RSP] + size - 8)
        )

    def by_search(self, frame: Frame, function: int) -> Frame | None:
        """The caller by the next return address on the stack that a call of this function left."""
        unsure = None
        tried = 0
        for slot in self.slots(frame):
            call = self.call(self.memory.word(slot))
            if call is None:
                continue
            if self.calls(call, function):
                return self.at_slot(frame, slot, REPAIRED)
            if call.target is None and unsure is None and tried < MOST_TRIED:
                tried += 1
                unsure = self.confirmed(frame, function, slot)
        return unsure

    def slots(self, frame: Frame) -> Iterator[int]:
        """The places above SP where a return address may be."""
        sp = frame.registers[RSP]
        return iter(range((sp + 7) & -8, min(self.memory.end - 7, sp + MOST_SCANNED), 8))

    def confirmed(self, frame: Frame, function: int, slot: int) -> Frame | None:
        """The caller whose return address is at `slot`, if a call confirms it."""
        call = self.call(self.memory.word(slot))
        if call is None:
            return None
        if self.calls(call, function):
            return self.at_slot(frame, slot, REPAIRED)
        found = self.at_slot(frame, slot, UNSURE)
        return found if found and self.leads_to_the_end(found) else None

    def at_slot(self, frame: Frame, slot: int, mark: str) -> Frame | None:
        """The frame whose return address is at `slot`; the function below pushed rbp next."""
        pc, saved = self.memory.word(slot), self.memory.word(slot - 8)
        if pc is None or slot < frame.registers[RSP]:
            return None
        registers = {RSP: slot + 8}
        if saved is not None and slot - 8 >= frame.registers[RSP]:
            registers[RBP] = saved
        return Frame(pc, registers, mark=UNSURE if frame.mark == UNSURE else mark)

    def call(self, pc: int | None) -> Call | None:
        """The call that `pc` returns from, if it is a return address at all."""
        if not pc or not self.process.executable(pc - 1):
            return None
        return call_before(self.process.code(pc - LONGEST_CALL, LONGEST_CALL), pc)

    def calls(self, call: Call, function: int) -> bool:
        """Whether a call goes to `function`, directly or through the procedure linkage table."""
        if call.target is None:
            return False
        if call.target == function:
            return True
        slot = stub_slot(self.process.code(call.target, STUB), call.target)
        return slot is not None and self.process.slot(slot) == function

    def leads_to_the_end(self, frame: Frame | None, *, linked: bool = False) -> bool:
        """Whether the rules alone complete the stack from here.

        `linked` if frame pointers may help in code without a file.
        """
        passed = set()
        for _ in range(MOST_FRAMES):
            if frame is None:
                return False
            passed.add(frame.registers[RSP])
            try:
                frame = self.ruled(frame) or (
                    self.linked(frame) if linked and self.process.generated(frame.at) else None
                )
            except End as end:
                if end.reason is None:
                    self.trusted |= passed
                return end.reason is None
            except NeedsRegister:
                return False
        return False

    def by_frame_pointer(self, frame: Frame) -> Frame | None:
        """The caller of code without rules, by the chain of frame pointers.

        Interpreters push return addresses that no CALL left: such a link counts if the whole chain
        leads to the end.
        """
        image = self.process.image(frame.at)
        if image and golang.is_go(image.elf):
            return None
        found = self.linked(frame)
        if found is None or self.call(found.pc):
            return found
        found = replace(found, mark=UNSURE)
        if found.registers[RSP] in self.trusted:
            return found
        return (
            found
            if self.process.generated(frame.at) and self.leads_to_the_end(found, linked=True)
            else None
        )

    def linked(self, frame: Frame) -> Frame | None:
        """What rbp leads to, if it can be a frame: higher on this stack, returning into code."""
        base, sp = frame.registers.get(RBP), frame.registers[RSP]
        if base is None or base & 7 or not sp <= base < self.memory.end:
            return None
        pc, saved = self.memory.word(base + 8), self.memory.word(base)
        if (
            not pc
            or saved is None
            or (saved and saved <= base)
            or not self.process.executable(pc - 1)
        ):
            return None
        return Frame(
            pc, {RSP: base + 16, RBP: saved}, mark=UNSURE if frame.mark == UNSURE else REPAIRED
        )
