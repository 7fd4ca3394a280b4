"""An entry that tells a name, a type and a number, and no node."""

from __future__ import annotations

import stat
from typing import Any

import pyfuse3
import pytest

from procmirror.fuse import bare_entry
from procmirror.fuse.bare_entry import BareEntry


def test_this_pyfuse3_has_entries_without_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []

    def reply(_: Any, name: bytes, entry: pyfuse3.EntryAttributes, following: int) -> bool:
        answers.append((name, entry.st_ino, entry.st_mode, following))
        return len(answers) < 2

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    bare, token = BareEntry(), Any
    assert bare.available
    assert bare.reply(token, b"a", stat.S_IFLNK, 1 << 31, 5)  # type: ignore[arg-type]
    assert not bare.reply(token, b"b", stat.S_IFREG, 7, 6)  # type: ignore[arg-type]
    assert answers == [(b"a", 0, stat.S_IFLNK, 5), (b"b", 0, stat.S_IFREG, 6)]


class _Attributes:
    """Attributes of another pyfuse3, whose inode number is not in the object itself."""

    __basicsize__ = 64

    def __init__(self) -> None:
        self.st_ino = 0
        self.st_mode = 0


def test_in_another_pyfuse3_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyfuse3, "EntryAttributes", _Attributes)
    assert not BareEntry().available
    assert bare_entry._SIGN > 1 << 62
