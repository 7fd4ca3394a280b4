"""/proc/PID/personality: the execution domain and its flags, in hexadecimal.

Source: proc_pid_personality(5), personality(2).
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import flags, hexadecimal
from procmirror.decoding.view import Machine, Record, doc
from procmirror.kernel.personalities import DOMAINS, FLAGS


class Personality(Record, frozen=True):
    """How the kernel behaves towards the process."""

    domain: Annotated[str, doc("Execution domain; one without a name as `0x…`")]
    flags: Annotated[list[str], doc("What differs from it, such as `ADDR_NO_RANDOMIZE`")]


def decode(raw: bytes, _: Machine) -> Personality:
    """The low byte is the domain, the rest are flags."""
    number = hexadecimal(raw)
    return Personality(
        DOMAINS.get(number & 0xFF) or hex(number & 0xFF), flags(number & ~0xFF, FLAGS)
    )


def text(personality: Personality, _: Machine) -> str:
    """All names on one line."""
    return " ".join([personality.domain, *personality.flags]) + "\n"
