"""The program of call frame instructions that builds the rules of one address.

Source: DWARF 5, 6.4.2 and 6.4.3.
"""

from __future__ import annotations

from typing import NamedTuple

from procmirror.stack import dwarf
from procmirror.stack.architecture import Architecture
from procmirror.stack.elf import CHUNK, MalformedError
from procmirror.stack.expression import signed, unsigned

MOST_REMEMBERED = 64
REGISTERS = 32  # those of calculations; rules for others do not lead to a caller


class Rule(NamedTuple):
    """Where the caller's value of a register is.

    `kind` is `at` (in memory at CFA + value), `is` (it is CFA + value), `register`, `undefined`, or
    `at` and `is` with a program (`at expression`, `is expression`).
    """

    kind: str
    value: int = 0
    program: bytes = b""


UNDEFINED = Rule("undefined")


class Row(NamedTuple):
    """The rules at one address of the function from `start` to `end`.

    The CFA is `register` + `offset`, or the value of `program` where there is one. Expressions have
    DWARF's numbers of registers, the rest those of the unwinder.
    """

    start: int
    end: int
    register: int
    offset: int
    program: bytes
    rules: dict[int, Rule]
    return_register: int
    signal: bool


class Cie(NamedTuple):
    """A common information entry: what many functions' entries share.

    `encoding` tells how their addresses are written (DW_EH_PE); `signal` marks the frame of a
    signal handler; `augmented` entries carry the length of their augmentation data.
    """

    code_factor: int
    data_factor: int
    return_register: int
    encoding: int
    signal: bool
    augmented: bool
    program: bytes


# The size of the operand of DW_CFA_advance_loc1, 2 and 4.
_ADVANCES = {
    dwarf.DW_CFA_advance_loc1: 1,
    dwarf.DW_CFA_advance_loc2: 2,
    dwarf.DW_CFA_advance_loc4: 4,
}
_ON_REGISTER = {
    dwarf.DW_CFA_offset_extended,
    dwarf.DW_CFA_restore_extended,
    dwarf.DW_CFA_undefined,
    dwarf.DW_CFA_same_value,
    dwarf.DW_CFA_register,
    dwarf.DW_CFA_def_cfa,
    dwarf.DW_CFA_def_cfa_register,
    dwarf.DW_CFA_expression,
    dwarf.DW_CFA_offset_extended_sf,
    dwarf.DW_CFA_def_cfa_sf,
    dwarf.DW_CFA_val_offset,
    dwarf.DW_CFA_val_offset_sf,
    dwarf.DW_CFA_val_expression,
}
# The second operand of these is signed.
_SIGNED = {
    dwarf.DW_CFA_offset_extended_sf,
    dwarf.DW_CFA_def_cfa_sf,
    dwarf.DW_CFA_val_offset_sf,
}


