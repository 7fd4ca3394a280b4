"""A process whose threads may wait for others, and the numbers that it has of its threads.

Source: NSpid of /proc/PID/task/TID/status (since Linux 4.1), pid_namespaces(7).

System calls and the memory of a process have numbers of its own pid namespace. A procfs has those
of the namespace for which it was mounted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from procmirror.decoding.proc_files import status_value
from procmirror.decoding.view import Reading

# PID_MAX_LIMIT (linux/threads.h): a greater number is that of no thread, and is not looked for.
MOST_NUMBER = 1 << 22


class Process:
    """A process whose threads may wait.

    `numbers` are its ids in each pid namespace, from that of the procfs inwards (NSpid of status):
    its system calls and its memory have numbers of the last one. `threads` are the ids of its
    threads that live, in the procfs. `led` is false where its first thread has ended: only the
    directories of the other threads have memory and files then.
    """

    def __init__(
        self, numbers: Sequence[int], threads: Iterable[int], reading: Reading, *, led: bool = True
    ) -> None:
        self.pid, self.numbers = numbers[0], numbers
        self.threads, self.led = frozenset(threads), led
        self._reading = reading

    def place(self, tid: int) -> str:
        """The directory that has the memory and the files of a thread."""
        return f"{self.pid}/" if self.led else f"{self.pid}/task/{tid}/"

    @property
    def depth(self) -> int:
        """How many pid namespaces it is below that of the procfs."""
        return len(self.numbers) - 1

    def thread(self, number: int) -> int | None:
        """The id of the thread that the process has by a number; None if there is none."""
        if not self.depth:
            return number if number in self.threads else None
        return self._inner.get(number) if 0 < number <= MOST_NUMBER else None

    @cached_property
    def _inner(self) -> Mapping[int, int]:
        """The ids of the threads by their numbers in the pid namespace of the process."""
        found = {}
        for tid in self.threads:
            with suppress(OSError, ValueError, IndexError):
                told = self._reading.read(f"{self.pid}/task/{tid}/status")
                found[int(status_value(told, b"NSpid").split()[self.depth])] = tid
        return found
