"""Limits of what a crafted file may ask for, and edges of ranges, each by itself."""

from __future__ import annotations

import pytest

from procmirror.stack import dwarf
from procmirror.stack.cfi_program import MOST_REMEMBERED, Cie, Rule, State
from procmirror.stack.elf import MalformedError
from procmirror.stack.expression import MOST_HELD, MOST_STEPS, evaluate
from procmirror.stack.maps import Maps

CIE = Cie(1, -8, 16, 0, signal=False, augmented=False, program=b"")


def test_an_expression_holds_few_values() -> None:
    pushes = bytes([dwarf.DW_OP_lit0])
    assert evaluate(pushes * MOST_HELD, {}, lambda _: None) == 0
    with pytest.raises(ValueError, match="too many"):
        evaluate(pushes * (MOST_HELD + 2), {}, lambda _: None)


def test_an_expression_has_few_steps() -> None:
    adds = bytes([dwarf.DW_OP_lit0]) + bytes([dwarf.DW_OP_plus_uconst, 1]) * MOST_STEPS
    with pytest.raises(ValueError, match="too many"):
        evaluate(adds, {}, lambda _: None)


def test_few_states_are_remembered() -> None:
    state = State(CIE)
    remember = bytes([dwarf.DW_CFA_remember_state])
    state.run(remember * MOST_REMEMBERED, 0, 0)
    with pytest.raises(MalformedError):
        state.run(remember, 0, 0)


def test_a_restored_register_has_the_rule_of_the_common_entry() -> None:
    state = State(CIE)
    state.initial = {6: Rule("at", -16)}
    state.rules = {6: Rule("at", -40), 3: Rule("at", -24)}
    state.run(bytes([dwarf.DW_CFA_restore | 6, dwarf.DW_CFA_restore | 3]), 0, 0)
    assert state.rules == {6: Rule("at", -16)}


def test_a_mapping_ends_before_its_end() -> None:
    maps = Maps(b"1000-2000 r-xp 00000000 08:01 7 /a\n3000-4000 rw-p 00000000 00:00 0 \n")
    holding = [maps.holding(at) for at in (0xFFF, 0x1000, 0x1FFF, 0x2000, 0x3FFF, 0x4000)]
    assert [found and found.start for found in holding] == [None, 4096, 4096, None, 12288, None]
