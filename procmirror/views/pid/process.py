"""PID/process: what there is to know of one process, from the files that are cheap to read.

It joins the views of stat, status, cmdline, cgroup, io, limits and ns, and the links exe, cwd and
root. Each part is judged by itself: one that the requester may not read, or that this process does
not have, is null.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import field

from procmirror.decoding.memo import Memo
from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.shapes import decimal
from procmirror.decoding.shares import Shares
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc
from procmirror.kernel import tasks
from procmirror.views.pid import cgroup, cmdline, io, limits, ns, stat, status, status_fast
from procmirror.views.pid.process_around import around

# Most processes do nothing most of the time, and their files say the same again.
_STATUS, _STAT = Memo(status_fast.decode), Memo(stat.decode)
_CGROUPS, _IO, _CMDLINE = Memo(cgroup.decode), Memo(io.decode), Memo(cmdline.decode)
_NO_ARGUMENTS = cmdline.Arguments([])


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
    fds: Annotated[
        int | None, doc("Open descriptors; null where the kernel does not tell (before 6.2)")
    ]
    elapsed: Annotated[float | None, doc("Time since its start", "seconds")]
    oom_score: Annotated[int | None, doc("As in oom_score.json: the highest is killed first")]
    incomplete: Annotated[
        list[Incomplete],
        doc("Parts that could not be read (EACCES, EFBIG) or decoded; empty if there are none"),
    ] = field(default_factory=list)


class Listed(Brief, frozen=True, kw_only=True):
    """A process among all processes."""

    wchan: Annotated[
        str | None,
        doc("The kernel function in which it waits; null if it does not or may not be known"),
    ]
    namespaces: Annotated[
        dict[str, int] | None,
        doc(
            "The inodes of its namespaces mnt, net, pid and user, as in ns.json; null if refused, "
            "and of kernel threads"
        ),
    ]


class Process(Brief, frozen=True, kw_only=True):
    """A process."""

    root: Annotated[str | None, doc("Its root directory")]
    limits: Annotated[list[limits.Limit] | None, doc("As in limits.json")]
    ns: Annotated[list[ns.Namespace] | None, doc("As in ns.json")]
    parent_name: Annotated[str | None, doc("Name of the parent; null without one")]
    waits_for: Annotated[
        str | None, doc("What its first thread waits for, as in wchan.json; null if it does not")
    ]
    children: Annotated[list[int] | None, doc("Process ids of its children")]
    listening: Annotated[
        list[str] | None, doc("Where it takes connections and datagrams: `tcp 127.0.0.1:8080`")
    ]


class ProcessParts(Parts):
    """The parts of one process below `prefix`, the name of its directory with a slash, or nothing.

    FILES and LINKS are those of `brief`.
    """

    FILES = ("stat", "cmdline", "status", "cgroup", "io", "oom_score", "wchan")
    # Of eight these tell containers apart; each costs a link of each process.
    NAMESPACES = ("mnt", "net", "pid", "user")
    LINKS = ("exe", "cwd", *(f"ns/{name}" for name in NAMESPACES))

    def listed(self, now: float | None, shares: Shares) -> dict[str, Any]:
        """The fields of `Listed`."""
        made = self.brief(now, shares)
        made["wchan"] = self.file("wchan", _SYMBOL)
        made["namespaces"] = None if _is_kernel_thread(made["stat"]) else self._namespaces()
        return made

    def _namespaces(self) -> dict[str, int] | None:
        """Their inodes by name; the first that cannot be read is noted for all."""
        found: dict[str, int] = {}
        for name in self.NAMESPACES:
            try:
                # `net:[4026531840]`
                text = self._reading.link(f"{self._prefix}ns/{name}")
                found[name] = int(text[len(name) + 2 : -1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            except (OSError, *SURPRISES) as failure:
                self.miss(f"ns/{name}", failure)
                break
        return found or None

    def _fds(self) -> int | None:
        """The kernel counts them in the size of the directory; 0 is what older ones say."""
        return self.made("fd", lambda: self._reading.size(f"{self._prefix}fd")) or None

    def brief(self, now: float | None, shares: Shares | None = None) -> dict[str, Any]:
        """The fields of `Brief`; OSError if the process is gone or hidden.

        `now` is the time since the boot. Of the arguments it has what `shares` leaves, or all.

        Where neither stat nor status can be read, raises why stat cannot.
        """
        status_ = self.file("status", _STATUS)
        try:
            stat_: stat.Stat | None = _STAT(
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
        self.odd("stat", stat_)
        return {
            "pid": self._pid(stat_, status_),
            **(
                self._without_program()
                if _is_kernel_thread(stat_)
                else self._with_program(status.owner(status_)[0], shares)
            ),
            "stat": stat_,
            "status": status_,
            "cgroup": self.file("cgroup", _CGROUPS),
            "io": self.file("io", _IO),
            "fds": self._fds(),
            "elapsed": _elapsed(stat_, now),
            "oom_score": self.file("oom_score", _SCORE),
            "incomplete": self.incomplete,
        }

    def _with_program(self, uid: int | None, shares: Shares | None) -> dict[str, Any]:
        """What a process of a user runs, and where."""
        made: dict[str, Any] = {"exe": self.link("exe"), "cwd": self.link("cwd")}
        most = shares.most_arguments(uid) if shares else 0
        made["cmdline"] = arguments = self.file("cmdline", _CMDLINE, most=most)
        if shares:
            shares.take(uid, arguments or ())
        return made

    def _without_program(self) -> dict[str, Any]:
        """The fields of `_with_program` for a kernel thread: the kernel is asked for `cwd` alone.

        It has no arguments (get_mm_cmdline) and no program. That it has none the kernel tells only
        those whom it tells the directory (proc_pid_readlink, fs/proc/base.c).
        """
        try:
            cwd = self._reading.link(self._prefix + "cwd")
        except (OSError, *SURPRISES) as failure:
            self.miss("exe", failure)
            self.miss("cwd", failure)
            cwd = None
        return {"exe": None, "cwd": cwd, "cmdline": _NO_ARGUMENTS}

    def _pid(self, told: stat.Stat | None, words: status.Status | None) -> int:
        """What stat tells, else status, else the name of the directory."""
        if told and told.pid is not None:
            return told.pid
        return words.Pid if words else int(self._prefix.rstrip("/"))


def join(reading: Reading, machine: Machine) -> Process:
    """All parts of the process in whose directory the view stands."""
    parts = ProcessParts(reading, machine)
    root, namespaces = parts.link("root"), parts.made("ns", lambda: ns.join(reading, machine))
    now = parts.made("uptime", lambda: since_boot(reading, "../uptime"))
    made = parts.brief(now)
    parent = made["stat"].ppid if made["stat"] else 0
    others = around(reading, machine, parent, parts.incomplete)
    most = parts.file("limits", limits.decode)
    return Process(
        root=root,
        limits=most and limits.with_use(most, made["status"], made["stat"], made["fds"]),
        ns=namespaces,
        **others,
        **made,
    )


def _is_kernel_thread(found: stat.Stat | None) -> bool:
    return found is not None and "PF_KTHREAD" in (found.flags or ())


def _elapsed(found: stat.Stat | None, now: float | None) -> float | None:
    if now is None or found is None or found.starttime is None:
        return None
    return round(max(now - found.starttime, 0), 2)


def _symbol(raw: bytes, _: Machine) -> str | None:
    """Of wchan: nothing, or 0, where the process does not wait."""
    return None if raw in {b"", b"0"} else decoded(raw)


def _score(raw: bytes, _: Machine) -> int:
    return int(raw)


_SYMBOL, _SCORE = Memo(_symbol), Memo(_score)


def since_boot(reading: Reading, path: str) -> float:
    """The time since the boot in seconds, of the file `uptime`."""
    return decimal(reading.read(path).split()[0])


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
    """The name of a process; `?` where it is not known."""
    if process.stat:
        return process.stat.comm
    return process.status.Name if process.status else "?"


def state(process: Brief) -> str:
    """Letter and word of the state; `?` where it is not known."""
    if process.stat:
        return tasks.STATES.get(process.stat.state, process.stat.state)
    return (process.status and process.status.State) or "?"


def user(process: Brief) -> str:
    """Whose rights it has; `?` if status may not be read."""
    return owned_by(*status.owner(process.status))


def share(process: Brief) -> str:
    """How much of one processor it used in its life: `12.5%`, `-` where that is not known."""
    if process.stat is None or not process.elapsed:
        return "-"
    used = stat.cpu_time(process.stat)
    if used is None:
        return "-"
    return f"{min(used / process.elapsed, 9.99e3):.1%}"
