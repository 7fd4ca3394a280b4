"""PID/process: what there is to know of one process, from the files that are cheap to read.

It joins the views of stat, status, cmdline, cgroup, io, limits and ns, and the links exe, cwd and
root. Each part is judged by itself: one that the reader may not read, or that this process does not
have, is null.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import field

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import SURPRISES, refusal, why
from procmirror.decoding.text import duration, page, size
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc
from procmirror.kernel import tasks
from procmirror.views.pid import cgroup, cmdline, io, limits, ns, stat, status, status_fast

# Lines of the text and the parts without which they cannot be written.
_REFUSABLE = {"command": "cmdline", "program": "exe", "directory": "cwd", "storage": "io"}


class Brief(Record, frozen=True, kw_only=True):
    """A process without what is long and rarely asked for."""

    pid: Annotated[int, doc("Process id")]
    exe: Annotated[str | None, doc("Its program, as the kernel prints the link")]
    cwd: Annotated[str | None, doc("Its working directory")]
    cmdline: Annotated[list[str] | None, doc("Its arguments, as in cmdline.json")]
    stat: Annotated[stat.Stat | None, doc("As in stat.json")]
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


class ProcessParts(Parts):
    """The parts of one process below `prefix`, the name of its directory with a slash, or nothing.

    FILES and LINKS are those of `brief`.
    """

    FILES = ("stat", "cmdline", "status", "cgroup", "io")
    LINKS = ("exe", "cwd")

    def brief(self) -> dict[str, Any]:
        """The fields of `Brief`; OSError if the process is gone or hidden.

        Where neither stat nor status can be read, raises why stat cannot.
        """
        status_ = self.file("status", status_fast.decode)
        try:
            stat_: stat.Stat | None = stat.decode(
                self._reading.read(self._prefix + "stat"), self._machine
            )
        except (FileNotFoundError, ProcessLookupError):
            raise
        except (OSError, *SURPRISES) as failure:
            hidden = isinstance(failure, PermissionError) or not self._prefix
            if status_ is None and hidden:
                raise
            self.incomplete.append(Incomplete("stat", why(failure)))
            stat_ = None
        pid = stat_.pid if stat_ else status_.Pid if status_ else int(self._prefix.rstrip("/"))
        return {
            "pid": pid,
            "exe": self.link("exe"),
            "cwd": self.link("cwd"),
            "cmdline": self.file("cmdline", cmdline.decode),
            "stat": stat_,
            "status": status_,
            "cgroup": self.file("cgroup", cgroup.decode),
            "io": self.file("io", io.decode),
            "incomplete": self.incomplete,
        }


def join(reading: Reading, machine: Machine) -> Process:
    """All parts of the process in whose directory the view stands."""
    parts = ProcessParts(reading, machine)
    root, namespaces = parts.link("root"), parts.made("ns", lambda: ns.join(reading, machine))
    return Process(
        root=root, limits=parts.file("limits", limits.decode), ns=namespaces, **parts.brief()
    )


def command(process: Brief, machine: Machine, most: int) -> str:
    """The command line of a process, cut to `most` characters."""
    return command_line(process.cmdline, comm(process), machine, most)


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


def owned_by(uid: int | None, name: str | None) -> str:
    """A user for a column: the name, else the number; `?` where neither is known."""
    return name or ("?" if uid is None else str(uid))


def missing(incomplete: list[Incomplete]) -> str:
    """What is missing of a process, for the end of its line; nothing if nothing is."""
    parts = ", ".join(f"{one.part}: {one.reason}" for one in incomplete)
    return f"  (incomplete: {parts})" if parts else ""


def comm(process: Brief) -> str:
    """Its name; `?` where it is not known."""
    if process.stat:
        return process.stat.comm
    return process.status.Name if process.status else "?"


def state(process: Brief) -> str:
    """Letter and word of the state; `?` where it is not known."""
    if process.stat:
        return tasks.STATES.get(process.stat.state, process.stat.state)
    return process.status.State if process.status else "?"


def user(process: Brief) -> str:
    """Whose rights it has; `?` if status may not be read."""
    return owned_by(*status.owner(process.status))


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
    ids = words.Uid if words else None
    started_by = "" if ids is None or ids.real == ids.effective else ids.real_name or ids.real
    parent = found.ppid if found else words and words.PPid
    return {
        "process": f"{process.pid} {comm(process)}",
        "state": state(process),
        "command": command(process, machine, 1000),
        "program": process.exe,
        "directory": process.cwd,
        "root": "" if process.root == "/" else process.root,
        "user": user(process) + (f", started by {started_by}" if started_by else ""),
        "parent": parent,
        "traced-by": words and words.TracerPid,
        "terminal": found and found.tty_nr,
        "started": found and found.started,
    }


def _use(process: Process) -> dict[str, object]:
    words, io_ = process.status, process.io
    swapped = words.VmSwap if words else None
    files = next((one for one in process.limits or [] if one.resource == "RLIMIT_NOFILE"), None)
    return {
        **(_counted(process.stat, words) if process.stat else {}),
        "swapped": size(swapped) if swapped else "",
        "storage": io_ and f"{size(io_.read_bytes)} read, {size(io_.write_bytes)} written",
        "files": files and f"at most {'any number' if files.soft is None else files.soft} open",
    }


def _counted(found: stat.Stat, words: status.Status | None) -> dict[str, object]:
    resident = (words and words.VmRSS) or found.rss
    return {
        "threads": found.num_threads,
        "cpu-time": f"{duration(found.utime)} user, {duration(found.stime)} system, last on CPU "
        f"{found.processor}",
        "priority": f"{found.policy}, nice {found.nice}"
        + (f", real-time {found.rt_priority}" if found.rt_priority else ""),
        "memory": f"{size(resident)} resident, {size(found.vsize)} virtual" if found.vsize else "",
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
