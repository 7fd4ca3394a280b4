"""/proc/PID/attr/: the security attributes of a process.

Source: proc_pid_attr(5), fs/proc/base.c, security_getprocattr.

Each file is one word of the security modules, with or without a NUL or newline after it, or EINVAL
where none answers. Modules that share a machine have folders of their own (`apparmor/current`).
"""

from __future__ import annotations

from errno import EINVAL, ENOENT, ENOTDIR, ESRCH
from typing import Annotated

from msgspec import UNSET, UnsetType

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import why
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc

# What the kernel says where no module answers, or the process is gone.
_UNANSWERED = {EINVAL, ENOENT, ESRCH}
_NAMES = ("current", "prev", "exec", "fscreate", "keycreate", "sockcreate")


class Attr(Record, frozen=True, kw_only=True):
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
    incomplete: Annotated[
        list[Incomplete],
        doc("Attributes that could not be read; not those that no module answers for (EINVAL)"),
    ]
    extra: Annotated[
        dict[str, str | None] | UnsetType,
        doc("Attributes of newer kernels; present only if there are any"),
    ] = UNSET


class _Values(Parts):
    """The attributes of one process."""

    def value(self, path: str) -> str | None:
        """One attribute; None if it is not set, or may not be read."""
        try:
            return decoded(self._reading.read(f"attr/{path}").rstrip(b"\n\0")) or None
        except OSError as refused:
            if refused.errno not in _UNANSWERED:
                self.incomplete.append(Incomplete(path, why(refused)))
            return None

    def folder(self, name: str) -> dict[str, str | None] | None:
        """The attributes of one module; None for what is no folder."""
        try:
            names = sorted(self._reading.names(f"attr/{name}"))
        except OSError as refused:
            if refused.errno not in {*_UNANSWERED, ENOTDIR}:
                self.incomplete.append(Incomplete(name, why(refused)))
            return None
        return {one: self.value(f"{name}/{one}") for one in names}


def join(reading: Reading, machine: Machine) -> Attr:
    """All attributes of the directory."""
    names, values = reading.names("attr"), _Values(reading, machine)
    folders = {name: values.folder(name) for name in sorted(set(names) - set(_NAMES))}
    modules = {name: folder for name, folder in folders.items() if folder is not None}
    extra = {name: values.value(name) for name, folder in folders.items() if folder is None}
    known = {name: values.value(name) if name in names else None for name in _NAMES}
    return Attr(**known, modules=modules, incomplete=values.incomplete, extra=extra or UNSET)
