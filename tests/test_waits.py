"""The phrases for what a task waits for: of one function, and of a stack of them."""

from __future__ import annotations

import re

from procmirror.decoding.view import Machine
from procmirror.kernel.waits import WAITS, phrase, reason
from procmirror.views import waits


def test_a_compilers_copy_has_the_phrase_of_its_function() -> None:
    assert phrase("do_poll.constprop.0") == phrase("do_poll") == "an event on a descriptor (poll)"


def test_a_function_outside_the_table_gets_no_phrase() -> None:
    assert phrase("some_driver_wait") is None


def test_a_telling_caller_beats_a_vague_function() -> None:
    frames = [
        "__schedule",
        "schedule",
        "schedule_timeout",
        "wait_woken",
        "n_tty_read",
        "tty_read",
        "vfs_read",
    ]
    assert reason(frames) == "input from a terminal"
    assert reason(frames[:4]) == "data or room on a socket or terminal"


def test_the_innermost_of_two_telling_functions_counts() -> None:
    assert reason(["__mutex_lock.constprop.0", "anon_pipe_read"]) == "a kernel lock (mutex)"


def test_no_frames_give_no_reason() -> None:
    assert reason([]) is None


def test_a_whole_family_shares_its_phrase() -> None:
    assert reason(["rpc_wait_bit_killable", "__rpc_execute"]) == "an NFS server"


def test_the_table_holds_names_of_c_functions_only() -> None:
    assert all(re.fullmatch(r"\w+", name) for name in WAITS)


def test_that_nobody_waits_is_told_in_words() -> None:
    assert waits.text([], Machine()) == "no process that you may look at waits for another\n"
