"""What a process has another one read of its own entries in /proc."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from procmirror.procfs.contents import content
from procmirror.procfs.proc import names

# A verb, "content", "link", "names" or "there", and a path below the root of the procfs.
Question = tuple[str, bytes]


def answer(directory: int, question: Question, progress: Callable[[], None]) -> Any:
    """The kernel's answer to a question: a content, a text, names, or an errno.

    Whether something is there is answered by 0 or an errno.
    """
    verb, path = question
    try:
        if verb == "content":
            return content(directory, path, progress)
        if verb == "there":
            os.stat(path, dir_fd=directory, follow_symlinks=False)
            return 0
        return os.readlink(path, dir_fd=directory) if verb == "link" else names(directory, path)
    except OSError as refused:
        return refused.errno or errno.EIO


def _count_none(_: int) -> None:
    """The `abandon` of a reader whose walks cannot hang."""


class PeerReader(NamedTuple):
    """Another process that reads /proc/PID of this one in its place.

    The kernel checks no right of a process that looks at itself, so this process would learn more
    than the requester may know. `number` is the number of this process in the procfs;
    `ask(questions)` returns the other process's `answer` to each.

    The kernel shows a process with the identity of its first thread, which must not be the
    requester's while another process looks. So the first thread has its own identity during
    `resting()`, and other threads act as the requester during `acting()`. `abandon(count)` gets the
    number of threads of a walk that still hang when it is over.
    """

    number: bytes
    ask: Callable[[Sequence[Question]], Sequence[Any]]
    acting: Callable[[], AbstractContextManager[None]] = nullcontext
    resting: Callable[[], AbstractContextManager[None]] = nullcontext
    abandon: Callable[[int], None] = _count_none


def _nobody(questions: Sequence[Question]) -> Sequence[Any]:
    return [errno.EIO] * len(questions)


# A process that reads as who it is, and asks nobody about itself.
ITSELF = PeerReader(b"", _nobody)
