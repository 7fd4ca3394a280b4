"""Which process stands where in which index.

The answers come from the files of that process, or of all, through a `Reading`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from procmirror.decoding.proc_files import socket_inode, status_value
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Each, Machine, Reading
from procmirror.mirror.index.names import escaped
from procmirror.views.pid import cgroup

Path: TypeAlias = tuple[str, ...]
# The names in each directory by its path below the index ("" for the index itself): directories, or
# pids.
Table: TypeAlias = dict[str, list[str]]
# The directories in which a process stands, and whether each is listed (an unlisted one is found by
# its name only).
Places: TypeAlias = Callable[[str, Reading, Machine], Iterator[tuple[Path, bool]]]
PIDS = "pids"
# Where a tree names the processes that it does not list where they stand, as that would take too
# much: each name on the way to a process is another path of the table. A requester that knows
# their path finds them there too. `escaped` gives no such name.
LEFT_OUT = "=left-out"
# How much of the table the way to one process may take, in bytes of its paths and of what each
# takes besides; how much once the table has so many, and with how many it takes no more.
_MOST, _MOST_OF_MANY, _MANY, _FULL = 1 << 15, 1 << 10, 6 << 20, 8 << 20
_BESIDES = 200
# How many directories that nobody had before one process may bring: it may have 20,000 files open.
_MOST_OF_PROCESS = 1000

# The kernel's tables of sockets; each has another one for IPv6, whose sockets may serve IPv4 too.
PROTOCOLS = ("tcp", "udp", "udplite")


def by_name(pid: str, reading: Reading, _: Machine) -> Iterator[tuple[Path, bool]]:
    """By the name of the first thread."""
    yield (escaped(decoded(reading.read(f"{pid}/comm").removesuffix(b"\n"))),), True


def by_user(pid: str, reading: Reading, machine: Machine) -> Iterator[tuple[Path, bool]]:
    """By effective user: by name, or by number.

    A user with a name is found by number too, unless that number is another user's name.
    """
    uid = int(_status(pid, b"Uid", reading).split()[1])
    name = machine.users.get(uid)
    if name is not None:
        yield (escaped(name),), True
    if name is None or str(uid) not in machine.users.values():
        yield (str(uid),), name is None


def by_exe(pid: str, reading: Reading, _: Machine) -> Iterator[tuple[Path, bool]]:
    """By program."""
    yield tuple(map(escaped, reading.link(f"{pid}/exe").removeprefix("/").split("/"))), True


def by_cgroup(pid: str, reading: Reading, machine: Machine) -> Iterator[tuple[Path, bool]]:
    """By the path of its group in each hierarchy."""
    for path in dict.fromkeys(
        one.path for one in cgroup.decode(reading.read(f"{pid}/cgroup"), machine)
    ):
        names = path.removeprefix("/").split("/") if path != "/" else ()
        yield tuple(escaped(name, numbers=False) for name in names), True


def _status(pid: str, key: bytes, reading: Reading) -> bytes:
    """The value of a key in the status of a process."""
    return status_value(reading.read(f"{pid}/status"), key)


def _each(reading: Reading, make: Callable[[str], Any]) -> Each:
    """A walk over all processes; one that the requester may not look at gives nothing."""

    def tried(pid: str) -> Any:
        try:
            return make(pid)
        except (OSError, ValueError):
            return None

    return Each([name for name in reading.names(".") if name.isascii() and name.isdigit()], tried)


def survey_by(places: Places) -> Callable[[Reading, Machine], Each]:
    """A walk that finds the directories of each process."""
    return lambda reading, machine: _each(
        reading, lambda pid: (pid, list(places(pid, reading, machine)))
    )


def filled(found: Iterable[tuple[str, list[tuple[Path, bool]]]], *, always: Path = ()) -> Table:
    """The table of such a walk; `always` stands at the top, whether anything is in it or not."""
    names: dict[str, dict[str, None]] = defaultdict(dict, {"": dict.fromkeys(always)})
    for pid, places in found:
        for path, listed in places:
            _add(names, path, pid, listed=listed)
    return {path: list(below) for path, below in names.items()}


def filled_tree(found: Iterable[tuple[str, list[tuple[Path, bool]]]]) -> Table:
    """The table of an index with links at every depth. What would take too much is in LEFT_OUT."""
    names: dict[str, dict[str, None]] = defaultdict(dict, {"": {}})
    taken = 0
    for pid, places in found:
        brought = 0
        for path, _ in places:
            directory = (*path, PIDS)
            takes = _new(names, directory)
            if takes > _limit(taken) or (takes and brought == _MOST_OF_PROCESS):
                directory, takes = (LEFT_OUT, PIDS), 0
            taken += takes
            brought += bool(takes)
            _add(names, directory, pid, listed=True)
    return {path: list(below) for path, below in names.items()}


def _limit(taken: int) -> int:
    """How much the way to one more process may take, where the table has so much."""
    return _MOST if taken < _MANY else _MOST_OF_MANY if taken < _FULL else 0


def _add(names: dict[str, dict[str, None]], directory: Path, pid: str, *, listed: bool) -> None:
    names["/".join(directory)][pid] = None
    for depth in range(len(directory) if listed else 0):
        names["/".join(directory[:depth])][directory[depth]] = None


def _new(names: dict[str, dict[str, None]], directory: Path) -> int:
    """How many bytes the paths take on the way to a directory that are not there yet.

    Where they are more than _MOST, some number above it.
    """
    total = 0
    for depth in range(len(directory), 0, -1):
        path = "/".join(directory[:depth])
        if path in names or total > _MOST:
            break
        total += len(path) + _BESIDES
    return total


def holds_by(places: Places) -> Callable[[Path, str, Reading, Machine], bool]:
    """A function that tells whether one process stands in one directory."""

    def holds(path: Path, pid: str, reading: Reading, machine: Machine) -> bool:
        return is_process(pid, reading) and any(
            path in {place, (LEFT_OUT,)} for place, _ in places(pid, reading, machine)
        )

    return holds


def is_process(pid: str, reading: Reading) -> bool:
    """Whether a number is that of a process; a thread's can be looked up, but is not listed."""
    return _status(pid, b"Tgid", reading) == pid.encode()


