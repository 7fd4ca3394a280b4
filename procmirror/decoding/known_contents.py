"""Contents of views that are found again while their files say the same."""

from __future__ import annotations

from procmirror.decoding.remembered import Remembered
from procmirror.decoding.render import content_of
from procmirror.decoding.view import Machine, View

# A content by the name of its view, its suffix and what the file said.
_Key = tuple[str, str, bytes]
_Made = tuple[Machine, bytes]
# What of a process an entry takes besides, in bytes.
_ENTRY = 400


class KnownContents:
    """Makes contents of views of one file, each once for the same bytes and facts.

    The file is read each time, as the requester. A content is found by the bytes of its file, so a
    requester is told nothing that it has not read itself. `longest` is the most of a file and its
    content in bytes that is kept, and `most` that of all together.
    """

    def __init__(self, longest: int, most: int) -> None:
        self._longest = longest
        self._known: Remembered[_Key, _Made] = Remembered(most, _size)

    def content(self, view: View, suffix: str, raw: bytes, machine: Machine) -> bytes:
        """The content of `view` in the format `suffix`, of what its file says.

        DecodeError if that does not decode.
        """
        key = view.name, suffix, raw
        known = self._known.get(key)
        if known and (known[0] is machine or known[0].tells_as(machine)):
            return known[1]
        made = content_of(view, suffix, view.decoded(raw, machine), machine)
        if len(raw) + len(made) <= self._longest:
            self._known.keep(key, (machine, made))
        return made


def _size(key: _Key, made: _Made) -> int:
    return len(key[2]) + len(made[1]) + _ENTRY
