"""/proc/net/wireless: signal and losses of wireless interfaces (net/wireless/wext-proc.c).

A dot after a number says that the driver has renewed it; reading the file takes the dots away. A
level or noise below 0 is in dBm, others are in the driver's own unit; noise -256 is what drivers
without a measurement show.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import extra_by_position, hexadecimal
from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc


class Interface(Record, frozen=True):
    """One wireless interface."""

    interface: Annotated[str, doc("Its name")]
    status: Annotated[str, doc("State of the driver, which each driver defines")]
    link: Annotated[int, doc("Quality of the link, up to a number of the driver's")]
    level: Annotated[int, doc("Strength of the signal; dBm if below 0")]
    noise: Annotated[int, doc("Noise; dBm if below 0")]
    updated: Annotated[list[str], doc("Which of link, level and noise are new since the last read")]
    nwid: Annotated[int, counted("Discarded: of another network", "packets")]
    crypt: Annotated[int, counted("Discarded: could not be decrypted", "packets")]
    frag: Annotated[int, counted("Discarded: fragments were missing", "packets")]
    retry: Annotated[int, counted("Discarded: never acknowledged", "packets")]
    misc: Annotated[int, counted("Discarded: other reasons", "packets")]
    beacon: Annotated[int, counted("Beacons of the access point that were missed")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Interface]:
    """The interfaces, below the two lines of the header."""
    columns_of(raw, "Inter-| sta-| Quality")
    return rows(raw, _interface, 2)


def _interface(line: bytes) -> Interface:
    name, colon, rest = line.rpartition(b":")
    if not colon:
        raise expected("the name of an interface", line)
    status, *words = rest.split()
    link, level, noise = (int(word.removesuffix(b".")) for word in words[:3])
    updated = [
        what
        for what, word in zip(("link", "level", "noise"), words, strict=False)
        if word.endswith(b".")
    ]
    nwid, crypt, frag, retry, misc, beacon = map(int, words[3:9])
    return Interface(
        *(decoded(name.strip()), f"0x{hexadecimal(status):04x}", link, level, noise, updated),
        *(nwid, crypt, frag, retry, misc, beacon),
        extra=extra_by_position(rest.split(), 10),
    )