def parents(reading: Reading, _: Machine) -> Each:
    """A walk for by-parent: each process with its parent."""
    return _each(reading, lambda pid: (pid, _status(pid, b"PPid", reading).decode()))


def children(found: Iterable[tuple[str, str]]) -> Table:
    """The children of each process; at the top those whose parent the requester does not see."""
    above = dict(found)
    table: Table = {"": []}
    for pid, parent in above.items():
        path = parent if parent in above else ""
        table.setdefault(path, []).append(pid)
        table.setdefault(f"{path}/{PIDS}" if path else PIDS, []).append(pid)
    for path, names in table.items():
        if path.rpartition("/")[2] != PIDS and names:
            names.append(PIDS)
    return table


def is_child(path: Path, pid: str, reading: Reading, _: Machine) -> bool:
    """Whether the parent of a process is the one of this directory."""
    if not is_process(pid, reading):
        return False
    parent = _status(pid, b"PPid", reading).decode()
    return parent == path[-1] if path else not _is_seen(parent, reading)


def _is_seen(pid: str, reading: Reading) -> bool:
    try:
        return pid != "0" and bool(_status(pid, b"PPid", reading))
    except (OSError, ValueError):
        return False


def ports(reading: Reading, _: Machine) -> Each:
    """A walk for by-port: the ports of the sockets that each process holds.

    A process whose descriptors the requester may not list gives nothing.
    """
    by_inode: dict[int, list[tuple[Path, bool]]] = defaultdict(list)
    for protocol in PROTOCOLS:
        for port, inode in _sockets(protocol, reading):
            by_inode[inode].append(((protocol, str(port)), True))

    def held(pid: str) -> tuple[str, list[tuple[Path, bool]]]:
        return pid, [
            place for inode in set(_held(pid, reading)) for place in by_inode.get(inode, ())
        ]

    return _each(reading, held)


def holds_port(path: Path, pid: str, reading: Reading, _: Machine) -> bool:
    """Whether a process holds a socket with that protocol and port."""
    protocol, wanted = path
    held = set(_held(pid, reading))
    if not held or not is_process(pid, reading):
        return False
    return any(inode in held for port, inode in _sockets(protocol, reading) if port == int(wanted))


def _sockets(protocol: str, reading: Reading) -> Iterator[tuple[int, int]]:
    """Own port and inode of the sockets in the requester's network namespace.

    Sockets that no process holds have no inode, and are left out.
    """
    for name in (protocol, f"{protocol}6"):
        try:
            rows = reading.lines(f"self/net/{name}")
            next(rows)
            for words in map(bytes.split, rows):
                port, inode = int(words[1].rpartition(b":")[2], 16), int(words[9])
                if port and inode:
                    yield port, inode
        except (FileNotFoundError, StopIteration):
            continue


def _held(pid: str, reading: Reading) -> Iterator[int]:
    """The inodes of the sockets that a process holds; OSError if the requester may not."""
    for descriptor in reading.names(f"{pid}/fd"):
        try:
            inode = socket_inode(reading.link(f"{pid}/fd/{descriptor}"))
        except OSError:
            continue
        if inode is not None:
            yield inode
