"""PID/process: what there is to know of one process, from the files that are cheap to read.

It joins the views of stat, status, cmdline, cgroup, io, limits and ns, and the links exe, cwd and
root. Each part is judged by itself: one that the reader may not read, or that this process does not
have, is null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from msgspec import field

from procmirror.decoding.reasons import SURPRISES, refusal, why
from procmirror.decoding.text import duration, page, size
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc
from procmirror.kernel import tasks
from procmirror.views.pid import cgroup, cmdline, io, limits, ns, stat, status, status_fast

Part = TypeVar("Part")
# Lines of the text and the parts without which they cannot be written.
_REFUSABLE = {"command": "cmdline", "program": "exe", "directory": "cwd", "storage": "io"}


class Brief(Record, frozen=True, kw_only=True):
    """A process without what is long and rarely asked for."""

    pid: Annotated[int, doc("Process id")]
    exe: Annotated[str | None, doc("Its program, as the kernel prints the link")]
    cwd: Annotated[str | None, doc("Its working directory")]
    cmdline: Annotated[list[str] | None, doc("Its arguments, as in cmdline.json")]
    stat: Annotated[stat.Stat, doc("As in stat.json")]
    status: Annotated[status.Status | None, doc("As in status.json")]
    cgroup: Annotated[list[cgroup.Cgroup] | None, doc("As in cgroup.json")]
    io: Annotated[io.Io | None, doc("As in io.json")]
    incomplete: Annotated[
        list[Incomplete],
        doc("Parts that could not be read (EACCES, EFBIG) or decoded; empty if there are none"),
    ] = field(default_factory=list)


class Process(Brief, frozen=True, kw_only=True):
    """A process."""

    root: Annotated[str | None, doc("Its root directory")]
    limits: Annotated[list[limits.Limit] | None, doc("As in limits.json")]
    ns: Annotated[list[ns.Namespace] | None, doc("As in ns.json")]


class Parts:
    """The parts of one process below `prefix`, each null if the kernel refuses it.

    FILES and LINKS are those of `brief`.
    """

    FILES = ("stat", "cmdline", "status", "cgroup", "io")
    LINKS = ("exe", "cwd")

    def __init__(self, reading: Reading, machine: Machine, prefix: str = "") -> None:
        self._reading, self._machine, self._prefix = reading, machine, prefix
        self.incomplete: list[Incomplete] = []

    def file(self, name: str, decode: Callable[[bytes, Machine], Part]) -> Part | None:
        """The record of a file."""
        try:
            raw = self._reading.read(self._prefix + name)
        except OSError as refused:
            self._note(name, refused)
            return None
        try:
            return decode(raw, self._machine)
        except SURPRISES as surprise:
            self._note(name, surprise)
            return None

    def link(self, name: str) -> str | None:
        """The text of a link."""
        try:
            return self._reading.link(self._prefix + name)
        except OSError as refused:
            self._note(name, refused)
            return None

    def _note(self, name: str, failure: BaseException) -> None:
        """Name a part that is missing; one that this process does not have is only null."""
        if not isinstance(failure, FileNotFoundError | ProcessLookupError):
            self.incomplete.append(Incomplete(name, why(failure)))

    def brief(self) -> dict[str, Any]:
        """The fields of `Brief`; OSError if the process is gone or hidden."""
        found = stat.decode(self._reading.read(f"{self._prefix}stat"), self._machine)
        return {
            "pid": found.pid,
            "exe": self.link("exe"),
            "cwd": self.link("cwd"),
            "cmdline": self.file("cmdline", cmdline.decode),
            "stat": found,
            "status": self.file("status", status_fast.decode),
            "cgroup": self.file("cgroup", cgroup.decode),
            "io": self.file("io", io.decode),
            "incomplete": self.incomplete,
        }


def join(reading: Reading, machine: Machine) -> Process:
    """All parts of the process in whose directory the view stands."""
    parts = Parts(reading, machine)
    root, namespaces = parts.link("root"), _namespaces(reading, machine)
    return Process(
        root=root, limits=parts.file("limits", limits.decode), ns=namespaces, **parts.brief()
    )


def _namespaces(reading: Reading, machine: Machine) -> list[ns.Namespace] | None:
    try:
        return ns.join(reading, machine)
    except OSError:
        return None


def command(process: Brief, machine: Machine, most: int) -> str:
    """The command line of a process, cut to `most` characters."""
    return command_line(process.cmdline, process.stat.comm, machine, most)


def command_line(arguments: list[str] | None, comm: str, machine: Machine, most: int = 200) -> str:
    """Arguments quoted for a shell, cut to `most` characters.

    A process without any has its name in brackets, as in ps(1).
    """
    line = (
        cmdline.text(arguments, machine).rstrip("\n")
        if isinstance(arguments, cmdline.Arguments) and arguments
        else ""
    )
    line = line or f"[{comm}]"
    return line if len(line) <= most else line[: most - 1] + "…"


def state(process: Brief) -> str:
    """Letter and word of the state."""
    return tasks.STATES.get(process.stat.state, process.stat.state)


def user(process: Brief) -> str:
    """Whose rights it has; `?` if status may not be read."""
    if process.status is None:
        return "?"
    ids = process.status.Uid
    return ids.effective_name or str(ids.effective)


def text(process: Process, machine: Machine) -> str:
    """One page, what is asked first on top; what is empty or not there is left out."""
    missing = {one.part: one.reason for one in process.incomplete}
    refused = {
        label: f"({refusal(missing[part])})"
        for label, part in _REFUSABLE.items()
        if part in missing
    }
    rows = {**_identity(process, machine), **_use(process), **_confinement(process), **refused}
    return page(rows.items())


def _identity(process: Process, machine: Machine) -> dict[str, object]:
    found, words = process.stat, process.status
    started_by = (
        ""
        if words is None or words.Uid.real == words.Uid.effective
        else words.Uid.real_name or words.Uid.real
    )
    return {
        "process": f"{process.pid} {found.comm}",
        "state": state(process),
        "command": command(process, machine, 1000),
        "program": process.exe,
        "directory": process.cwd,
        "root": "" if process.root == "/" else process.root,
        "user": user(process) + (f", started by {started_by}" if started_by else ""),
        "parent": found.ppid,
        "traced-by": words and words.TracerPid,
        "terminal": found.tty_nr,
        "started": found.started,
    }


def _use(process: Process) -> dict[str, object]:
    found, words, io_ = process.stat, process.status, process.io
    swapped = words.VmSwap if words else None
    files = next((one for one in process.limits or [] if one.resource == "RLIMIT_NOFILE"), None)
    return {
        "threads": found.num_threads,
        "cpu-time": f"{duration(found.utime)} user, {duration(found.stime)} system, last on CPU "
        f"{found.processor}",
        "priority": f"{found.policy}, nice {found.nice}"
        + (f", real-time {found.rt_priority}" if found.rt_priority else ""),
        "memory": f"{size((words and words.VmRSS) or found.rss)} resident, {size(found.vsize)} "
        f"virtual"
        if found.vsize
        else "",
        "swapped": size(swapped) if swapped else "",
        "storage": io_ and f"{size(io_.read_bytes)} read, {size(io_.write_bytes)} written",
        "files": files and f"at most {'any number' if files.soft is None else files.soft} open",
    }


def _confinement(process: Process) -> dict[str, object]:
    words = process.status
    other = [one.name for one in process.ns or [] if one.same is False]
    groups = [one.path for one in process.cgroup or [] if one.path != "/"]
    seccomp = words.Seccomp if words else None
    return {
        "cgroup": " ".join(dict.fromkeys(groups)),
        "namespaces": f"others than yours: {' '.join(other)}" if other else "",
        "seccomp": "" if seccomp == "disabled" else seccomp,
        "incomplete": ", ".join(f"{one.part}: {one.reason}" for one in process.incomplete),
    }
