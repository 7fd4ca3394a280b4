"""What a mutant is: one place of the source, what stands there instead, and the tests that see it."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One fault.

    `module` is a path below `procmirror/`. `text` stands there exactly once and becomes
    `replacement`. `tests` are arguments of pytest, at least one test of which fails then. `why`
    tells what a user would suffer.
    """

    name: str
    module: str
    text: str
    replacement: str
    tests: tuple[str, ...]
    why: str

    @property
    def layer(self) -> str:
        """The folder of the module."""
        return self.module.partition("/")[0]

    def applied(self, source: str) -> str:
        """`source` with the fault; ValueError if the text does not stand there exactly once."""
        count = source.count(self.text)
        if count != 1:
            raise ValueError(f"{self.name}: the text stands {count} times in {self.module}")
        return source.replace(self.text, self.replacement)