class State:
    """The rules while a program of call frame instructions runs."""

    def __init__(self, cie: Cie) -> None:
        self.cie = cie
        self.rules: dict[int, Rule] = {}
        self.initial: dict[int, Rule] = {}
        self.remembered: list[tuple[int, int, bytes, dict[int, Rule]]] = []
        self.register, self.offset, self.program = -1, 0, b""

    def run(self, raw: bytes, location: int, address: int) -> None:
        """Run the instructions up to the last row that begins at or before `address`."""
        at = 0
        while at < len(raw):
            operation = raw[at]
            at += 1
            advance, at = self.advanced(operation, raw, at)
            if advance is None:
                at = self.step(operation, raw, at)
                continue
            location += advance * self.cie.code_factor
            if location > address:
                return

    @staticmethod
    def advanced(operation: int, raw: bytes, at: int) -> tuple[int | None, int]:
        """By how many units the location grows, None for other instructions; and the next place."""
        if operation & dwarf.HIGH_BITS == dwarf.DW_CFA_advance_loc:
            return operation & dwarf.LOW_BITS, at
        size = _ADVANCES.get(operation)
        if size is None:
            return None, at
        return int.from_bytes(raw[at : at + size], "little"), at + size

    def set(self, register: int, rule: Rule) -> None:
        """Give a register a rule, if it is one that leads to a caller."""
        if register < REGISTERS:
            self.rules[register] = rule

    def restore(self, register: int) -> None:
        """Give a register the rule that the CIE gave it."""
        if register in self.initial:
            self.rules[register] = self.initial[register]
        else:
            self.rules.pop(register, None)

    def step(self, operation: int, raw: bytes, at: int) -> int:
        """Run one instruction; returns where the next one begins."""
        high, low = operation & dwarf.HIGH_BITS, operation & dwarf.LOW_BITS
        if high == dwarf.DW_CFA_offset:
            offset, at = unsigned(raw, at)
            self.set(low, Rule("at", offset * self.cie.data_factor))
        elif high == dwarf.DW_CFA_restore:
            self.restore(low)
        elif operation in _ON_REGISTER:
            register, at = unsigned(raw, at)
            return self.on_register(operation, register, raw, at)
        elif operation != dwarf.DW_CFA_nop:
            return self.on_frame(operation, raw, at)
        return at

    def on_frame(self, operation: int, raw: bytes, at: int) -> int:
        """The instructions about the CFA and the whole row."""
        match operation:
            case dwarf.DW_CFA_remember_state:
                self.remember()
            case dwarf.DW_CFA_restore_state:
                self.register, self.offset, self.program, self.rules = self.remembered.pop()
            case dwarf.DW_CFA_def_cfa_offset:
                self.offset, at = unsigned(raw, at)
            case dwarf.DW_CFA_def_cfa_offset_sf:
                offset, at = signed(raw, at)
                self.offset = offset * self.cie.data_factor
            case dwarf.DW_CFA_def_cfa_expression:
                self.program, at = _block(raw, at)
            case dwarf.DW_CFA_GNU_args_size:
                _, at = unsigned(raw, at)
            case dwarf.DW_CFA_AARCH64_negate_ra_state:
                pass  # a return address is always read without its authentication code
            case _:
                raise MalformedError(f"call frame instruction {operation:#x}")
        return at

    def remember(self) -> None:
        """Keep the row for DW_CFA_restore_state."""
        if len(self.remembered) >= MOST_REMEMBERED:
            raise MalformedError("too many remembered states")
        self.remembered.append((self.register, self.offset, self.program, dict(self.rules)))

    def on_register(self, operation: int, register: int, raw: bytes, at: int) -> int:
        """The instructions whose first operand is a register."""
        match operation:
            case dwarf.DW_CFA_restore_extended:
                self.restore(register)
            case dwarf.DW_CFA_undefined:
                self.set(register, UNDEFINED)
            case dwarf.DW_CFA_same_value:
                self.rules.pop(register, None)
            case dwarf.DW_CFA_def_cfa_register:
                self.register = register
            case dwarf.DW_CFA_expression:
                program, at = _block(raw, at)
                self.set(register, Rule("at expression", 0, program))
            case dwarf.DW_CFA_val_expression:
                program, at = _block(raw, at)
                self.set(register, Rule("is expression", 0, program))
            case _:
                value, at = (signed if operation in _SIGNED else unsigned)(raw, at)
                self.on_register_and_value(operation, register, value)
        return at

    def on_register_and_value(self, operation: int, register: int, value: int) -> None:
        """The instructions with a register and a number."""
        factored = value * self.cie.data_factor
        match operation:
            case dwarf.DW_CFA_def_cfa:
                self.register, self.offset, self.program = register, value, b""
            case dwarf.DW_CFA_def_cfa_sf:
                self.register, self.offset, self.program = register, factored, b""
            case dwarf.DW_CFA_register:
                self.set(register, Rule("register", value))
            case dwarf.DW_CFA_offset_extended | dwarf.DW_CFA_offset_extended_sf:
                self.set(register, Rule("at", factored))
            case _:
                self.set(register, Rule("is", factored))


def _block(raw: bytes, at: int) -> tuple[bytes, int]:
    size, at = unsigned(raw, at)
    if size > CHUNK:
        raise MalformedError("an expression of this size")
    return raw[at : at + size], at + size


def row_of(state: State, start: int, end: int, architecture: Architecture) -> Row:
    """The rules that a program of a function from `start` to `end` has come to."""
    cie, number = state.cie, architecture.number
    rules = state.rules
    if architecture.numbers:
        rules = {
            number(register): rule._replace(value=number(rule.value))
            if rule.kind == "register"
            else rule
            for register, rule in rules.items()
        }
        rules.pop(-1, None)
    return Row(
        start,
        end,
        number(state.register),
        state.offset,
        state.program,
        rules,
        number(cie.return_register),
        cie.signal,
    )
