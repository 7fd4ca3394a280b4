"""An entry of READDIRPLUS of which the kernel learns the name, the type and the inode number only.

The kernel takes no node from an entry whose node number is 0 (fuse_direntplus_link,
fs/fuse/readdir.c): nothing has to be forgotten, and a LOOKUP follows if somebody asks for more.
pyfuse3 sets node number and inode number by one attribute, so this finds the two in the memory of
an EntryAttributes, and leaves the one at 0.
"""

from __future__ import annotations

import ctypes
import struct

import pyfuse3

# A number that does not stand in a fresh EntryAttributes by chance.
_SIGN = 0x5E1F9A3C7B24D681
_NUMBER = struct.Struct("=Q")


class BareEntry:
    """Answers entries without a node; `available` says whether this version of pyfuse3 can."""

    def __init__(self) -> None:
        self._attributes = pyfuse3.EntryAttributes()
        self._kind = 0
        self._number = _inode_number(self._attributes)
        self.available = self._number is not None

    def reply(
        self, token: pyfuse3.ReaddirToken, name: bytes, kind: int, number: int, next_id: int
    ) -> bool:
        """Report a name of this type (S_IFMT of a mode) and inode number; whether it had room."""
        assert self._number is not None
        self._number.value = number
        if kind != self._kind:
            self._attributes.st_mode = self._kind = kind
        return pyfuse3.readdir_reply(token, name, self._attributes, next_id)


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
