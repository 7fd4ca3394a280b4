"""What a decoded view is: a name, its sources, a pure decoder, and perhaps a text for people.

Nothing here or below `views/` does I/O: a decoder gets bytes, or a `Reading` through which it may
ask for the sources it needs, and the facts of the machine. The implementation of `Reading` applies
the requester's rights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec
from msgspec import UNSET

from procmirror.decoding.byte_order import ByteOrder, byte_order, decoding_as
from procmirror.decoding.late import Late, found
from procmirror.decoding.reasons import SURPRISES, expected, reason

T = TypeVar("T")
Made = TypeVar("Made")
# The name of a source that stands for every number in its directory.
NUMBER = "N"


class DecodeError(ValueError):
    """A source did not have the shape that its decoder knows."""

    def __init__(self, path: str, reason: str, line: int | None = None) -> None:
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {reason}")
        self.path, self.reason, self.line = path, reason, line


class Record(msgspec.Struct, frozen=True):
    """Base of all records: typed, and without loss of what the kernel printed."""


def doc(description: str, unit: str | None = None) -> msgspec.Meta:
    """The description of one field in the JSON Schema, with its unit if it has one."""
    extra = {"unit": unit} if unit else None
    return msgspec.Meta(description=description, extra_json_schema=extra)


def counted(description: str, unit: str | None = None) -> msgspec.Meta:
    """The words of a field that only grows: two readings tell what happened between them.

    The JSON Schema marks it, and everything below it, with `"counter": true`.
    """
    extra = {"unit": unit, "counter": True} if unit else {"counter": True}
    return msgspec.Meta(description=description, extra_json_schema=extra)


# The last field of a record whose file may grow; its default is UNSET. It is the only field that is
# left out without a value: every other one is null then.
Extra: TypeAlias = Annotated[
    dict[str, str] | msgspec.UnsetType,
    doc(
        "What has no field here, by name or number of the column, and values of another form than "
        "their field, which is null; left out if there is nothing"
    ),
]


class Incomplete(Record, frozen=True):
    """A part of an answer that is missing."""

    part: Annotated[str, doc("What is missing: a source (`meminfo`), or a line of one (`line 7`)")]
    reason: Annotated[
        str, doc("Why: the name of the errno, or what was expected and what was found")
    ]


def odd_values(record: Any) -> list[Incomplete]:
    """The values of a record that have another form: their fields are null, `extra` has them."""
    extra: Any = getattr(record, "extra", UNSET)
    if not extra or not isinstance(record, Record):
        return []
    fields = zip(record.__struct_encode_fields__, record.__struct_fields__, strict=True)
    return [
        Incomplete(name, str(expected("another form", str(extra[name]))))
        for name, field in fields
        if name in extra and getattr(record, field) is None
    ]


class Undecoded(Record, frozen=True):
    """A line that could not be decoded; it comes after the records of the other lines."""

    line: Annotated[str, doc("The line as the kernel printed it")]
    incomplete: Annotated[list[Incomplete], doc("Its number, and why it could not be decoded")]


class Stamp(Record, frozen=True):
    """Where and when the records of a stream were made."""

    host: Annotated[
        str,
        doc("Only with -o stamp: host name of the machine that the mirror is on"),
    ]
    boot_id: Annotated[
        str | None, doc("Only with -o stamp: sys/kernel/random/boot_id, another after each boot")
    ]
    time: Annotated[str, doc("Only with -o stamp: when the snapshot was begun (ISO 8601, UTC)")]


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts that decoding needs and the file itself does not tell.

    `namespaces` are the *requester's*, by type, as the link texts of /proc/PID/ns (`{"net":
    "net:[4026531840]"}`); `users` and `groups` name the ids of the daemon's own user namespace and
    are empty for a requester from another one; `architecture` is the kernel's, by its name in
    uname(2), `byte_order` its processor's, and `release` its version as uname(2) has it, empty
    where that is not known; `stamp` is what the records of a stream begin with, if it was asked
    for.
    """

    page_size: int = 4096
    ticks: int = 100
    boot_time: float = 0.0
    users: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, str] = field(default_factory=dict)
    namespaces: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "x86_64"
    stamp: Stamp | None = None
    byte_order: ByteOrder = sys.byteorder
    release: str = ""

    def tells_as(self, other: Machine) -> bool:
        """Whether all but the stamp is the same."""
        return bool(_TOLD(self) == _TOLD(other))


