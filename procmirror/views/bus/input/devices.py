"""/proc/bus/input/devices: the input devices (input_devices_seq_show in drivers/input/input.c).

One paragraph a device, each line with a letter before it. Bitmaps of several words stay as the
kernel prints them, highest word first: how long a word is (32 or 64 bits) the file does not say.
Names come from the devices.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import blocks, flags, lines
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc

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
    phys: Annotated[str, doc("Where it is connected")]
    sysfs: Annotated[str, doc("Its directory under /sys")]
    uniq: Annotated[str, doc("Its serial number or the like")]
    handlers: Annotated[
        list[str], doc("What handles it, as names under /dev/input or of handlers without one")
    ]
    props: Annotated[list[str], doc("What kind of device it is")]
    events: Annotated[list[str], doc("Kinds of events that it sends")]
    bitmaps: Annotated[
        dict[str, str], doc("The events of each kind as bits, hexadecimal words, the highest first")
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[InputDevice]:
    """One paragraph a device."""
    return [_device(block) for block in blocks(raw)]


def _device(block: bytes) -> InputDevice:
    found: dict[str, str] = {}
    for line in map(decoded, lines(block.strip(b"\n"))):
        letter, _, rest = line.partition(": ")
        key, equals, value = rest.partition("=")
        found[letter if letter == "I" or not equals else f"{letter}: {key}"] = (
            rest if letter == "I" else value
        )
    ids = IDS.fullmatch(found.pop("I"))
    if not ids:
        raise ValueError("no bus, vendor, product and version")
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
        name=found.pop("N: Name").removeprefix('"').removesuffix('"'),
        phys=found.pop("P: Phys"),
        sysfs=found.pop("S: Sysfs"),
        uniq=found.pop("U: Uniq"),
        handlers=found.pop("H: Handlers").split(),
        props=flags(int(properties, 16), PROPERTIES),
        events=flags(int(found.pop("B: EV"), 16), EVENTS),
        bitmaps=bitmaps,
        extra=found or UNSET,
    )
