"""The PHP functions of a process: PHP 8.1 to 8.4, read from memory without stopping it.

`executor_globals` has the frame that is executed, and each frame its caller. A PHP with threads
(ZTS) does not export it and has no functions here. Sources: Zend/zend_globals.h, zend_compile.h,
zend_modules.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from procmirror.stack.checked_memory import CheckedMemory, ContradictionError
from procmirror.stack.elf import Elf, remembered
from procmirror.stack.interpreted import MOST_WALKED, Function, Functions, cut, walked
from procmirror.stack.process import Image, Process
from procmirror.stack.symbols import variable

# Where the code of a function names its file, by the number of the interface of extensions.
_FILE_NAMES = {20210902: 144, 20220829: 152, 20230831: 144, 20240924: 168}
_EXECUTED = 488  # in zend_executor_globals
_CODE, _FUNCTION, _CALL, _CALLER = 0, 24, 40, 48  # in zend_execute_data
_FRAME_BYTES = 56
_NAME, _CLASS = 8, 16  # in zend_function
_OF_C, _OF_PHP = 1, {2, 4}
_STATIC = 1 << 4  # a flag of a function
_BEGUN_BY_C = 1 << 17  # of a call: ZEND_CALL_TOP
_LINE = 24  # in zend_op
_LENGTH, _TEXT = 16, 24  # in zend_string
_BUCKETS = 16  # in HashTable
_INTERFACE = 4  # in zend_module_entry


class _Frame(NamedTuple):
    """A frame: the instruction that it executes, its function, and whether C began it."""

    code: int
    function: int
    entry: bool
    outermost: bool


class _Code(NamedTuple):
    """A function; its file is None for one of C."""

    name: str
    file: str | None


class Php:
    """PHP in one process, for one request."""

    language = "PHP"
    executes = frozenset({b"execute_ex"})
    one_stack = True

    def __init__(self, memory: CheckedMemory, variables: int, file_name: int) -> None:
        self.memory = memory
        self._globals, self._file_name = variables, file_name

    def functions(self, thread: int) -> Functions[Function]:
        """The functions of the one thread that executes PHP."""
        del thread
        self.memory.forget()
        steps = self._frames(self.memory.word(self._globals + _EXECUTED))
        found, reason = walked(steps, lambda: self.memory.plenty)
        return cut(found, reason, lambda one: one.entry, self._executed)

    def _frames(self, frame: int) -> Iterator[_Frame]:
        for _ in range(2 * MOST_WALKED):
            if not frame:
                return
            self.memory.read(frame, _FRAME_BYTES)
            code, function = self.memory.word(frame + _CODE), self.memory.word(frame + _FUNCTION)
            call, frame = self.memory.half(frame + _CALL), self.memory.word(frame + _CALLER)
            if not function:
                continue  # between a generator and who resumed it
            entry = self.memory.byte(function) != _OF_C and bool(call & _BEGUN_BY_C)
            yield _Frame(code, function, entry, outermost=not frame)
        raise ContradictionError("frames without end")

    def _executed(self, frame: _Frame) -> Function:
        found = self._function(frame.function, outermost=frame.outermost)
        line = self.memory.half(frame.code + _LINE) if found.file is not None else None
        return Function(found.name, found.file, line, frame.entry)

    def _function(self, address: int, *, outermost: bool) -> _Code:
        kind, flags = self.memory.read(address, 1)[0], self.memory.half(address + 4)
        name, owner = self.memory.words(address + _NAME, 2)
        if kind != _OF_C and kind not in _OF_PHP:
            raise ContradictionError("a function")
        text = self._text(name) if name else "{main}" if outermost else "{included}"
        if owner and name:
            joined = "::" if flags & _STATIC else "->"
            text = self._text(self.memory.word(owner + _NAME)) + joined + text
        file = self._text(self.memory.word(address + self._file_name)) if kind != _OF_C else None
        return _Code(text, file)

    def _text(self, address: int) -> str:
        return self.memory.text(address + _TEXT, self.memory.word(address + _LENGTH))


@remembered
def _variables(elf: Elf) -> tuple[int, int] | None:
    """The addresses of the executor's state and of the table of modules in a file."""
    state, modules = variable(elf, b"executor_globals"), variable(elf, b"module_registry")
    return (state, modules) if state and modules else None


def php(process: Process, image: Image) -> Php | None:
    """The PHP of a file; None if there is none in it, or for an unknown version."""
    found = _variables(image.elf)
    if found is None:
        return None
    state, modules = (address + image.bias for address in found)
    memory = CheckedMemory(process)
    first = memory.word(memory.word(modules + _BUCKETS))
    file_name = _FILE_NAMES.get(memory.half(first + _INTERFACE))
    return Php(memory, state, file_name) if file_name else None
