"""What a client says over the mirror, held against what it says over /proc a moment before and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.mounting import Mount

T = TypeVar("T")
PROC = Path("/proc")


def agreed(say: Callable[[Path], T], mirror: Mount) -> T:
    """What it says over the mirror, after /proc has said the same before and after.

    What moves meanwhile is asked again.
    """
    for _ in range(5):
        before, mirrored, after = say(PROC), say(mirror.path), say(PROC)
        if mirrored in (before, after):
            break
    assert mirrored in (before, after), f"/proc: {before}\nmirror: {mirrored}"
    return mirrored
