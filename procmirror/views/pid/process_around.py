"""What surrounds one process: its parent's name, its children, what it waits for, where it listens.

Source: ../PPID/comm, task/TID/children, wchan, and fd/ with the tables of net/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procmirror.decoding.parts import Parts
from procmirror.decoding.proc_files import socket_inode
from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Incomplete, Machine, Reading
from procmirror.views import sockets
from procmirror.views.pid import children, wchan

# How many threads are asked for their children, and how many descriptors are looked at.
_THREADS, _DESCRIPTORS = 64, 4096
_LISTENING = ("tcp", "tcp6", "udp", "udp6")


def around(
    reading: Reading, machine: Machine, parent: int, incomplete: list[Incomplete]
) -> dict[str, Any]:
    """The fields of `Process` that are about others; what is refused is added to `incomplete`."""
    asked: dict[str, Callable[[], Any]] = {
        "parent_name": lambda: decoded(reading.read(f"../{parent}/comm")).rstrip("\n"),
        "waits_for": lambda: _waits_for(reading, machine),
        "children": lambda: _children(reading, machine),
        "listening": lambda: _listening(reading, machine, incomplete),
    }
    found: dict[str, Any] = {}
    for name, ask in asked.items():
        try:
            found[name] = ask() if name != "parent_name" or parent else None
        except (FileNotFoundError, ProcessLookupError):
            found[name] = None
        except (OSError, *SURPRISES) as failure:
            found[name] = None
            incomplete.append(Incomplete(name, why(failure)))
    return found


def _waits_for(reading: Reading, machine: Machine) -> str | None:
    found = wchan.decode(reading.read("wchan"), machine)
    return found.waits_for or found.symbol


def _children(reading: Reading, machine: Machine) -> list[int]:
    found: list[int] = []
    for thread in reading.names("task")[:_THREADS]:
        found += children.decode(reading.read(f"task/{thread}/children"), machine)
    return sorted(found)


def _listening(reading: Reading, machine: Machine, incomplete: list[Incomplete]) -> list[str]:
    """The addresses at which the process takes connections and datagrams, as `tcp 0.0.0.0:22`.

    What of the tables cannot be read or decoded is added to `incomplete`.
    """
    parts = Parts(reading, machine)
    parts.incomplete = incomplete
    links = (parts.link(f"fd/{name}") for name in reading.names("fd")[:_DESCRIPTORS])
    own = {inode for link in links if link and (inode := socket_inode(link)) is not None}
    if not own:
        return []
    found = []
    for table in _LISTENING:
        rows, missing = sockets.rows_of(table, f"net/{table}", reading, machine)
        incomplete += missing
        found += [
            f"{table} {row['local']}"
            for row in rows
            if row["inode"] in own and row.get("state") in {"LISTEN", "CLOSE"}
        ]
    return list(dict.fromkeys(found))
