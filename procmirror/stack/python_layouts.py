"""Offsets of the fields of CPython that lead to the frames of a thread, by version.

Sources: Include/internal/pycore_runtime.h, pycore_interp.h, pycore_frame.h and
Include/cpython/{pystate,code,unicodeobject}.h of each version. From 3.13 on the interpreter
describes itself (`_Py_DebugOffsets`, Include/internal/pycore_debug_offsets.h, at the beginning of
`_PyRuntime`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

DEBUG_OFFSETS = 94 * 8  # bytes that are read of the interpreter's own description
COOKIE = b"xdebugpy"


class Layout(NamedTuple):
    """Offsets in bytes; `native` is None where a thread state has no kernel thread number."""

    interpreters: int
    interpreter_next: int
    threads: int
    thread_next: int
    pthread: int
    native: int | None
    cframe: int | None  # what holds `current`, if not the thread state
    current: int
    code: int
    previous: int
    instruction: int
    owner: int | None
    entry: int | None  # 3.11: the frame that a C function began
    filename: int
    name: int
    linetable: int
    firstlineno: int
    bytecode: int | None
    ascii: int
    compact: int
    length: int = 16
    state: int = 32
    bytes_size: int = 16
    bytes_data: int = 32
    kind: int = 2  # the bit of `state` at which kind (three bits), compact and ASCII begin
    copies: int | None = None  # free-threaded: the code's array of copies of its instructions
    copy: int | None = None  # and which of them a frame executes


LAYOUTS = {
    9: Layout(
        *(32, 0, 8, 8, 176, None, None, 24, 32, 24, 104, None, None),
        *(104, 112, 120, 40, None, 48, 72),
    ),
    10: Layout(
        *(32, 0, 8, 8, 176, None, None, 24, 32, 24, 96, None, None),
        *(104, 112, 120, 40, None, 48, 72),
    ),
    11: Layout(
        *(40, 0, 16, 8, 152, 160, 56, 8, 32, 48, 56, 69, 68),
        *(112, 128, 136, 72, 184, 48, 72),
    ),
    12: Layout(
        *(40, 0, 72, 8, 136, 144, 56, 0, 0, 8, 56, 70, None),
        *(112, 128, 136, 68, 192, 40, 56),
    ),
}


class _Words(NamedTuple):
    """Where in the description the words of each structure begin, and some of its words."""

    interpreter: int
    thread: int
    frame: int
    code: int
    bytes: int
    text: int
    native: int  # of the thread's words
    copies: bool


# By version: include/internal/pycore_debug_offsets.h; 3.13: pycore_runtime.h.
_DESCRIPTIONS = {
    0x030D: _Words(6, 19, 28, 34, 64, 67, native=6, copies=False),
    0x030E: _Words(6, 22, 31, 39, 74, 77, native=6, copies=True),
    0x030F: _Words(6, 22, 39, 47, 86, 89, native=9, copies=True),
}
_FREE_THREADED_KIND = 8  # 3.14: `interned` is a byte of its own there


def _description(raw: bytes) -> tuple[_Words, tuple[int, ...]] | None:
    """The words of a description that is known, and where its structures begin."""
    if raw[:8] != COOKIE or len(raw) < DEBUG_OFFSETS:
        return None
    words = struct.unpack_from(f"<{DEBUG_OFFSETS // 8}Q", raw)
    at = _DESCRIPTIONS.get(words[1] >> 16)
    if at is None or max(words[2 : at.text + 4]) >= 1 << 20:
        return None
    return at, words


def described(raw: bytes) -> Layout | None:
    """The layout in the first bytes of `_PyRuntime`; None for a version other than 3.13 to 3.15."""
    if (found := _description(raw)) is None:
        return None
    at, words = found
    interpreter, thread, frame, code, string_bytes, text = (words[begin:] for begin in at[:6])
    free = bool(words[2])
    return Layout(
        interpreters=words[5],
        interpreter_next=interpreter[2],
        threads=interpreter[3],
        thread_next=thread[2],
        pthread=thread[at.native - 1],
        native=thread[at.native],
        cframe=None,
        current=thread[4],
        code=frame[2],
        previous=frame[1],
        instruction=frame[3],
        owner=frame[5],
        entry=None,
        filename=code[1],
        name=code[3],
        linetable=code[4],
        firstlineno=code[5],
        bytecode=code[9],
        ascii=text[3],
        compact=text[3] + 16,
        length=text[2],
        state=text[1],
        bytes_size=string_bytes[1],
        bytes_data=string_bytes[2],
        kind=_FREE_THREADED_KIND if free and at.copies else 2,
        copies=code[10] if free and at.copies else None,
        copy=frame[7] if free and at.copies else None,
    )
