"""All threads of a process: what each waits for, its system call, its kernel and user frames.

Nothing is stopped or signalled: a thread that ran while it was read is read again. Of one that ran
three times, or runs all the time, one sample is taken; where that is not to be had, the innermost
frame is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENOENT, ESRCH, ETIMEDOUT
from functools import cached_property
from typing import NamedTuple

from msgspec import structs

from procmirror.decoding.parts import Parts
from procmirror.decoding.proc_files import status_value
from procmirror.decoding.reasons import refusal, why
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Incomplete, Machine
from procmirror.kernel.waits import phrase, reason
from procmirror.stack.caller import Caller
from procmirror.stack.frames import RSP
from procmirror.stack.headline import headline
from procmirror.stack.kallsyms import Symbols
from procmirror.stack.kernel_stack import KernelFrame, frames, of_address
from procmirror.stack.other_end import OtherEnds
from procmirror.stack.process import Process
from procmirror.stack.sample import STACK_BYTES, Sample
from procmirror.stack.samples import Samples
from procmirror.stack.snapshot import Memory, Snapshot, Thread, Where, taken
from procmirror.stack.syscalls import SystemCall, decode
from procmirror.stack.target import Target
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.time_left import Clocks
from procmirror.stack.unwind import UNREADABLE
from procmirror.stack.user_side import (
    Goroutines,
    HereParser,
    Job,
    Parser,
    UserFrame,
    UserSide,
    innermost,
)
from procmirror.stack.waits_by_call import by_call

SECONDS = 2.0  # for the user frames of all threads
OUT_OF_TIME = "time"
RUNNING = "running"
RAN = "the thread ran while it was read"
_GONE = (FileNotFoundError, ProcessLookupError)


class ThreadStatus:
    """What the status of a thread tells of it; ValueError if it lacks any of that."""

    def __init__(self, raw: bytes) -> None:
        self.pid = int(status_value(raw, b"Pid"))
        self.tgid = int(status_value(raw, b"Tgid"))
        self.ppid = int(status_value(raw, b"PPid")) if b"\nPPid:" in raw else 0
        self.state = decoded(status_value(raw, b"State"))
        key = b"NSpid" if b"\nNSpid:" in raw else b"Pid"  # since Linux 4.1
        self.own_pid = int(status_value(raw, key).split()[-1])
        self.owner = status_value(raw, b"Uid")


def stacks(target: Target, machine: Machine) -> Stacks:
    """All threads of the directory of a process; the one thread of a thread's.

    Raises the errno of `stack` if no part may be read, but where the kernel makes its readers wait.
    """
    try:
        directories = [f"task/{tid}/" for tid in target.names("task")]
    except FileNotFoundError:
        directories = [""]
    walk = _Walk(target, machine, directories)
    try:
        threads = [
            found
            for directory in directories
            if (found := walk.thread(directory, last=directory == directories[-1]))
        ]
    finally:
        if walk.parser:
            walk.parser.close()
    # Then the names and states of the threads are there.
    if not walk.allowed and walk.refusal.errno != ETIMEDOUT:
        raise walk.refusal
    late = sum(thread.reason == OUT_OF_TIME for thread in threads)
    return Stacks(walk.pid, late, threads, walk.goroutines)


class _Seen(NamedTuple):
    """What was read of a thread; `sample` is that of a running one, or why there is none."""

    thread: Thread
    tid: int
    comm: str | None
    status: ThreadStatus | None
    snapshot: Snapshot
    sample: Sample | str | None
    user: UserSide | None
    explained: _Explained


class _Explained:
    """The system call of a snapshot, and whether the thread stood still while it was looked at."""

    def __init__(self, snapshot: Snapshot, caller: Caller, machine: Machine) -> None:
        self.snapshot, self._caller, self._machine = snapshot, caller, machine

    @cached_property
    def _decoded(self) -> tuple[SystemCall | None, bool]:
        """The call, and whether it rests on what was looked at besides the registers."""
        snapshot = self.snapshot
        if isinstance(snapshot.line, OSError):
            return None, False
        kernel = snapshot.kernel if isinstance(snapshot.kernel, bytes) else None
        call = decode(self._caller, snapshot.line, kernel, self._machine)
        return call, call.state == "system call" and self._caller.looked

    @cached_property
    def stood(self) -> bool:
        """Whether it has not run since the snapshot; asked once, when all was looked at."""
        _ = self._decoded
        return self.snapshot.still_steady()

    @property
    def call(self) -> SystemCall | None:
        """The system call, with a note if what was looked at for it may be of another moment."""
        call, looked = self._decoded
        if call is None or call.state != "system call":
            return call
        if self.snapshot.steady and (not looked or self.stood):
            return call
        return structs.replace(call, notes=[*call.notes, RAN])


class _Walk:
    """The threads of one request.

    What they share, the time they have together, and whether any part could be read.
    """

    def __init__(self, target: Target, machine: Machine, directories: list[str]) -> None:
        self.target, self.machine = target, machine
        self.caller = Caller(target, machine)
        self.clocks = Clocks(target, self.caller)
        self.ends = OtherEnds(target, self.caller, machine)
        self.deadline = target.clock() + SECONDS
        self.symbols = Symbols(target)
        # The frames in the kernel by their text: many threads wait in the same place.
        self.of_kernel: dict[bytes, list[KernelFrame]] = {}
        self.samples = Samples(target, machine.architecture)
        self.process: Process | OSError
        try:
            self.process = Process(target, directories)
            self.caller.directory = self.process.directory
        except OSError as error:
            self.process = error
        self.parser: Parser | None = None
        self.of_process = directories != [""]
        self.goroutines: Goroutines | None = None
        self.pid = self.parent = 0
        self.allowed = False
        self.refusal: OSError = ProcessLookupError(3, "No such process")
        self.judged = False

    def thread(self, directory: str, *, last: bool) -> ThreadStack | None:
        """One thread, perhaps the last that is looked at; None if it has ended."""
        thread = Thread(self.target, directory)
        parts = Parts(self.target, self.machine, directory)
        status = parts.file("status", lambda raw, _: ThreadStatus(raw), needed=True)
        comm = parts.file("comm", lambda raw, _: decoded(raw.removesuffix(b"\n")))
        if status is None and parts.incomplete[0].reason in {"ENOENT", "ESRCH"}:
            number = ENOENT if parts.incomplete[0].reason == "ENOENT" else ESRCH
            if not self.judged:
                self.refusal = OSError(number, "No such process")
            return None
        tid = status.pid if status else int(directory.removesuffix("/").rpartition("/")[2] or 0)
        self.pid, self.parent = (status.tgid, status.ppid) if status else (self.pid, self.parent)
        late = self.target.clock() > self.deadline
        snapshot = taken(
            thread, None if late or isinstance(self.process, OSError) else self.process
        )
        explained = _Explained(snapshot, self.caller, self.machine)
        user = self.user(explained, status, late=late, last=last)
        self.judge(snapshot)
        if isinstance(snapshot.line, _GONE) and isinstance(snapshot.kernel, _GONE):
            return None
        sample = self.sample(thread, tid, snapshot, user)
        if status and isinstance(sample, Sample):
            user = self.of_sample(status, sample, last=last)
        elif user and not user.frames and isinstance(sample, str):
            user = self.running_python(status, sample) if status else UserSide([], sample)
        return self.shown(
            _Seen(thread, tid, comm, status, snapshot, sample, user, explained), parts
        )

    def shown(self, seen: _Seen, parts: Parts) -> ThreadStack:
        """The record of a thread."""
        snapshot, status, user = seen.snapshot, seen.status, seen.user
        state, sampled = status.state if status else None, isinstance(seen.sample, Sample)
        kernel = self.kernel_frames(snapshot, seen.sample if status else None)
        call, frames_of_user = seen.explained.call, user.frames if user else None
        waits_for = None
        if not sampled and not (state or "").startswith("R"):
            waits_for = self.waits_for(seen.thread, kernel, call, frames_of_user)
        return ThreadStack(
            seen.tid,
            seen.comm,
            state,
            waits_for,
            call,
            kernel,
            frames_of_user,
            sampled,
            user.omitted if user else 0,
            user.python if user else None,
            user is not None and user.reason is None,
            _denied(snapshot, self.process) if user is None else user.reason,
            user.without_lines if user else 0,
            bool(user and user.python and (sampled or not user.frames)),
            user.interpreted if user else None,
            user.functions_omitted if user else 0,
            user.functions_reason if user else None,
            [*parts.incomplete, *_unread(snapshot, self.process)],
        )

    def kernel_frames(
        self, snapshot: Snapshot, sample: Sample | str | None
    ) -> list[KernelFrame] | None:
        """The frames in the kernel, those of a sample if there is one; None if they are denied."""
        if isinstance(sample, Sample) and sample.kernel is not None:
            return [of_address(address, self.symbols) for address in sample.kernel]
        if isinstance(snapshot.kernel, OSError):
            return None
        found = self.of_kernel.get(snapshot.kernel)
        if found is None:
            found = self.of_kernel[snapshot.kernel] = frames(snapshot.kernel, self.symbols)
        return found

    def judge(self, snapshot: Snapshot) -> None:
        """Raise the kernel's refusal if this requester may read no part at all."""
        if isinstance(snapshot.kernel, bytes) or isinstance(snapshot.line, bytes):
            self.allowed = True
            return
        # The first thread stands for the process: of a dead one the kernel may say another errno.
        if not self.judged:
            self.refusal, self.judged = snapshot.kernel, True
        try:
            self.target.part("mem", 0, 0)
        except OSError:
            return
        self.allowed = True

    def user(
        self, explained: _Explained, status: ThreadStatus | None, *, late: bool, last: bool
    ) -> UserSide | None:
        """The user side of a snapshot; None if it may not be read.

        `late`: there was no time to read its memory.
        """
        snapshot, process = explained.snapshot, self.process
        at, memory = snapshot.where, snapshot.memory
        if isinstance(snapshot.line, OSError) or isinstance(memory, OSError):
            return None
        if late or isinstance(process, OSError):
            if at and at.pc and not late:
                return None
            return UserSide([], _without_frames(at) or OUT_OF_TIME)
        if at is None or memory is None:
            return UserSide([], _without_frames(at))
        if status is None:
            return UserSide([], "its status could not be read")
        return self.user_side(process, status, explained, last=last)

    def user_side(
        self, process: Process, status: ThreadStatus, explained: _Explained, *, last: bool
    ) -> UserSide:
        """The user side of a snapshot that has one, as far as the thread stood still for it."""
        snapshot = explained.snapshot
        assert snapshot.where and isinstance(snapshot.memory, Memory)
        found = self.parsed(
            process,
            Job(
                status.own_pid,
                status.owner,
                snapshot.where,
                snapshot.memory.copied,
                snapshot.memory.left,
                self.deadline - self.target.clock(),
                snapshot.steady,
                # A sample may follow for a thread that ran.
                last and snapshot.steady,
                goroutines=self.of_process and self.parser is None,
            ),
        )
        self.goroutines = found.goroutines or self.goroutines
        functions = found.python is not None or found.interpreted is not None
        asked = found.elsewhere or functions
        if snapshot.steady and (not asked or explained.stood):
            return found
        if snapshot.steady and not found.elsewhere:
            return structs.replace(
                found, python=None, interpreted=None, functions_omitted=0, functions_reason=None
            )
        return UserSide(found.frames[:1], RAN)

    def parsed(self, process: Process, job: Job) -> UserSide:
        """What the parser finds, which is made for the first job."""
        if self.parser is None:
            self.parser = (self.target.parser or HereParser)(process)
        return self.parser.user_side(job)

    def sample(
        self, thread: Thread, tid: int, snapshot: Snapshot, user: UserSide | None
    ) -> Sample | str | None:
        """A sample of a thread that ran, or why there is none; None for one that did not run."""
        if user is None or isinstance(self.process, OSError):
            return None
        if user.reason != RUNNING and (user.reason != RAN or snapshot.steady):
            return None
        return OUT_OF_TIME if self.target.clock() > self.deadline else self.samples.of(thread, tid)

    def of_sample(self, status: ThreadStatus, sample: Sample, *, last: bool) -> UserSide:
        """The user side at the moment of a sample."""
        assert isinstance(self.process, Process)
        sp = sample.registers[RSP]
        where = Where(-1, (), sp, sample.pc)
        if not sample.wide:
            return innermost(self.process, where, "a 32-bit program")
        found = self.parsed(
            self.process,
            Job(
                status.own_pid,
                status.owner,
                where,
                [(sp, sample.stack)],
                0,
                self.deadline - self.target.clock(),
                python=True,
                last=last,
                registers=sample.registers,
            ),
        )
        if found.reason == UNREADABLE and len(sample.stack) >= STACK_BYTES:
            return structs.replace(found, reason=f"a sample has {STACK_BYTES >> 10} KiB of stack")
        return found

    def running_python(self, status: ThreadStatus, reason: str) -> UserSide:
        """The functions of Python of a thread of which there is no sample, for this reason."""
        assert isinstance(self.process, Process)
        left = self.deadline - self.target.clock()
        where = Where(-1, (), 0, 0)
        job = Job(
            *(status.own_pid, status.owner, where, [], 0, left),
            python=True,
            last=False,
            registers={},
        )
        found = self.parsed(self.process, job)
        return UserSide(
            [],
            reason,
            python=found.python,
            functions_omitted=found.functions_omitted,
            functions_reason=found.functions_reason,
        )

    def waits_for(
        self,
        thread: Thread,
        kernel: list[KernelFrame] | None,
        call: SystemCall | None,
        user: list[UserFrame] | None,
    ) -> str | None:
        """The phrase, by the kernel frames, else by `wchan`, which needs fewer rights."""
        if kernel:
            found = reason(frame.symbol for frame in kernel if frame.symbol)
        else:
            function = thread.optional("wchan")
            found = by_call(call) or (
                phrase(decoded(function)) if isinstance(function, bytes) else None
            )
        functions = [frame.function for frame in user or () if frame.function]
        words = headline(found, call, functions, self.caller, self.clocks)
        if words is None or call is None or call.state != "system call":
            return words
        self.ends.pid, self.ends.parent = self.pid, self.parent
        return words + self.ends.named(words, call)


def _without_frames(at: Where | None) -> str | None:
    """Why a thread has no user frames at all; None if it has a user context."""
    if at is None:
        return RUNNING
    if at.pc:
        return None
    return "no user context: a kernel thread or a zombie"


def _denied(snapshot: Snapshot, process: Process | OSError) -> str:
    """Why the user frames may not be read."""
    for part in (snapshot.line, snapshot.memory, process):
        if isinstance(part, OSError):
            return refusal(why(part))
    return "not permitted"


def _unread(snapshot: Snapshot, process: Process | OSError) -> Iterator[Incomplete]:
    """The parts of a thread that were refused or did not answer."""
    parts = {
        "syscall": snapshot.line,
        "stack": snapshot.kernel,
        "maps": process,
        "mem": snapshot.memory,
    }
    for name, part in parts.items():
        if isinstance(part, OSError) and not isinstance(part, _GONE):
            yield Incomplete(name, why(part))
