"""Which LOOKUPs are served at once: those for which the kernel may have others wait.

And which requests have turns of their own, as the kernel has locked a directory for them.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from procmirror.fuse.handles import Handles
from procmirror.fuse.nodes import Node
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.operations import ProcMirror
from procmirror.identity.identity import Identity
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


def test_lookups_and_listings_name_the_directory_that_the_kernel_has_locked() -> None:
    mirror = ProcMirror.__new__(ProcMirror)
    node = Node(20, None, b"", None, b"", Directory("", ""), None)
    listing = OpenDirectory(node, Identity(0, 0, (), 0), 0, lambda *_: None)
    mirror._handles = Handles()
    opened = mirror._handles.add(listing)
    assert mirror.directory_of("lookup", (20, b"7", None)) == 20
    assert mirror.directory_of("readdir", (opened, 0, None)) == 20
    assert mirror.directory_of("open", (20, 0, None)) == 0


@pytest.mark.parametrize(
    ("call", "arguments", "locked"),
    [
        *[(call, (20, b"7"), 20) for call in ("create", "mkdir", "mknod", "symlink", "link")],
        *[(call, (20, b"7"), 20) for call in ("unlink", "rmdir")],
        ("setattr", (20, None, None, None), 20),
        ("rename", (20, b"7", 30, b"8", 0), 20),
        ("rename", (20, b"7", 1, b"8", 0), 1),
        ("rename", (1, b"7", 20, b"8", 0), 1),
    ],
)
def test_changes_name_the_directory_that_the_kernel_has_locked(
    call: str, arguments: tuple[Any, ...], locked: int
) -> None:
    mirror = ProcMirror.__new__(ProcMirror)
    assert mirror.directory_of(getattr(ProcMirror, call).__name__, (*arguments, None)) == locked