_TOLD = attrgetter(*(name for name in Machine.__dataclass_fields__ if name != "stamp"))


class FileStatus(NamedTuple):
    """What fstat(2) says of an open file: sizes in bytes, devices as `major:minor`."""

    mode: int
    size: int
    allocated: int
    links: int
    device: str
    special: str
    inode: int | None = None


class Reading(Protocol):
    """How a view of several sources asks for them: every answer is the kernel's to the requester.

    Paths are relative to the directory of the view. All methods raise the kernel's OSError; a
    source longer than its limit raises OSError(EFBIG).
    """

    def read(self, path: str) -> bytes:
        """The whole content of a file."""

    def part(self, path: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` of a file.

        It serves pagemap and mem (whose offset is the address).
        """

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a file of any length, without their newlines, in bounded memory."""

    def link(self, path: str) -> str:
        r"""The text of a symbolic link, bytes that are not UTF-8 as \\xHH."""

    def names(self, path: str) -> list[str]:
        """The names in a directory ("." is that of the view), in the kernel's order."""

    def size(self, path: str) -> int:
        """The size that stat(2) tells of an entry; links are not followed."""

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """What fstat(2) says of the file behind a link of fd/, or behind cwd, root or exe.

        `mount` is the number of its mount, None for files of the kernel's own (pipes, sockets) and
        for links whose mount the kernel does not tell. OSError(EREMOTE) where the mount is not
        known to be served by this kernel alone: another server may never answer.
        """

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        """What fstat(2) says of a mapped file; arguments are as in `maps`.

        OSError(EREMOTE) as for `opened`, ESTALE where the path does not lead to it any more. The
        kernel follows the link of such a file only for requesters with CAP_CHECKPOINT_RESTORE.
        """

    def unix_peers(self) -> Mapping[int, int]:
        """The inode of the peer of each connected UNIX stream socket, by its own inode.

        They are those of the requester's network namespace, and come from sock_diag(7).
        """


@runtime_checkable
class Keeps(Protocol):
    """A `Reading` that keeps for a moment what was made of all processes for a requester."""

    def kept(self, name: str, make: Callable[[], Made]) -> Made:
        """What `make` makes, or has made of this name for the same requester a moment ago.

        A moment is ten times as long as it took: so views of many processes, each of which needs
        the same of all processes, take hardly longer than without it.
        """


# How many bytes of the arguments of each process a view of all processes has: an unprivileged
# process can have megabytes of them, and there may be many.
MOST_OF_EACH = 1 << 16
# Of longer maps no file is shown, and `incomplete` says EFBIG.
MOST_OF_MAPS = 8 << 20
# So many descriptors of a process are shown where all that it uses is, so that it does not take the
# memory of the view from all others.
MOST_DESCRIPTORS = 20_000
# The bytes of a file that a walk over all processes reads of each of them.
MOST_IN_WALK = {b"cmdline": MOST_OF_EACH, b"maps": MOST_OF_MAPS}


@dataclass(frozen=True, slots=True)
class Each:
    """The records of a view of all processes, before they are made.

    `make` returns the record for a name, None if there is none, or a list if there are several.
    Iterating makes them one after the other. The implementation of `Reading` may make them in
    another way, so that a name whose `make` hangs does not delay the rest. `files` and `links` are
    what `make` reads below a name, for an implementation that asks for these together. `arrange`
    makes the view's content from all records if one record alone is not enough, as in a tree: an
    iterator of records, or one record.
    """

    names: Sequence[str]
    make: Callable[[str], Any]
    files: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    arrange: Callable[[Iterator[Any]], Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        """What `make` returns for each name, without None, in the order of the names."""
        return (made for made in map(self.make, self.names) if made is not None)

    def content(self, made: Iterator[Any]) -> Any:
        """The view's content: the records that `made` yields, one by one and arranged."""
        records = (
            record for each in made for record in (each if isinstance(each, list) else (each,))
        )
        return records if self.arrange is None else self.arrange(records)


@dataclass(frozen=True, slots=True)
class View:
    """One decoded view: one row of a table.

    `name` is the path of its source with PID for the number (`PID/environ`, `meminfo`, `net/tcp`),
    and N for a number that a file has (`PID/fdinfo/N`).
    Exactly one of two functions makes the record: `decode(raw, machine)` for a view of one file;
    `join(reading, machine)` for a view of several, which may also return an iterator of records
    that is streamed as an array. `declared` is the type of the result, for the JSON Schema. These
    may be late names (decoding.late).
    `text(record, machine)` gives the `.txt`, or is absent where the raw file reads well as it is;
    `folded(record, machine)` gives the `.folded` of stacks.
    `directory` marks a view whose first source is a directory (`fd`); `virtual` one that has no
    source of its own (`process`). `ndjson` asks for one compact line a record instead of an array.
    `whole` marks a view of one process that is made of all: its `reading` is of the root of the
    procfs, where `self` is that process or thread, and not the requester. `stamped` is for streams:
    their records may begin with the machine's stamp. `plain` says of a view without `text` why it
    has none. `by_line` says of a view of several sources that its rows are the lines of one.
    `reads` are all files that a view of several files of one process opens, where they are known
    before. `empty` says that the kernel may write no byte into its source; without it a source
    without content is refused.
    """

    name: str
    declared: Any
    decode: Callable[[bytes, Machine], Any] | None = None
    join: Callable[[Reading, Machine], Any] | None = None
    text: Callable[[Any, Machine], str | Iterator[str]] | None = None
    folded: Callable[[Any, Machine], Iterator[str]] | None = None
    directory: bool = False
    virtual: bool = False
    ndjson: bool = False
    stamped: bool = False
    whole: bool = False
    plain: str = ""
    by_line: bool = False
    reads: tuple[str, ...] = ()
    empty: bool = False

    @property
    def record(self) -> Any:
        """The type of the result; its module is imported."""
        return found(self.declared)

    @property
    def is_late(self) -> bool:
        """Whether modules of its functions are named late, imported or not."""
        return any(isinstance(one, Late) for one in self._functions)

    def load(self) -> None:
        """Import the modules of its functions, if that has not been done."""
        for function in self._functions:
            found(function)

    @property
    def _functions(self) -> tuple[object, ...]:
        return self.decode, self.join, self.text, self.folded

    @property
    def place(self) -> str:
        """The directory of the view: "" for the root, "PID", "net", …."""
        return self.name.rpartition("/")[0]

    @property
    def entry(self) -> str:
        """The name of its source in that directory."""
        return self.name.rpartition("/")[2]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of the files beside the source."""
        first = "ndjson" if self.ndjson else "json"
        texts = {"txt": self.text, "folded": self.folded}
        return (first, *(suffix for suffix, write in texts.items() if write))

    def record_of(self, reading: Reading, machine: Machine) -> Any:
        """The record of what `reading` gives.

        DecodeError if a source does not decode, OSError as the kernel raises it.
        """
        if self.decode is not None:
            return self.decoded(reading.read(self.entry), machine)
        assert self.join is not None
        return self.guarded(self.join, reading, machine)

    def decoded(self, raw: bytes, machine: Machine) -> Any:
        """The record of a view of one file; DecodeError if `raw` does not decode."""
        assert self.decode is not None
        self.check_filled(raw)
        if machine.byte_order == byte_order():
            return self.guarded(self.decode, raw, machine)
        with decoding_as(machine.byte_order):
            return self.guarded(self.decode, raw, machine)

    def check_filled(self, raw: bytes) -> None:
        """DecodeError if a source has no content, and never is empty."""
        if not raw and not self.empty:
            raise DecodeError(self.name, "it is empty")

    def guarded(self, make: Callable[[T, Machine], Any], source: T, machine: Machine) -> Any:
        """The result of `make` for a source.

        DecodeError in place of any exception that a decoder may raise at bytes it does not know.
        """
        try:
            return make(source, machine)
        except (OSError, DecodeError):
            raise
        except SURPRISES as surprise:
            line: int | None = getattr(surprise, "line", None)
            raise DecodeError(self.name, reason(surprise), line) from surprise
