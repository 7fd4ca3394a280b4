"""A live process as the product reads it, for tests of the stack that need no mount."""

from __future__ import annotations

import os
import re
import weakref
from pathlib import Path

from procmirror.procfs.mapped import ProcessSources

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_THREAD = re.compile(r"(.*)/(task/[0-9]+)")


class LiveTarget(ProcessSources):
    """/proc/PID or /proc/PID/task/TID, read with the rights of the test process."""

    def __init__(self, directory: Path | str) -> None:
        thread = _THREAD.fullmatch(str(directory))
        process, prefix = thread.groups() if thread else (str(directory), "")
        descriptor = os.open(process, _DIRECTORY)
        root = os.open("/proc", _DIRECTORY)
        super().__init__(descriptor, prefix.encode(), None, lambda: None, root, root)
        weakref.finalize(self, _close, descriptor, root, self._parts, self._tops)


def _close(descriptor: int, root: int, parts: dict[str, int], tops: dict[bytes, int]) -> None:
    for opened in (descriptor, root, *parts.values(), *tops.values()):
        os.close(opened)
