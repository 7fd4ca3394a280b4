"""An entry of READDIRPLUS of which the kernel learns the name, the type and the inode number only.

The kernel takes no node from an entry whose node number is 0 (fuse_direntplus_link,
fs/fuse/readdir.c): nothing has to be forgotten, and a LOOKUP follows if somebody asks for more.
pyfuse3 sets node number and inode number by one attribute, so this finds the two in the memory of
an EntryAttributes, and leaves the one at 0.
"""

from __future__ import annotations

import ctypes
import stat
import struct
from typing import NamedTuple

import pyfuse3

# A number that does not stand in a fresh EntryAttributes by chance.
_SIGN = 0x5E1F9A3C7B24D681
_NUMBER = struct.Struct("=Q")


_KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


class BareEntry(NamedTuple):
    """Attributes of a type without a node; `number` is where their inode number stands."""

    attributes: pyfuse3.EntryAttributes
    number: ctypes.c_uint64


class BareEntries:
    """An entry for each type of file (S_IFMT of a mode); none if this version of pyfuse3 has none.

    Each is used for all names, one after the other.
    """

    def __init__(self) -> None:
        self._entries: dict[int, BareEntry] = {}
        self._without: dict[frozenset[int], dict[int, BareEntry]] = {}
        for kind in _KINDS:
            attributes = pyfuse3.EntryAttributes()
            number = _inode_number(attributes)
            if number is not None:
                attributes.st_mode = kind
                self._entries[kind] = BareEntry(attributes, number)

    def without(self, kinds: frozenset[int]) -> dict[int, BareEntry]:
        """The entries by their types, but for these types."""
        found = self._without.get(kinds)
        if found is None:
            found = {kind: entry for kind, entry in self._entries.items() if kind not in kinds}
            self._without[kinds] = found
        return found


def _inode_number(attributes: pyfuse3.EntryAttributes) -> ctypes.c_uint64 | None:
    """The inode number in attributes whose node number is 0 from now on; None if it is unknown."""
    attributes.st_ino = _SIGN
    size = int(type(attributes).__basicsize__)
    memory = ctypes.string_at(id(attributes), size)
    places = [
        at
        for at in range(0, size - _NUMBER.size + 1, _NUMBER.size)
        if _NUMBER.unpack_from(memory, at)[0] == _SIGN
    ]
    if len(places) != 2:
        return None
    # struct fuse_entry_param begins with the node number; pyfuse3 tells it as st_ino.
    ctypes.c_uint64.from_address(id(attributes) + places[0]).value = 0
    if attributes.st_ino:
        return None
    return ctypes.c_uint64.from_address(id(attributes) + places[1])
