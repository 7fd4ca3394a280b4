"""Which LOOKUPs are served at once: those for which the kernel may have others wait."""

from __future__ import annotations

import os

from procmirror.fuse.nodes import Node
from procmirror.fuse.operations import ProcMirror
from procmirror.mirror.traits import Directory
from procmirror.procfs.processes import Process


def looked_up(process: Process | None, *, lookups: int, found: bool) -> bool:
    """Whether a LOOKUP of a name in a directory is served at once."""
    traits = Directory("", "")
    directory = Node(1, None, b"", process, b"", traits, None)
    child = Node(2, directory, b"7", None, b"7", None, None)
    child.lookups, child.found = lookups, found
    directory.children[b"7"] = child
    mirror = ProcMirror.__new__(ProcMirror)
    mirror._nodes = {1: directory}  # type: ignore[assignment]
    return mirror.keeps_others("lookup", (1, b"7", None))


def test_a_name_that_only_a_listing_told_of_is_looked_up_at_once() -> None:
    assert looked_up(None, lookups=1, found=False)


def test_a_name_that_was_found_waits_for_its_turn() -> None:
    assert not looked_up(None, lookups=1, found=True)


def test_a_name_that_nobody_was_told_of_waits_for_its_turn() -> None:
    """The kernel sends all of them at once: a crowd's would come before everybody's requests."""
    assert not looked_up(None, lookups=0, found=False)


def test_names_of_a_process_wait_for_their_turn() -> None:
    assert not looked_up(Process(b"7", os.getpid()), lookups=1, found=False)
