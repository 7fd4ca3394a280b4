"""A frame of a stack, and how the search for its caller may end."""

from __future__ import annotations

from typing import NamedTuple

RBP, RSP = 6, 7  # DWARF's numbers
# A call through a pointer that leads nowhere.
NOWHERE = "a signal interrupted a jump to an address that is not code"
NO_FILE = "the file of this code may not be read"
PROVEN, REPAIRED, UNSURE = "proven", "repaired", "unsure"


class Frame(NamedTuple):
    """One frame: its program counter, the registers that are known in it, and how it was found.

    In the innermost frame and in one that a signal interrupted (`interrupted`), `pc` is the
    instruction itself, else the one after the call. `gap`: frames between it and the one before are
    missing.
    """

    pc: int
    registers: dict[int, int]
    interrupted: bool = False
    mark: str = PROVEN
    innermost: bool = False
    gap: bool = False

    @property
    def at(self) -> int:
        """An address inside the instruction that the frame executes."""
        return self.pc if self.interrupted else self.pc - 1


class End(Exception):
    """Why there is no further frame; None if the rules mark the end."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


class NeedsRegister(Exception):
    """The rules need a register whose value is unknown here."""
