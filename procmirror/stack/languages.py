"""The functions of interpreted languages other than Python, by what a process has mapped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from procmirror.stack.elf import BROKEN
from procmirror.stack.interpreted import InterpretedFrame, Interpreter, mixed
from procmirror.stack.php import php
from procmirror.stack.process import Process
from procmirror.stack.ruby import ruby

_FILES = re.compile(rb"ruby|php")
_MAKERS = (ruby, php)


class Languages:
    """The interpreter of one process, for one request; it is looked for when it is first asked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._looked = False
        self._interpreter: Interpreter | None = None

    def frames(
        self, thread: int, names: Sequence[bytes | None] | None
    ) -> list[InterpretedFrame] | None:
        """The functions of a thread by its number in its own namespace; None without any.

        `names` are those of the frames of the program, None if some of these are missing.
        """
        if not self._looked:
            self._looked, self._interpreter = True, interpreter_of(self._process)
        if self._interpreter is None:
            return None
        if self._interpreter.one_stack and self._interpreter.executes.isdisjoint(names or ()):
            return None
        try:
            functions = self._interpreter.functions(thread)
        except BROKEN:
            return None
        return mixed(self._interpreter, functions, names) if functions else None


def interpreter_of(process: Process) -> Interpreter | None:
    """The first interpreter of a known version that is mapped."""
    for mapping in process.maps.named(_FILES):
        image = process.image(mapping.start)
        for make in _MAKERS if image else ():
            try:
                if image and (found := make(process, image)):
                    return found
            except BROKEN:
                continue
    return None
