"""/proc/tty/driver/serial: the serial ports of a PC, ttyS0 and the others.

Source: uart_line_info in drivers/tty/serial/serial_core.c.

A line for each port that the driver has room for; most of them are `unknown`. Counts and signals
are told to who has CAP_SYS_ADMIN, errors only if there were any.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import record_with_extra
from procmirror.decoding.table import Rows, matched, rows
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc

_LINE = re.compile(rb"(\d{1,9}): uart:(.*?) (port|mmio):(?:0x)?([0-9A-Fa-f]{1,16})(?: (.*))?")


class Port(Record, frozen=True, kw_only=True):
    """One serial port."""

    line: Annotated[int, doc("Its number: 0 is ttyS0")]
    uart: Annotated[str, doc("The chip, `16550A`; `unknown`: there is none")]
    port: Annotated[str | None, doc("Its I/O port")] = None
    mmio: Annotated[str | None, doc("Or its address in memory")] = None
    irq: Annotated[int | None, doc("Its interrupt; 0: none")] = None
    tx: Annotated[int | None, counted("Sent", "bytes")] = None
    rx: Annotated[int | None, counted("Received", "bytes")] = None
    fe: Annotated[int | None, counted("Framing errors; null: none yet")] = None
    pe: Annotated[int | None, counted("Parity errors; null: none yet")] = None
    brk: Annotated[int | None, counted("Breaks; null: none yet")] = None
    oe: Annotated[int | None, counted("Overruns of the chip: bytes were lost; null: none yet")] = (
        None
    )
    bo: Annotated[
        int | None, counted("Overruns of the kernel's buffer: nobody read; null: none yet")
    ] = None
    signals: Annotated[
        list[str] | None,
        doc("Lines that are on: `RTS`, `DTR` its own; `CTS`, `DSR`, `CD`, `RI` the peer's"),
    ] = None
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Rows[Port]:
    """The ports, below a line with the version of the format."""
    return rows(raw, _port, header=1 if raw.startswith(b"serinfo:") else 0)


def _port(line: bytes) -> Port:
    match = matched(_LINE, line.rstrip(), "LINE: uart:TYPE port:ADDRESS")
    number, uart, kind, address, rest = match.groups()
    words = decoded(rest or b"").split()
    found: dict[str, Any] = dict(word.split(":", 1) for word in words if ":" in word)
    found |= {"line": decoded(number), "uart": decoded(uart)}
    found[decoded(kind)] = f"0x{int(address, 16):x}"
    signals = [word for word in words if ":" not in word]
    if "tx" in found:
        found["signals"] = [name for word in signals for name in word.split("|")]
    else:
        found |= dict.fromkeys(signals, "")
    return record_with_extra(Port, found)


def text(ports: list[Port], _: Machine) -> str:
    """The ports that have a chip."""
    lines = [
        (
            f"ttyS{one.line}",
            one.uart,
            one.irq,
            "?" if one.tx is None else one.tx,
            "?" if one.rx is None else one.rx,
            ",".join(_errors(one)),
            ",".join(one.signals or ()),
        )
        for one in ports
        if one.uart != "unknown"
    ]
    header = ("PORT", "UART", "IRQ", "SENT", "RECEIVED", "ERRORS", "SIGNALS")
    return columns(lines, header, right=(2, 3, 4)) if lines else "no ports\n"


def _errors(one: Port) -> list[str]:
    counts = {
        "framing": one.fe,
        "parity": one.pe,
        "break": one.brk,
        "overrun": one.oe,
        "buffer": one.bo,
    }
    return [f"{name}:{count}" for name, count in counts.items() if count]
