"""An entry that tells a name, a type and a number, and no node."""

from __future__ import annotations

import stat

import pyfuse3
import pytest

from procmirror.fuse import bare_entry
from procmirror.fuse.bare_entry import BareEntries


def test_this_pyfuse3_has_entries_without_a_node() -> None:
    bare = BareEntries().without(frozenset())
    assert set(bare) == {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
    for kind, entry in bare.items():
        entry.number.value = 1 << 31
        assert (entry.attributes.st_ino, entry.attributes.st_mode) == (0, kind)


def test_types_whose_names_the_kernel_keeps_have_none() -> None:
    assert set(BareEntries().without(frozenset((stat.S_IFDIR,)))) == {stat.S_IFREG, stat.S_IFLNK}


class _Attributes:
    """Attributes of another pyfuse3, whose inode number is not in the object itself."""

    __basicsize__ = 64

    def __init__(self) -> None:
        self.st_ino = 0
        self.st_mode = 0


def test_in_another_pyfuse3_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyfuse3, "EntryAttributes", _Attributes)
    assert not BareEntries().without(frozenset())
    assert bare_entry._SIGN > 1 << 62
