"""The frames of 32-bit programs, against eu-stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from procmirror.stack.architecture import I386
from procmirror.stack.cfi_program import Cie, Rule, State, row_of
from tests.stack.targets import compared, compiled, running, seen

BUILDS = (("-O0",), ("-O2", "-fomit-frame-pointer", "-no-pie"), ("-O2", "-static"))


@pytest.mark.parametrize("flags", BUILDS, ids=" ".join)
def test_every_frame_that_eu_stack_finds(flags: tuple[str, ...], tmp_path: Path) -> None:
    with running(compiled("narrow.c", tmp_path, "-m32", *flags), threads=2) as pid:
        found, theirs, _ = compared(pid)
        threads = seen(pid).values()
    assert found == theirs > 12
    names = [[frame.function for frame in thread.user or ()] for thread in threads]
    assert all(thread.complete for thread in threads)
    assert names[0][-1] == "_start"
    assert {"pause" if "-static" not in flags else "__libc_pause", "qsort"} <= {*names[1]}
    # None of them is shown by search.
    assert {frame.mark for thread in threads for frame in thread.user or ()} == {"proven"}


def test_registers_of_rules_have_the_numbers_of_x86_64() -> None:
    esp, ebp, esi, eip = 4, 5, 6, 8
    rules = {eip: Rule("at", -4), ebp: Rule("at", -8), esi: Rule("register", ebp), 40: Rule("is")}
    state = State(Cie(1, -4, eip, 0, signal=False, augmented=False, program=b""))
    state.register, state.offset, state.rules = esp, 8, rules
    row = row_of(state, 0, 9, I386)
    assert (row.register, row.offset, row.return_register) == (7, 8, 16)
    assert row.rules == {16: Rule("at", -4), 6: Rule("at", -8), 12: Rule("register", 6)}
    assert I386.as_written({7: 1, 16: 2, 15: 3}) == {esp: 1, eip: 2}
    assert len(set(I386.numbers)) == len(I386.numbers)
