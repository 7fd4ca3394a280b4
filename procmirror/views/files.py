"""files: every use of a file by every process that the requester may see, one compact object each.

Source: /proc/PID/fd/, fdinfo/, cwd, root, exe and maps of each process (lsof(8), fuser(1)).

A file is used by a descriptor, as working directory, as root directory, as program, or by a
mapping. A mapped file counts once for a process, however many mappings it has. What the kernel does
not let the requester read of a process is named in a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from errno import EFBIG
from typing import Annotated

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import SURPRISES, found, why
from procmirror.decoding.view import Each, Incomplete, Machine, Reading, Record, doc
from procmirror.views.pid import maps, status, status_fast

DELETED = " (deleted)"
# What of one process is shown, so that it does not take the memory of the view from all others: a
# number of descriptors, and bytes of maps. `incomplete` names what was cut with EFBIG.
MOST_DESCRIPTORS = 20_000
MOST_MAPS = 8 << 20


class Use(Record, frozen=True, kw_only=True):
    """One use of a file by a process; or, with `incomplete`, what is not known of a process."""

    pid: Annotated[int, doc("Process id")]
    comm: Annotated[str | None, doc("Its name")]
    uid: Annotated[int | None, doc("Its effective user id")]
    user: Annotated[str | None, doc("Name of the effective user")]
    use: Annotated[
        str | None, doc("`fd`, `cwd`, `root`, `exe` or `map`; null in a line with `incomplete`")
    ] = None
    fd: Annotated[int | None, doc("The descriptor")] = None
    access: Annotated[
        str | None,
        doc("`read`, `write`, `read-write` or `path` of a descriptor; permissions of a mapping"),
    ] = None
    path: Annotated[
        str | None,
        doc(
            "The file as the kernel names it, without its mark of deletion; `socket:[7]` and the "
            "like"
        ),
    ] = None
    deleted: Annotated[bool, doc("The kernel marks the file as deleted")] = False
    device: Annotated[str | None, doc("Of a mapped file: its device, major:minor")] = None
    inode: Annotated[int | None, doc("Of a mapped file: its inode")] = None
    incomplete: Annotated[
        list[Incomplete] | None, doc("What cannot be read of the process; null in all other lines")
    ] = None


def join(reading: Reading, machine: Machine) -> Each:
    """The processes in the order of their numbers."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    return Each(
        numbers,
        lambda number: list(_uses(number, reading, machine)) or None,
        ("status", "maps"),
        ("cwd", "root", "exe"),
    )


def _uses(number: str, reading: Reading, machine: Machine) -> Iterator[Use]:
    parts = Parts(reading, machine, f"{number}/")
    told = parts.file("status", status_fast.decode)
    if told is None and parts.hidden:
        return
    uid, user = status.owner(told)
    pid, comm = (told.Pid, told.Name) if told else (int(number), None)

    def use(**fields: object) -> Use:
        return Use(pid=pid, comm=comm, uid=uid, user=user, **fields)  # type: ignore[arg-type]

    unread = parts.incomplete
    for part, uses in PARTS.items():
        try:
            yield from (use(**fields) for fields in uses(number, reading, machine))
        except FileNotFoundError:
            # A kernel thread has no program.
            continue
        except ProcessLookupError:
            continue
        except (OSError, *SURPRISES) as failure:
            unread.append(Incomplete(part, why(failure)))
    if unread:
        yield use(incomplete=unread)


Fields = dict[str, object]


def _linked(name: str) -> Callable[[str, Reading, Machine], Iterator[Fields]]:
    def uses(number: str, reading: Reading, _: Machine) -> Iterator[Fields]:
        yield {"use": name, **_named(reading.link(f"{number}/{name}"))}

    return uses


def _named(text: str) -> Fields:
    return {"path": text.removesuffix(DELETED), "deleted": text.endswith(DELETED)}


def _descriptors(number: str, reading: Reading, _: Machine) -> Iterator[Fields]:
    names = reading.names(f"{number}/fd")
    for at, fd in enumerate(names):
        if at == MOST_DESCRIPTORS:
            raise OSError(EFBIG, "more than is shown of one process")
        try:
            named = _named(reading.link(f"{number}/fd/{fd}"))
            info = reading.read(f"{number}/fdinfo/{fd}")
            how = access(info)
        except FileNotFoundError:
            continue
        if b"flags:" not in info:
            unread = Incomplete(f"fdinfo/{fd}", f"expected a line flags:, found {found(info)}")
            yield {"incomplete": [unread]}
        yield {"use": "fd", "fd": int(fd), "access": how, **named}


_O_PATH = 0o10000000
_ACCESS = {0: "read", 1: "write", 2: "read-write"}


def access(fdinfo: bytes) -> str | None:
    """How a descriptor is open, from the line `flags` (octal)."""
    for line in fdinfo.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == b"flags":
            flags = int(value, 8)
            return "path" if flags & _O_PATH else _ACCESS.get(flags & 3)
    return None


def _mapped(number: str, reading: Reading, machine: Machine) -> Iterator[Fields]:
    seen: dict[tuple[str, int], tuple[str, str]] = {}
    raw = reading.read(f"{number}/maps")
    if len(raw) > MOST_MAPS:
        raise OSError(EFBIG, "more than is shown of one process")
    for mapping in maps.decode(raw, machine):
        if mapping.inode and mapping.pathname:
            key = mapping.device, mapping.inode
            _, perms = seen.get(key, ("", "----"))
            seen[key] = mapping.pathname, _together(perms, mapping.perms)
    for (device, inode), (path, perms) in seen.items():
        yield {"use": "map", "access": perms, "device": device, "inode": inode, **_named(path)}


def _together(some: str, others: str) -> str:
    """The permissions of two mappings: all that one of them has."""
    return "".join(
        mine if mine != "-" else other for mine, other in zip(some, others, strict=False)
    )


PARTS: dict[str, Callable[[str, Reading, Machine], Iterator[Fields]]] = {
    "cwd": _linked("cwd"),
    "root": _linked("root"),
    "exe": _linked("exe"),
    "fd": _descriptors,
    "maps": _mapped,
}
