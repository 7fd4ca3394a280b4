"""Offsets of the fields of CPython that lead to the frames of a thread, by version.

Sources: Include/internal/pycore_runtime.h, pycore_interp.h, pycore_frame.h and
Include/cpython/{pystate,code,unicodeobject}.h of each version. From 3.13 on the interpreter
describes itself (`_Py_DebugOffsets`, at the beginning of `_PyRuntime`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

WORDS = 71
DEBUG_OFFSETS = WORDS * 8  # bytes that are read of the interpreter's own description
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


def described(raw: bytes) -> Layout | None:
    """The layout in the first bytes of `_PyRuntime`; None for a version other than 3.13."""
    if raw[:8] != COOKIE or len(raw) < DEBUG_OFFSETS:
        return None
    words = struct.unpack_from(f"<{WORDS}Q", raw)
    if words[1] >> 16 != 0x030D or max(words[2:]) >= 1 << 20:
        return None
    runtime, interpreter, thread = words[3:6], words[6:19], words[19:28]
    frame, code = words[28:34], words[34:44]
    string_bytes, text = words[64:67], words[67:71]
    return Layout(
        interpreters=runtime[2],
        interpreter_next=interpreter[2],
        threads=interpreter[3],
        thread_next=thread[2],
        pthread=thread[5],
        native=thread[6],
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
    )
