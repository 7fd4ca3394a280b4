"""/proc/version_signature: the version of Ubuntu's kernel and of the upstream one.

Source: fs/proc/version_signature.c of Ubuntu.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import extra_by_position
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class VersionSignature(Record, frozen=True):
    """The three words."""

    distribution: Annotated[str, doc("Who built the kernel")]
    version: Annotated[str, doc("Version of the package and flavour of the kernel")]
    upstream: Annotated[str, doc("The upstream version that it is made from")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> VersionSignature:
    """The words of the one line."""
    distribution, version, upstream = map(decoded, (words := raw.split())[:3])
    return VersionSignature(distribution, version, upstream, extra_by_position(words, 3))
