"""/proc/net/protocols: the protocols that offer sockets.

Source: proc_pid_net(5), proto_seq_show in net/core/sock.c.

The columns of methods change with kernels (`sp`, sendpage, left in 6.5), so their header names
them.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.listing import listing
from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.kernel.sockets import PROTOCOL_METHODS, memory_unit


class SocketProtocol(Record, frozen=True):
    """One protocol."""

    protocol: Annotated[str, doc("Name")]
    size: Annotated[int, doc("Size of one socket in the kernel", "bytes")]
    sockets: Annotated[int, doc("Sockets in use in this network namespace")]
    memory: Annotated[
        int | None,
        doc(
            "Memory that all of them use; null where the kernel does not count it. Linux 4.11 to "
            "5.19 counts it in 4096 bytes whatever a page has: `--decode` of their file takes "
            "`--page-size 4096`",
            "bytes",
        ),
    ]
    press: Annotated[
        bool | None, doc("Whether memory is short; null where the protocol does not know pressure")
    ]
    maxhdr: Annotated[int, doc("Room for headers in each packet", "bytes")]
    slab: Annotated[bool, doc("Whether it has a slab cache of its own")]
    module: Annotated[str, doc("Module it comes from; `kernel` if built in")]
    methods: Annotated[
        list[str], doc("Methods it implements; unknown ones by the two letters of their column")
    ]


def decode(raw: bytes, machine: Machine) -> list[SocketProtocol]:
    """The protocols in the kernel's order."""
    methods = columns_of(raw, "protocol size sockets memory press maxhdr slab module")[8:]
    unit = memory_unit(machine.release, machine.page_size)
    return rows(raw, lambda line: _protocol(line, methods, unit), 1)


def _protocol(line: bytes, methods: list[str], unit: int) -> SocketProtocol:
    name, size, sockets, memory, press, maxhdr, slab, module, *has = line.rsplit(
        None, 7 + len(methods)
    )
    return SocketProtocol(
        protocol=decoded(name),
        size=int(size),
        sockets=int(sockets),
        memory=None if memory == b"-1" else int(memory) * unit,
        press={b"yes": True, b"no": False}.get(press),
        maxhdr=int(maxhdr),
        slab=slab == b"yes",
        module=decoded(module),
        methods=[
            PROTOCOL_METHODS.get(key, key)
            for key, there in zip(methods, has, strict=True)
            if there == b"y"
        ],
    )


text = listing(
    "PROTOCOL protocol",
    "SOCKETS sockets number",
    "MEMORY memory bytes",
    "EACH size bytes",
    "PRESSURE press",
    "MODULE module",
    most="sockets",
    none="no protocols\n",
)
