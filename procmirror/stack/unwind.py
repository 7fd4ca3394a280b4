"""From the program counter, the stack pointer and a copy of the stack to the chain of calls.

The kernel shows SP and PC of a thread in a system call; the other registers are unknown until an
inner frame restores them. The rules of .eh_frame, .debug_frame and of Go's table lead to proven
frames. If they need an unknown register, or if there are none, `repair` looks for the caller.

Each link is checked against the code: a return address must follow a call, and a call that names
its target must lead to the function whose frame is below. A stack is complete if the rules mark its
end and no link on the way was found by search or contradicts the code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from procmirror.stack import golang, signal_frame
from procmirror.stack.cfi_program import UNDEFINED, Row, Rule
from procmirror.stack.code import WORD
from procmirror.stack.elf import BROKEN
from procmirror.stack.expression import evaluate
from procmirror.stack.frames import (
    NO_FILE,
    NOWHERE,
    PROVEN,
    RBP,
    RSP,
    UNSURE,
    End,
    Frame,
    NeedsRegister,
)
from procmirror.stack.links import MOST_CALLS, Links
from procmirror.stack.process import Process
from procmirror.stack.repair import Repairs
from procmirror.stack.repair_linked import LinkedRepairs
from procmirror.stack.sample import SampledMemory
from procmirror.stack.snapshot import MOST_IN_ALL, Memory, Where

# Stack pointer, frame pointer and program counter.
Place: TypeAlias = tuple[int, int, int]
INNER, OUTER = 200, 56  # the frames that are shown of a longer stack
MOST_FRAMES = INNER + OUTER
MOST_WALKED = 20_000

MSTART, CLONE = b"runtime.mstart", b"runtime.clone"
NO_DATA = "no unwind data"
UNREADABLE = "the stack beyond this frame is not readable"
UNKNOWN = "a register is unknown that the unwind data needs"
NO_CALL = "the return address does not follow a call"
# Why a stack whose end was reached is not called complete.
ELSEWHERE = "a call leads elsewhere than to the frame above it: frames may be missing"


@dataclass(frozen=True)
class Stack:
    """The frames, innermost first.

    `reason` says why there are no more and is None for a complete stack. `omitted` frames between
    the first `INNER` and the last `OUTER` are left out.
    """

    frames: list[Frame]
    reason: str | None
    omitted: int = 0


class Generator(Protocol):
    """What finds the caller of code that it has generated: `Languages`."""

    def caller(
        self, word: Callable[[int], int | None], sp: int, fp: int | None, pc: int
    ) -> Place | None:
        """The caller of a frame that has made a call."""

    def interrupted(
        self, copied: tuple[int, bytes], registers: dict[int, int], pc: int
    ) -> Place | None:
        """That of a frame at the moment of a sample: its stack and registers."""


class _Shown:
    """The frames of a stack: all of a short one, the two ends of a long one."""

    def __init__(self, first: Frame) -> None:
        self.inner = [first]
        self.outer: deque[Frame] = deque(maxlen=OUTER)
        self.count = 1

    def add(self, frame: Frame) -> None:
        self.count += 1
        (self.inner if len(self.inner) < INNER else self.outer).append(frame)

    def stack(self, reason: str | None) -> Stack:
        frames = [*self.inner, *self.outer]
        return Stack(frames, reason, self.count - len(frames))


class Unwinder:
    """One thread's stack."""

    def __init__(
        self,
        process: Process,
        memory: Memory | SampledMemory,
        deadline: float,
        links: Links | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.process, self.memory, self.deadline = process, memory, deadline
        self.generator = generator
        self.links = links or Links(process)
        self.architecture = process.architecture
        self.repairs = (LinkedRepairs if self.architecture.linked else Repairs)(self)
        self.doubt: str | None = None
        self.narrow = self.architecture.narrow

    def stack(self, where: Where) -> Stack:
        """All frames that can be shown to exist."""
        registers = {RSP: where.sp}
        # The arguments of a system call are still in their registers.
        if len(where.arguments) == len(numbers := self.architecture.arguments):
            registers.update(zip(numbers, where.arguments, strict=True))
        return self.sampled(where.pc, registers)

    def sampled(self, pc: int, registers: dict[int, int]) -> Stack:
        """All frames that can be shown, from the known registers of the innermost frame."""
        return self.begun(Frame(pc, registers, interrupted=True, innermost=True))

    def begun(self, frame: Frame) -> Stack:
        """All frames that can be shown, from the innermost frame on."""
        shown = _Shown(frame)
        try:
            while shown.count < MOST_WALKED:
                frame = self.caller(frame)
                shown.add(frame)
        except End as end:
            return shown.stack(end.reason or self.doubt)
        return shown.stack(f"more than {MOST_WALKED} frames")

    def caller(self, frame: Frame) -> Frame:
        """The frame that called `frame`, by the rules or by a repair."""
        try:
            reason = NO_DATA
            found = self.ruled(frame)
            if self.narrow and found is None:
                raise End(NO_FILE if self.process.closed(frame.at) else NO_DATA)
            if found is None:
                found = self.repairs.by_frame_pointer(frame)
            elif self.follows(frame, found) is False:
                self.doubt = ELSEWHERE
        except NeedsRegister:
            reason = UNKNOWN
            if self.narrow:
                raise End(reason) from None
            found = self.repairs.by_call(frame)
        if found is None and reason == NO_DATA:
            found = self.repairs.beyond(frame)
        if found is None:
            closed = reason == NO_DATA and self.process.closed(frame.at)
            raise End(self.repairs.reason or (NO_FILE if closed else reason))
        return found

    def follows(self, frame: Frame, found: Frame) -> bool | None:
        """Whether the code of `found`, a caller by the rules, calls the function of `frame`.

        None if the code does not show it. Raises `End` if there is no call at all.
        """
        if found.interrupted:
            return None
        # Threads have many frames alike, and the code of one request does not change.
        key = frame.at, found.pc
        if key in self.links.followed:
            return self.links.followed[key]
        certain, known = self._followed(frame, found)
        if known and len(self.links.followed) < MOST_CALLS:
            self.links.followed[key] = certain
        return certain

    def _followed(self, frame: Frame, found: Frame) -> tuple[bool | None, bool]:
        """What `follows` finds, and whether that depends on nothing but the two addresses."""
        if self.process.generated(found.at):
            return None, False
        call = self.links.call(found.pc)
        if call is None:
            if self.without_call(found):
                return None, True
            raise End(NO_CALL)
        function = None if self.narrow else self.process.function(frame.at)
        if function is None:
            return None, True
        told = self.links.goes_to(call, found.registers, function)
        return told, call.register is None

    def without_call(self, found: Frame) -> bool:
        """Whether a frame may be returned to without a call.

        The kernel returns to the end of a signal handler, makecontext(3) and clone(2) to the
        outermost function; Go switches stacks.
        """
        place = self.process.place(found.at)
        if place is None or golang.is_go(place.image.elf) or not self.process.code(found.at, 1):
            return place is not None
        row = place.row
        if row is None:
            return False
        return row.signal or row.rules.get(row.return_register) == UNDEFINED

    def check_time(self) -> None:
        """Raise `End` when the time of the request is over."""
        if self.process.target.clock() > self.deadline:
            raise End("time")

    def ruled(self, frame: Frame) -> Frame | None:
        """The caller by the rules of the file; None if there are none for this address."""
        self.check_time()
        if self.architecture.linked and (found := signal_frame.interrupted(self, frame)):
            return found
        place = self.process.place(frame.at)
        if place is None:
            return self.by_tables(frame)
        if place.go:
            return self.by_go(frame, place.go)
        return self.by_row(frame, place.row) if place.row else None

    def by_tables(self, frame: Frame) -> Frame | None:
        """The caller of generated code, by the tables of the virtual machine that made it."""
        if self.generator is None or not self.process.generated(frame.at):
            return None
        registers, found = frame.registers, None
        if not frame.interrupted:
            sp, pointer = registers[RSP], registers.get(RBP)
            found = self.generator.caller(self.memory.word, sp, pointer, frame.pc)
        elif frame.innermost and isinstance(self.memory, SampledMemory):
            found = self.generator.interrupted(self.memory.copied, registers, frame.pc)
        if found is None:
            return None
        self.memory.elsewhere = True
        sp, fp, pc = found
        return self.checked(frame, pc, {RSP: sp, RBP: fp}, interrupted=False)

    def by_row(self, frame: Frame, row: Row) -> Frame:
        """The caller by one row of call frame information."""
        known = frame.registers
        if row.rules.get(row.return_register) == UNDEFINED:
            raise End(None)
        try:
            cfa = self.cfa(row, known)
            if cfa is None or self.is_untold(row, known):
                raise NeedsRegister
            registers = self.restored(row, cfa, known)
        except BROKEN:
            raise End(NO_DATA) from None
        pc = registers.pop(row.return_register, None)
        return self.checked(frame, pc, registers, interrupted=row.signal)

    def cfa(self, row: Row, known: dict[int, int]) -> int | None:
        """The canonical frame address; None if a register is unknown. BROKEN as `evaluate`."""
        if row.program:
            return evaluate(row.program, self.architecture.as_written(known), self.memory.word)
        base = known.get(row.register)
        return None if base is None else (base + row.offset) & WORD

    def is_untold(self, row: Row, known: dict[int, int]) -> bool:
        """Whether the return address is still in the link register, and that is unknown."""
        number = row.return_register
        return self.architecture.linked and number not in row.rules and number not in known

    def restored(self, row: Row, cfa: int, known: dict[int, int]) -> dict[int, int]:
        """The known registers of the caller, its program counter among them."""
        kept = self.architecture.preserved
        registers = {number: known[number] for number in kept if number in known}
        registers[RSP] = cfa
        word = self.memory.word
        at = row.return_register
        if self.architecture.linked and at in known:
            registers[at] = known[at]
        for number, rule in row.rules.items():
            value = (
                word((cfa + rule.value) & WORD)
                if rule.kind == "at"
                else self.value(rule, cfa, known)
            )
            if value is None:
                registers.pop(number, None)
            else:
                registers[number] = value
        if at in registers:
            registers[at] = self.process.address(registers[at])
        return registers

    def value(self, rule: Rule, cfa: int, known: dict[int, int]) -> int | None:
        """The value of one register of the caller by a rule that is not `at`."""
        if rule.kind == "is":
            return (cfa + rule.value) & WORD
        if rule.kind == "register":
            return known.get(rule.value)
        if rule.kind == "undefined":
            return None
        registers = self.architecture.as_written(known)
        value = evaluate(rule.program, registers, self.memory.word, cfa)
        return value if value is None or rule.kind == "is expression" else self.memory.word(value)

    def by_go(self, frame: Frame, go: golang.Frame) -> Frame:
        """The caller by Go's table of frame sizes."""
        if go.top or go.name.startswith(CLONE):
            return self.thread_start(frame, go)
        if go.switches_stack and not frame.interrupted:
            raise End("the Go runtime switched stacks here")
        if go.size is None:
            raise End(NO_DATA)
        slot = frame.registers[RSP] + go.size
        return self.checked(
            frame, self.memory.word(slot & WORD), {RSP: (slot + 8) & WORD}, interrupted=False
        )

    def thread_start(self, frame: Frame, go: golang.Frame) -> Frame:
        """The frame below the first function of a thread of Go.

        That is clone(2) in a thread that Go itself made, code of C in one that pthreads made (cgo).
        """
        if go.name.startswith(MSTART) and go.size is not None:
            slot = frame.registers[RSP] + go.size
            pc = self.memory.word(slot & WORD) or 0
            place = self.process.place(pc - 1) if pc else None
            made = place and (place.go.name.startswith(CLONE) if place.go else self.links.call(pc))
            if made:
                return self.checked(frame, pc, {RSP: (slot + 8) & WORD}, interrupted=False)
        raise End(None)

    def checked(
        self, frame: Frame, pc: int | None, registers: dict[int, int], *, interrupted: bool
    ) -> Frame:
        """The caller, if it is one.

        The stack pointer is higher (except for a signal frame) and the address is code.
        """
        if pc is None:
            exhausted = f"more than {MOST_IN_ALL >> 20} MiB of stack"
            raise End(exhausted if self.memory.exhausted else UNREADABLE)
        if interrupted and not self.process.executable(pc):
            raise End(NOWHERE)
        if pc == 0:
            raise End("the return address is 0")
        below = registers[RSP] - frame.registers[RSP]
        # vfork(2) of glibc keeps its return address in a register.
        flat = frame.innermost or (self.architecture.linked and frame.interrupted)
        if not interrupted and (below < 0 or (below == 0 and not flat)):
            raise End("the frames do not follow each other")
        if self.architecture.linked and signal_frame.returns(self.process, pc):
            interrupted = True
        if not interrupted and not self.process.executable(pc - 1):
            raise End("the return address is not code")
        return Frame(pc, registers, interrupted, UNSURE if frame.mark == UNSURE else PROVEN)
