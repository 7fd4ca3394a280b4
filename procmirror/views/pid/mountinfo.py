r"""/proc/PID/mountinfo: the mounts that a process sees.

Source: proc_pid_mountinfo(5), show_mountinfo in fs/proc_namespace.c.

Six columns, optional fields up to a lone `-`, then type, source and the options of the superblock.
Blanks inside a field are octal escapes, also the commas inside an option, so that everything may be
split before it is resolved; an empty source leaves two blanks side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import UNSET, UnsetType

from procmirror.decoding.proc_files import mount_line
from procmirror.decoding.shapes import unescaped
from procmirror.decoding.table import Rows, rows
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Machine, Record, doc

_TAGS = ("shared", "master", "propagate_from")


class Mount(Record, frozen=True):
    """One mount."""

    mount_id: Annotated[int, doc("Number of the mount; used again after an unmount")]
    parent_id: Annotated[
        int, doc("Number of the mount it stands on; its own for the root of the tree")
    ]
    device: Annotated[str, doc("Device of the files on it, major:minor")]
    root: Annotated[str, doc("Which directory of the file system is its root")]
    mount_point: Annotated[str, doc("Where it is mounted, seen from the root of the process")]
    options: Annotated[list[str], doc("Options of this mount")]
    shared: Annotated[int | None, doc("Peer group with which it exchanges mounts")]
    master: Annotated[int | None, doc("Peer group from which it receives mounts")]
    propagate_from: Annotated[
        int | None, doc("Nearest dominant peer group, if `master` is out of sight")
    ]
    unbindable: Annotated[bool, doc("It cannot be bind mounted")]
    fs_type: Annotated[str, doc("Type of the file system, `type.subtype`")]
    source: Annotated[str, doc("What is mounted: a device, a server, or any word")]
    super_options: Annotated[list[str], doc("Options of the file system")]
    extra: Annotated[
        list[str] | UnsetType,
        doc("Optional fields of newer kernels; present only if there are any"),
    ] = UNSET


def options(raw: bytes) -> list[str]:
    """The words of an option field, split before they are resolved."""
    return [decoded(unescaped(word)) for word in raw.split(b",")] if raw else []


def _mount(line: bytes) -> Mount:
    found = mount_line(line)
    optional = [decoded(word) for word in found.optional]
    tags = dict(word.split(":", 1) for word in optional if ":" in word)
    shared, master, dominant = (int(tags[tag]) if tag in tags else None for tag in _TAGS)
    unknown = [word for word in optional if word.partition(":")[0] not in {*_TAGS, "unbindable"}]
    return Mount(
        found.mount_id,
        found.parent_id,
        decoded(found.device),
        decoded(found.root),
        decoded(found.mount_point),
        options(found.options),
        shared,
        master,
        dominant,
        "unbindable" in optional,
        decoded(found.fs_type),
        decoded(found.source),
        options(found.super_options),
        unknown or UNSET,
    )


def mounts(raw: bytes) -> Rows[Mount]:
    """The mounts, in the order in which they were mounted."""
    return rows(raw, _mount)


def decode(raw: bytes, _: Machine) -> list[Mount]:
    """The mounts, in the order in which they were mounted."""
    return mounts(raw)


def text(mounts: Sequence[Mount], _: Machine) -> str:
    """One mount a line; the options that every mount has are left to the JSON."""
    header = ("MOUNTPOINT", "TYPE", "SOURCE", "ROOT", "PROPAGATION", "OPTIONS")
    return columns([_row(one) for one in mounts], header)


def _row(mount: Mount) -> tuple[str, ...]:
    groups = [("shared", mount.shared), ("master", mount.master), ("from", mount.propagate_from)]
    propagation = [f"{name}:{group}" for name, group in groups if group is not None] + [
        "unbindable"
    ] * mount.unbindable
    root = "" if mount.root == "/" else mount.root
    return (
        mount.mount_point,
        mount.fs_type,
        mount.source,
        root,
        ",".join(propagation) or "private",
        ",".join(_options(mount)),
    )


def _options(mount: Mount) -> list[str]:
    """The options of the mount and of its file system, each once.

    `ro` holds if either has it, as in mounts: a file system that met an error may be read-only
    below a mount that is not.
    """
    every = dict.fromkeys((*mount.options, *mount.super_options))
    access = [word for word in ("ro", "rw") if word in every][:1]
    return [*access, *(option for option in every if option not in {"ro", "rw"})]
