"""What a question of the cookbook is asked of.

Processes made to be the answer, and others that are not.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.harness import until
from tests.programs import children, descendants, killed, running, started

# The process of a line of an answer: the first number that stands alone or as a directory.
_PROCESS = re.compile(r"(?:^|[\s/])(\d+)(?=[\s/]|$)")
# The same in sockets.txt.
IN_SOCKETS = re.compile(r"\((\d+)\)")


class Scene(NamedTuple):
    """What a question is asked of, and what has to come out."""

    named: Sequence[int] = ()  # processes (or threads) that the answer names
    others: Sequence[
        int
    ] = ()  # those that were made like them in all but what is asked, and are not in it
    his: Sequence[int] | None = None  # of these what wes is told; None where he is not asked
    lines: Sequence[str] = ()  # expressions that find something in the answer
    exactly: str | None = None  # the whole answer
    first: int = 0  # the process in its first line
    pid: int = 0  # $pid
    words: Sequence[tuple[str, object]] = ()  # what stands for the names in the page
    process: re.Pattern[str] = _PROCESS


class Made:
    """The processes of one scene; they end with it."""

    def __init__(self, stack: ExitStack, folder: Path, wes: int) -> None:
        self._stack = stack
        self.folder = folder
        self.wes = wes
        self.said: dict[int, str] = {}

    def program(
        self, *command: object, name: str = "", user: int | None = None, **options: Any
    ) -> int:
        """The pid of a program that runs."""
        pid = self._stack.enter_context(running(*command, name=name, user=user, **options))
        self._stack.callback(lambda: killed(*descendants(pid)))
        return pid

    def python(self, script: str, *arguments: object, user: int | None = None) -> int:
        """The pid of a Python program that has printed a line; it goes on until it is killed."""
        command = (
            sys.executable,
            "-I",
            "-c",
            f"import os, sys\n{script}\nimport signal\nsignal.pause()",
        )
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        program = self._stack.enter_context(
            started(*command, *arguments, user=user, stdin=null, stdout=pipe)
        )
        self._stack.callback(lambda: killed(*descendants(program.pid)))
        assert program.stdout
        self.said[program.pid] = program.stdout.readline()
        assert self.said[program.pid], script
        return program.pid

    def child(self, pid: int, name: str) -> int:
        """A child of a process, when it has become a program."""

        def found() -> list[int]:
            named = []
            for one in children(pid):
                # strace tries with children of its own what the kernel lets it do.
                with suppress(OSError):
                    if Path(f"/proc/{one}/comm").read_text().strip() == name:
                        named.append(one)
            return named

        return until(found, f"{pid} has no child {name}")[0]


class Scenes(dict[str, Callable[[Made], Scene]]):
    """Scenes by their questions."""

    def asked(self, question: str) -> Callable[[Callable[[Made], Scene]], Callable[[Made], Scene]]:
        """What makes the processes for a question."""

        def told(making: Callable[[Made], Scene]) -> Callable[[Made], Scene]:
            self[question] = making
            return making

        return told
