"""/proc/bus/input/devices: the input devices (input_devices_seq_show in drivers/input/input.c).

One paragraph a device, each line with a letter before it. Bitmaps of several words stay as the
kernel prints them, highest word first: how long a word is (32 or 64 bits) the file does not say.
Names come from the devices.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import flags, hexadecimal, lines
from procmirror.decoding.table import matched, paragraphs, pieces
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

# include/uapi/linux/input-event-codes.h: the bits of EV and PROP.
_EVENTS = {
    0: "SYN",
    1: "KEY",
    2: "REL",
    3: "ABS",
    4: "MSC",
    5: "SW",
    17: "LED",
    18: "SND",
    20: "REP",
    21: "FF",
    22: "PWR",
}
EVENTS = {1 << bit: f"EV_{name}" for bit, name in (_EVENTS | {23: "FF_STATUS"}).items()}
PROPERTIES = {
    1 << bit: f"INPUT_PROP_{name}"
    for bit, name in enumerate(
        (
            "POINTER",
            "DIRECT",
            "BUTTONPAD",
            "SEMI_MT",
            "TOPBUTTONPAD",
            "POINTING_STICK",
            "ACCELEROMETER",
            "PRESSUREPAD",
        )
    )
}
IDS = re.compile(r"Bus=(\w+) Vendor=(\w+) Product=(\w+) Version=(\w+) ?")


class InputDevice(Record, frozen=True):
    """One device."""

    bus: Annotated[str, doc("Number of its bus (BUS_* of linux/input.h)")]
    vendor: Annotated[str, doc("Number of its maker")]
    product: Annotated[str, doc("The maker's number of it")]
    version: Annotated[str, doc("Its version")]
    name: Annotated[str, doc("Its name")]
    phys: Annotated[str | None, doc("Where it is connected")]
    sysfs: Annotated[str | None, doc("Its directory under /sys")]
    uniq: Annotated[str | None, doc("Its serial number or the like")]
    handlers: Annotated[
        list[str], doc("What handles it, as names under /dev/input or of handlers without one")
    ]
    props: Annotated[list[str], doc("What kind of device it is")]
    events: Annotated[list[str], doc("Kinds of events that it sends")]
    bitmaps: Annotated[
        dict[str, str], doc("The events of each kind as bits, hexadecimal words, the highest first")
    ]
    ambiguous: Annotated[
        bool, doc("The name has several lines, which may be forged lines of this file")
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[InputDevice]:
    """The devices in their order; a line `I: Bus=` begins one, or `I: ` below an empty line."""
    above = [b""]

    def begins(line: bytes) -> bool:
        start, above[0] = (b"I: Bus=" if above[0].strip() else b"I: "), line
        return line.startswith(start)

    return pieces(paragraphs(raw, begins), _device)


def _device(block: bytes) -> InputDevice:
    head, name, rest = _named(block)
    found: dict[str, str] = {}
    for at, line in enumerate(map(decoded, [*lines(head), *lines(rest)]), 1):
        letter, colon, value = line.partition(": ")
        key, equals, after = value.partition("=")
        if letter == "I" or not colon:
            found[letter if colon else f"line {at}"] = value if colon else line
        else:
            found[f"{letter}: {key}" if equals else letter] = after if equals else value
    ids = matched(IDS, found.pop("I"), "Bus=… Vendor=… Product=… Version=…")
    properties = found.pop("B: PROP", "0").split()[-1]
    bitmaps = {
        key[3:]: found.pop(key).rstrip()
        for key in list(found)
        if key.startswith("B: ") and key != "B: EV"
    }
    return InputDevice(
        bus=f"0x{ids[1]}",
        vendor=f"0x{ids[2]}",
        product=f"0x{ids[3]}",
        version=f"0x{ids[4]}",
        name=decoded(name),
        phys=found.pop("P: Phys", None),
        sysfs=found.pop("S: Sysfs", None),
        uniq=found.pop("U: Uniq", None),
        handlers=found.pop("H: Handlers", "").split(),
        props=flags(hexadecimal(properties), PROPERTIES),
        events=flags(hexadecimal(found.pop("B: EV", "0")), EVENTS),
        bitmaps=bitmaps,
        ambiguous=b"\n" in name,
        extra=found or UNSET,
    )


def _named(block: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the name of a device, the name, and what stands behind it.

    The kernel escapes nothing in a name, so that it ends at the last `"` before a line `P:`.
    """
    head, quote, rest = block.partition(b'\nN: Name="')
    name, end, after = rest.rpartition(b'"\nP: ')
    if not quote or not end:
        raise expected('N: Name="…" above P: Phys=…', block)
    return head, name, b"P: " + after


text = listing(
    "BUS bus",
    "VENDOR vendor",
    "PRODUCT product",
    "HANDLERS handlers",
    "EVENTS events",
    "NAME name",
    none="no devices\n",
)
