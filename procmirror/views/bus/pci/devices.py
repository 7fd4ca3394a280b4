"""/proc/bus/pci/devices: the PCI devices with their regions.

Source: proc_bus(5), show_device in drivers/pci/proc.c.

Hexadecimal columns: bus and function, vendor and device, interrupt, seven starts, seven sizes; then
the driver. A start has the flags of its base address register in the low four bits. The PCI domain
is not shown.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import extra_by_position, hexadecimal
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

REGIONS = 7
ROM = 6


class Region(Record, frozen=True):
    """One region of addresses that a device has."""

    bar: Annotated[int, doc("Number of the base address register, 6 for the ROM")]
    kind: Annotated[str, doc("io, memory or rom")]
    address: Annotated[str, doc("First address")]
    size: Annotated[int, doc("Its size", "bytes")]
    wide: Annotated[bool, doc("Memory with an address of 64 bits")]
    prefetchable: Annotated[bool, doc("Memory that may be read in advance")]


class PciDevice(Record, frozen=True):
    """One function of a device."""

    slot: Annotated[str, doc("Bus, device and function, as lspci(8) shows them")]
    vendor: Annotated[str, doc("Number of the maker")]
    device: Annotated[str, doc("The maker's number of the device")]
    irq: Annotated[int, doc("Its interrupt; 0: none")]
    regions: Annotated[list[Region], doc("Its regions")]
    driver: Annotated[str | None, doc("The driver that has it")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[PciDevice]:
    """One function a line."""
    return rows(raw, lambda line: _device(line.split(b"\t")))


def _device(words: list[bytes]) -> PciDevice:
    place, ids, irq, *rest = map(decoded, words)
    numbers = [hexadecimal(word) for word in rest[: 2 * REGIONS]]
    spans = zip(numbers[:REGIONS], numbers[REGIONS:], strict=True)
    bus, function = hexadecimal(place) >> 8, hexadecimal(place) & 0xFF
    return PciDevice(
        slot=f"{bus:02x}:{function >> 3:02x}.{function & 7}",
        vendor=f"0x{ids[:4]}",
        device=f"0x{ids[4:]}",
        irq=hexadecimal(irq),
        regions=[_region(bar, start, size) for bar, (start, size) in enumerate(spans) if size],
        driver="".join(rest[2 * REGIONS : 2 * REGIONS + 1]) or None,
        extra=extra_by_position(words, 4 + 2 * REGIONS),
    )


def _region(bar: int, start: int, size: int) -> Region:
    io = bool(start & 1) and bar != ROM
    kind = "rom" if bar == ROM else "io" if io else "memory"
    mask = 0x3 if io else 0xF
    memory = kind == "memory"
    return Region(
        bar, kind, hex(start & ~mask), size, memory and start & 6 == 4, memory and bool(start & 8)
    )


text = listing(
    "SLOT slot",
    "VENDOR vendor",
    "DEVICE device",
    "IRQ irq number",
    "DRIVER driver",
    none="no devices\n",
)
