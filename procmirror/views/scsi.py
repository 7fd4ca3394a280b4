"""/proc/scsi/scsi: the SCSI devices.

Source: proc_print_scsidevice in drivers/scsi/scsi_proc.c.

Three lines a device. Vendor, model and revision are the device's own words, in 8, 16 and 4 columns.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.shapes import hexadecimal, lines
from procmirror.decoding.table import matched, paragraphs, pieces
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

_DEVICE = re.compile(
    rb"Host: scsi(\d+) Channel: (\d+) Id: (\d+) Lun: (\d+)\n"
    rb"  Vendor: (.{8}) Model: (.{16}) Rev: (.{0,4})\n"
    rb"  Type:   (.*?) ANSI  ?SCSI revision: ([0-9a-f]+)( CCS)?",
    re.DOTALL,
)


class Device(Record, frozen=True):
    """One device."""

    host: Annotated[int, doc("Number of the adapter")]
    channel: Annotated[int, doc("Channel")]
    id: Annotated[int, doc("Number of the target")]
    lun: Annotated[int, doc("Logical unit")]
    vendor: Annotated[str, doc("Who made it")]
    model: Annotated[str, doc("Its name")]
    revision: Annotated[str, doc("Its version")]
    type: Annotated[str, doc("`Direct-Access`, `CD-ROM`, …")]
    scsi_level: Annotated[int, doc("The version of SCSI that it follows, from INQUIRY")]
    ccs: Annotated[bool, doc("Whether it follows the common command set of SCSI-1")]


def decode(raw: bytes, _: Machine) -> list[Device]:
    """The devices in the kernel's order; the kernel prints its heading with the first of them."""
    if not raw.strip():
        return []
    first, *_rest = lines(raw) or [b""]
    found = paragraphs(raw, lambda line: not line[:1].isspace())
    if first == b"Attached devices:":
        next(found)
    return pieces(found, _device)


def _device(piece: bytes) -> Device:
    match = matched(_DEVICE, piece, "Host: … Vendor: … Type: …")
    host, channel, target, lun = (int(match[at]) for at in range(1, 5))
    vendor, model, revision, kind = (decoded(match[at].strip()) for at in range(5, 9))
    level = hexadecimal(match[9])
    return Device(host, channel, target, lun, vendor, model, revision, kind, level, bool(match[10]))
