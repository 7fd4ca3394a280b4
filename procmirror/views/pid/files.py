"""PID/files: every use of a file by one process, as `lsof -p` has them.

Source: /proc/PID/cwd, root, exe, fd/, fdinfo/ and maps (lsof(8), fuser(1)); `fd` has sizes and what
is known of a descriptor's kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from errno import EFBIG
from typing import Annotated, Any

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import SURPRISES, expected, refusal, why
from procmirror.decoding.shapes import bits
from procmirror.decoding.shares import Shares
from procmirror.decoding.text import columns
from procmirror.decoding.view import MOST_DESCRIPTORS, Incomplete, Machine, Reading, Record, doc
from procmirror.views.pid import maps, status, status_fast
from procmirror.views.pid.fd_other_uses import mapped_files

# A ring is always open for both (io_uring_get_file, io_uring/io_uring.c), and the kernel may take
# seconds to print the files that are registered with it in fdinfo.
_RING = "anon_inode:[io_uring]"
# What of one process is shown in a view of its own.
_OF_ONE = 64 << 20
# The bytes of a row beside its path.
_ROW = " " * 300


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
        doc(
            "`read`, `write`, `read-write` or `path` of a descriptor; what the mappings of a file "
            "allow to do with it: `r`, `x`, and `w` if they are `s`hared and not `p`rivate"
        ),
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


def join(reading: Reading, machine: Machine) -> list[Use]:
    """The uses in the order cwd, root, exe, descriptors, mappings.

    OSError where the descriptors may not be known.
    """
    reading.names("fd")
    status_fast.decode(reading.read("status"), machine)
    return list(uses("", reading, machine, Shares(_OF_ONE)))


def text(told: Iterable[Use], _: Machine) -> str:
    """One use a line; what could not be read comes last."""
    header = ("USE", "ACCESS", "DEVICE", "INODE", "NAME")
    return columns(map(_row, told), header, right=(3,))


def _row(one: Use) -> tuple[object, ...]:
    if one.incomplete:
        missing = "; ".join(
            f"incomplete: {part.part}: {refusal(part.reason)}" for part in one.incomplete
        )
        return "-", "-", "-", "-", missing
    use = one.use if one.fd is None else one.fd
    name = (one.path or "") + (maps.DELETED if one.deleted else "")
    return use, one.access or "-", one.device or "-", one.inode or "-", name


def uses(prefix: str, reading: Reading, machine: Machine, shares: Shares) -> Iterator[Use]:
    """The uses of one process, as far as the share of its owner reaches.

    `prefix` leads from the reading to it, with a slash at its end.
    """
    parts = Parts(reading, machine, prefix)
    told = parts.file("status", status_fast.decode)
    if told is None and parts.hidden:
        return
    uid, user = status.owner(told)
    pid, comm = (told.Pid, told.Name) if told else (int(prefix[:-1]), None)

    def use(**fields: object) -> Use:
        return Use(pid=pid, comm=comm, uid=uid, user=user, **fields)  # type: ignore[arg-type]

    unread = parts.incomplete
    for part, shown in PARTS.items():
        try:
            for fields in _shared(shown(prefix, reading, machine), uid, shares):
                yield use(**fields)
        except FileNotFoundError:
            # A kernel thread has no program.
            continue
        except ProcessLookupError:
            continue
        except (OSError, *SURPRISES) as failure:
            unread.append(Incomplete(part, why(failure)))
    if unread:
        yield use(incomplete=unread)


Fields = dict[str, Any]


def _shared(rows: Iterator[Fields], uid: int | None, shares: Shares) -> Iterator[Fields]:
    """The rows for which the share of an owner has room; OSError(EFBIG) after them."""
    while shares.has_more(uid):
        try:
            row = next(rows)
        except StopIteration:
            return
        shares.take(uid, (row.get("path") or "", _ROW))
        yield row
    raise OSError(EFBIG, "more than is shown of one owner")


def _linked(name: str) -> Callable[[str, Reading, Machine], Iterator[Fields]]:
    def uses(prefix: str, reading: Reading, _: Machine) -> Iterator[Fields]:
        yield {"use": name, **_named(reading.link(f"{prefix}{name}"))}

    return uses


def _named(text: str) -> Fields:
    return {"path": text.removesuffix(maps.DELETED), "deleted": text.endswith(maps.DELETED)}


def _descriptors(prefix: str, reading: Reading, _: Machine) -> Iterator[Fields]:
    names = reading.names(f"{prefix}fd")
    for at, fd in enumerate(names):
        if at == MOST_DESCRIPTORS:
            raise OSError(EFBIG, "more than is shown of one process")
        try:
            named = _named(reading.link(f"{prefix}fd/{fd}"))
            if named["path"] == _RING:
                yield {"use": "fd", "fd": int(fd), "access": "read-write", **named}
                continue
            info = reading.read(f"{prefix}fdinfo/{fd}")
        except FileNotFoundError:
            continue
        how = None
        try:
            how = access(info)
        except ValueError as odd:
            yield {"incomplete": [Incomplete(f"fdinfo/{fd}", why(odd))]}
        yield {"use": "fd", "fd": int(fd), "access": how, **named}


_O_PATH = 0o10000000
_ACCESS = {0: "read", 1: "write", 2: "read-write"}


def access(fdinfo: bytes) -> str | None:
    """How a descriptor is open, from the line `flags` (octal); ValueError where it says none."""
    for line in fdinfo.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == b"flags":
            flags = bits(int(value, 8))
            return "path" if flags & _O_PATH else _ACCESS.get(flags & 3)
    raise expected("a line flags:", fdinfo)


def _mapped(prefix: str, reading: Reading, machine: Machine) -> Iterator[Fields]:
    files, odd = mapped_files(reading.read(f"{prefix}maps"), machine)
    if odd:
        yield {"incomplete": odd}
    for one, perms in files:
        where = {"device": one.device, "inode": one.inode, "path": one.pathname}
        yield {"use": "map", "access": perms, **where, "deleted": one.deleted}


PARTS: dict[str, Callable[[str, Reading, Machine], Iterator[Fields]]] = {
    "cwd": _linked("cwd"),
    "root": _linked("root"),
    "exe": _linked("exe"),
    "fd": _descriptors,
    "maps": _mapped,
}
