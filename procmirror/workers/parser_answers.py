"""What a worker answers a parser: memory and files of the shown process, and of nothing else."""

from __future__ import annotations

import errno
from typing import Any

from procmirror.procfs.open_file import OpenFile
from procmirror.stack.elf import BROKEN
from procmirror.stack.process import Process
from procmirror.stack.target import MappedFile
from procmirror.workers.parsing import (
    Answer,
    DebugFile,
    DebugLinks,
    Mapped,
    Memory,
    PerfMap,
    Question,
)

_MOST_READ = 1 << 16
# The most files that one answer brings.
FILES_OF_ONE = 3
_HEXADECIMAL = frozenset("0123456789abcdef")


class Answers:
    """The answers to questions about one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def to(self, question: Question) -> tuple[Answer, list[int]]:
        """The answer to a question, with the descriptors of the files in it."""
        files: list[MappedFile] = []
        content, refused = b"", 0
        try:
            if isinstance(question, Memory):
                content = self._process.memory(question.address, min(question.size, _MOST_READ))
            else:
                files = self._files(question)[:FILES_OF_ONE]
        except OSError as error:
            refused = error.errno or errno.EIO
        except BROKEN:
            refused = errno.EINVAL
        opened = [file for file in files if isinstance(file, OpenFile)]
        told = [(file.identity, file.size) for file in opened]
        return Answer(content, refused, told), [file.descriptor for file in opened]

    def _files(self, question: Any) -> list[MappedFile]:
        """The files that a question may be answered with: those that belong to the process."""
        process, target = self._process, self._process.target
        if isinstance(question, Mapped):
            mapping = process.maps.holding(question.start)
            if mapping is None or not mapping.executable or not mapping.inode:
                return []
            found = target.mapped(
                mapping.start, mapping.end, mapping.path, mapping.device, mapping.inode
            )
        elif isinstance(question, DebugFile):
            number = question.build_id
            valid = 2 < len(number) <= 128 and _HEXADECIMAL.issuperset(number)
            found = target.debug_file(number) if valid else None
        elif isinstance(question, DebugLinks):
            plain = question.name not in {b"", b".", b".."} and b"/" not in question.name
            if not plain or b"\0" in question.name or not process.maps.has_file(question.path):
                return []
            return list(target.debug_links(question.path, question.name))
        else:
            assert isinstance(question, PerfMap)
            found = target.perf_map()
        return [found] if found else []
