"""What a failed comparison says: in its first line who was let in where, with all answers."""

from __future__ import annotations

import errno

import pytest

from tests.permissions.compare import Difference
from tests.permissions.operations import Answer, Item, Outcome
from tests.permissions.suite import agree
from tests.permissions.targets import Target

NO, YES = Answer(errno.EACCES), Answer(0, b"secret")
ITEM = Item("/proc/7/environ", "/tmp/x/proc/7/environ", "read")


def test_the_first_line_tells_the_worst_one() -> None:
    shown = Difference("owner", 9, ITEM, Outcome(YES, NO, None), leak=False)
    let_in = Difference(
        "another", 9, ITEM, Outcome(NO, YES, None), leak=True, again=Outcome(NO, None, None)
    )
    with pytest.raises(AssertionError) as failed:
        agree([shown, let_in], [Target("ordinary", 7)])
    first, count, second = str(failed.value).splitlines()
    assert first == (
        "let in: /7/environ: read by another: kernel EACCES, mirror 'secret';"
        " again kernel EACCES, mirror EACCES (ordinary)"
    )
    assert count == "2 in all"
    assert second.startswith("different: /7/environ: read by owner: kernel 'secret', mirror EACCES")


def test_no_difference_is_no_failure() -> None:
    agree([], [])
