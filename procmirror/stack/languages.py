"""The functions of interpreted languages other than Python, by what a process has mapped."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from procmirror.stack.elf import BROKEN
from procmirror.stack.interpreted import (
    Executing,
    Function,
    Functions,
    InterpretedFrame,
    Interpreter,
    mixed,
)
from procmirror.stack.java import Java, java
from procmirror.stack.php import php
from procmirror.stack.process import Process
from procmirror.stack.ruby import ruby

_FILES = re.compile(rb"ruby|php|jvm\.so")
_MAKERS = (ruby, php, java)


class Languages:
    """The interpreter of one process, for one request; it is looked for when it is first asked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._looked = False
        self._interpreter: Interpreter | None = None

    @property
    def there(self) -> bool:
        """Whether the process has one."""
        if not self._looked:
            self._looked, self._interpreter = True, interpreter_of(self._process)
        return self._interpreter is not None

    def caller(
        self, word: Callable[[int], int | None], sp: int, fp: int | None, pc: int
    ) -> tuple[int, int, int] | None:
        """The caller of generated code by the tables of the virtual machine that made it.

        As `Java.caller`; None without such tables.
        """
        if not self.there or not isinstance(self._interpreter, Java):
            return None
        try:
            return self._interpreter.caller(word, sp, fp, pc)
        except BROKEN:
            return None

    def interrupted(
        self, copied: tuple[int, bytes], registers: dict[int, int], pc: int
    ) -> tuple[int, int, int] | None:
        """`caller` for generated code at the moment of a sample."""
        if not self.there or not isinstance(self._interpreter, Java):
            return None
        try:
            return self._interpreter.interrupted(copied, registers, pc)
        except BROKEN:
            return None

    def running(
        self, copied: tuple[int, bytes], registers: dict[int, int], pc: int
    ) -> Functions[InterpretedFrame] | None:
        """The functions of a thread at the moment of a sample; None where that is not known."""
        if not self.there or not isinstance(self._interpreter, Java):
            return None
        try:
            functions = self._interpreter.running(copied, registers, pc)
        except BROKEN:
            return None
        return self._mixed(functions, None)

    def frames(
        self, thread: int, frames: Sequence[Executing] | None
    ) -> Functions[InterpretedFrame] | None:
        """The functions of a thread by its number in its own namespace; None without any.

        `frames` are those of the program, None if some of these are missing.
        """
        if not self.there or self._interpreter is None:
            return None
        executes = self._interpreter.executes
        if self._interpreter.one_stack and not any(one.name in executes for one in frames or ()):
            return None
        try:
            functions = self._interpreter.functions(thread)
        except BROKEN:
            return None
        return self._mixed(functions, frames)

    def _mixed(
        self, functions: Functions[Function] | None, frames: Sequence[Executing] | None
    ) -> Functions[InterpretedFrame] | None:
        if self._interpreter is None or functions is None or not functions.shown:
            return None
        found = mixed(self._interpreter, functions, frames)
        return Functions(found, functions.omitted, functions.entries, functions.reason)


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
