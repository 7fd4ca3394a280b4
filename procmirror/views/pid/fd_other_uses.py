"""The rows of PID/fd without a descriptor: cwd, root, exe and the mapped files, as lsof has them.

Source: proc_pid_cwd(5), proc_pid_root(5), proc_pid_exe(5), proc_pid_maps(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from errno import EFBIG
from functools import lru_cache, partial
from itertools import chain

from msgspec import structs

from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import Rows
from procmirror.decoding.view import MOST_OF_MAPS, FileStatus, Incomplete, Machine, Reading
from procmirror.views.pid import maps
from procmirror.views.pid.used_file import Descriptor, kind, with_status


def linked(reading: Reading) -> Iterator[Descriptor]:
    """The files that cwd, root and exe lead to; a kernel thread has no program."""
    for use in ("cwd", "root", "exe"):
        try:
            text = reading.link(use)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError as refused:
            yield _unknown(use, refused)
            continue
        deleted = text.endswith(maps.DELETED)
        row = _row(use, text.removesuffix(maps.DELETED), deleted=deleted)
        yield asked(row, partial(reading.opened, use, None))


# The rows of deleted files that a link leads to, by device and inode.
Known = dict[tuple[str | None, int | None], Descriptor]
# How far mappings reach, by the same.
Reached = dict[tuple[str, int], int]


def noted(rows: Iterable[Descriptor], known: Known) -> Iterator[Descriptor]:
    """`rows` as they are; those of deleted files are put into `known`."""
    for row in rows:
        if row.deleted and row.size is not None:
            known[row.device, row.inode] = row
        yield row


def mapped(reading: Reading, machine: Machine, known: Known) -> Iterator[Descriptor]:
    """The mapped files, each once. maps is read at the call, the files are asked one by one.

    So what keeps the reader of maps waiting does so before the first row is told. A deleted file
    that is in `known` by then is not asked about: only root is told of it.
    """
    try:
        raw = reading.read("maps")
        files, odd = mapped_files(raw, machine)
    except (FileNotFoundError, ProcessLookupError):
        return iter(())
    except (OSError, *SURPRISES) as failure:
        return iter((_unknown("map", failure),))
    reached = _reached(raw) if any(one.deleted for one, _ in files) else {}
    shown = (_mapped(one, perms, reading, known, reached) for one, perms in files)
    return chain(shown, [_row("map", None, incomplete=odd)] if odd else ())


# A line of maps: permissions, device with inode, name.
_LINE = re.compile(
    rb"^[0-9a-f]{1,16}-[0-9a-f]{1,16} ([-rwxsp]{4}) [0-9a-f]{1,16} "
    rb"([0-9a-f]{1,8}:[0-9a-f]{1,8} [0-9]{1,19})(?: +(.*)|)$",
    re.MULTILINE,
)


# Of a deleted file: addresses, offset, both parts of the device, inode.
_DELETED = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) [-rwxsp]+ ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) ([0-9]+) .* "
    rb"\(deleted\)$",
    re.MULTILINE,
)


def _reached(raw: bytes) -> Reached:
    """How far the mappings of each deleted file reach, in bytes."""
    reached: Reached = {}
    for match in _DELETED.finditer(raw):
        start, end, offset, major, minor = (hexadecimal(word) for word in match.groups()[:5])
        file = f"{major}:{minor}", int(match[6])
        reached[file] = max(reached.get(file, 0), offset + end - start)
    return reached


def mapped_files(
    raw: bytes, machine: Machine
) -> tuple[list[tuple[maps.Mapping, str]], list[Incomplete]]:
    """One mapping of each file, with all permissions that one of its mappings has.

    Of the many mappings of a file one is decoded. Lines of another form are named in the second
    list. OSError(EFBIG) for more than MOST_OF_MAPS bytes, LineError for a line that is no mapping.
    """
    if len(raw) > MOST_OF_MAPS:
        raise OSError(EFBIG, "more than is shown of one process")
    files: dict[bytes, tuple[bytes, str]] = {}
    matched = 0
    for match in _LINE.finditer(raw):
        matched += 1
        perms, file, name = match.groups(b"")
        if name and not file.endswith(b" 0"):
            _, allowed = files.get(file, (b"", "----"))
            files[file] = match[0], _either(allowed, perms.decode())
    odd = _odd_lines(raw, machine) if matched < raw.count(b"\n") else []
    made = [(maps.decode(line + b"\n", machine)[0], perms) for line, perms in files.values()]
    return made, odd


def _odd_lines(raw: bytes, machine: Machine) -> list[Incomplete]:
    """Why lines of maps are none; LineError if all are so."""
    found = maps.decode(raw, machine)
    bad = found.undecoded if isinstance(found, Rows) else []
    return [Incomplete(f"maps {part.part}", part.reason) for one in bad for part in one.incomplete]


@lru_cache(64)
def _either(some: str, others: str) -> str:
    """What two mappings of a file allow: what is written to a private one is not in the file."""
    if not others.endswith("s"):
        others = others.replace("w", "-")
    pairs = zip(some, others, strict=False)
    allowed = "".join(mine if mine != "-" else other for mine, other in pairs)
    return allowed[:3] + "s" if "s" in some + others else allowed


def _mapped(
    one: maps.Mapping,
    perms: str,
    reading: Reading,
    known: Known,
    reached: Reached,
) -> Descriptor:
    path = one.pathname or ""
    row = _row("map", path, deleted=one.deleted, access=perms, inode=one.inode, device=one.device)
    if not path.startswith("/"):  # a ring of an io_uring or of a socket, which no file system has
        return structs.replace(row, type=kind(path, [], None))
    if one.deleted:
        row = structs.replace(row, reached=reached.get((one.device, one.inode)))
        if same := known.get((one.device, one.inode)):
            return structs.replace(
                row, size=same.size, allocated=same.allocated, links=same.links, type=same.type
            )
    ask = partial(reading.mapped_file, (one.start, one.end), path, one.device, one.inode)
    return asked(row, ask, is_named=False)


def _unknown(use: str, failure: BaseException) -> Descriptor:
    part = "maps" if use == "map" else use
    return _row(use, None, incomplete=[Incomplete(part, why(failure))])


def _row(use: str, target: str | None, **fields: object) -> Descriptor:
    plain = "directory" if use in {"cwd", "root"} else "file"
    known = {"deleted": False, "access": None, "inode": None, **fields}
    return Descriptor(
        fd=None,
        target=target,
        type=None if target is None else plain,
        flags=None,
        offset=None,
        mnt_id=None,
        mount=None,
        use=use,
        **known,  # type: ignore[arg-type]
    )


def asked(row: Descriptor, ask: Callable[[], FileStatus], *, is_named: bool = True) -> Descriptor:
    """A row with what fstat(2) says of its file, or why that is not known.

    A link that is gone (`is_named`) was closed meanwhile, and nothing is missing.
    """
    try:
        return with_status(row, ask())
    except OSError as failure:
        if is_named and isinstance(failure, FileNotFoundError | ProcessLookupError):
            return row
        return structs.replace(row, incomplete=[*row.incomplete, Incomplete("fstat", why(failure))])
