"""/proc/driver/rtc: the real-time clock.

Source: Documentation/admin-guide/rtc.rst, drivers/rtc/proc.c and, for PCs, rtc-cmos.c.

Lines are missing if the clock cannot be read, has no alarm, or has a driver that says less.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import pairs, record_with_extra
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

YES = {"yes": True, "no": False}
NAMES = {
    "update_irq_enabled": "update IRQ enabled",
    "periodic_irq_enabled": "periodic IRQ enabled",
    "periodic_irq_frequency": "periodic IRQ frequency",
    "max_user_irq_frequency": "max user IRQ frequency",
    "hours24": "24hr",
}


class Rtc(Record, frozen=True, rename=NAMES):
    """The lines under the kernel's names; null for those that are not there."""

    rtc_time: Annotated[str | None, doc("Time of the clock")] = None
    rtc_date: Annotated[str | None, doc("Date of the clock")] = None
    alrm_time: Annotated[str | None, doc("Time of the alarm")] = None
    alrm_date: Annotated[str | None, doc("Date of the alarm")] = None
    alarm_IRQ: Annotated[bool | None, doc("The alarm is on")] = None
    alrm_pending: Annotated[bool | None, doc("The alarm went off")] = None
    update_irq_enabled: Annotated[bool | None, doc("Interrupts once a second")] = None
    periodic_irq_enabled: Annotated[bool | None, doc("Interrupts periodically")] = None
    periodic_irq_frequency: Annotated[int | None, doc("How often", "Hz")] = None
    max_user_irq_frequency: Annotated[int | None, doc("How often users may ask for", "Hz")] = None
    hours24: Annotated[bool | None, doc("Counts 24 hours")] = None
    periodic_IRQ: Annotated[bool | None, doc("The hardware interrupts periodically (PC)")] = None
    update_IRQ: Annotated[bool | None, doc("The hardware interrupts once a second (PC)")] = None
    HPET_emulated: Annotated[bool | None, doc("Its interrupts are those of the HPET (PC)")] = None
    BCD: Annotated[bool | None, doc("Counts in binary coded decimals (PC)")] = None
    DST_enable: Annotated[bool | None, doc("Knows daylight saving time (PC)")] = None
    periodic_freq: Annotated[int | None, doc("How often the hardware interrupts (PC)", "Hz")] = None
    batt_status: Annotated[str | None, doc("The battery: okay or dead (PC)")] = None
    extra: Extra = UNSET


BOOLEANS = {
    NAMES.get(name, name) for name, kind in Rtc.__annotations__.items() if "bool" in str(kind)
}


def decode(raw: bytes, _: Machine) -> Rtc:
    """The lines by their names; the value stands behind the first colon."""
    return record_with_extra(
        Rtc, {name: _value(name, decoded(value)) for name, value in pairs(raw)}
    )


def _value(name: str, value: str) -> str | bool:
    """A bool where the field is one: drivers have other lines with yes and no."""
    return YES.get(value, value) if name in BOOLEANS else value
