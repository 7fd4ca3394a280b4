"""/proc/PID/attr/: the security attributes of a process.

Source: proc_pid_attr(5), fs/proc/base.c, security_getprocattr.

Each file is one word of the security modules, with or without a NUL or newline after it, or EINVAL
where none answers. Modules that share a machine have folders of their own (`apparmor/current`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Reading, Record, doc

_NAMES = ("current", "prev", "exec", "fscreate", "keycreate", "sockcreate")


class Attr(Record, frozen=True):
    """The attributes; null for one that is not set, may not be read, or that no module knows."""

    current: Annotated[str | None, doc("The attributes that hold now")]
    prev: Annotated[str | None, doc("Those before the last execve(2)")]
    exec: Annotated[str | None, doc("Those of the next execve(2)")]
    fscreate: Annotated[str | None, doc("Those of files it will create")]
    keycreate: Annotated[str | None, doc("Those of keys it will create")]
    sockcreate: Annotated[str | None, doc("Those of sockets it will create")]
    modules: Annotated[
        dict[str, dict[str, str | None]],
        doc("The same for each security module with a folder of its own"),
    ]
    extra: Annotated[
        dict[str, str | None] | UnsetType,
        doc("Attributes of newer kernels; present only if there are any"),
    ] = UNSET


def _value(reading: Reading, path: str) -> str | None:
    try:
        return decoded(reading.read(path).rstrip(b"\n\0")) or None
    except OSError:
        return None


def _folder(reading: Reading, name: str) -> dict[str, str | None] | None:
    try:
        names = sorted(reading.names(f"attr/{name}"))
    except OSError:
        return None
    return {one: _value(reading, f"attr/{name}/{one}") for one in names}


def join(reading: Reading, _: Machine) -> Attr:
    """All attributes of the directory."""
    names = reading.names("attr")
    folders = {name: _folder(reading, name) for name in sorted(set(names) - set(_NAMES))}
    modules = {name: folder for name, folder in folders.items() if folder is not None}
    extra = {
        name: _value(reading, f"attr/{name}") for name, folder in folders.items() if folder is None
    }
    current, prev, exec_, fscreate, keycreate, sockcreate = (
        _value(reading, f"attr/{name}") if name in names else None for name in _NAMES
    )
    return Attr(current, prev, exec_, fscreate, keycreate, sockcreate, modules, extra or UNSET)
