r"""The system call in which a task is blocked, from one line of /proc/PID/syscall.

Source: proc_pid_syscall in fs/proc/base.c.

    caller = Caller(reading, machine)
    call = decode(caller, line, stack, machine)
    "".join(f"{line}\n" for line in lines(call))

One `Caller` serves all threads of a process, which share memory and descriptors. `line` is the
content of `syscall`, `stack` that of `stack`, or None if it may not be read.

The line is `NUMBER A0 … A5 SP PC`; `-1 SP PC` for a task that was interrupted in user code;
`running`. A kernel thread has no user registers and prints zeros, which would read as read(0, NULL,
0): its PC tells. A zombie prints `-1 0x0 0x0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from procmirror.decoding.view import Machine, Record, doc
from procmirror.stack import calls
from procmirror.stack.arguments import shown, unused
from procmirror.stack.caller import Caller
from procmirror.stack.notes import notes
from procmirror.stack.snapshot import where

# net/socket.c and include/uapi/linux/net.h, from 1.
_SOCKETCALLS = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto "
    "recvfrom shutdown setsockopt "
    "getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
)
# ipc/syscall.c: the calls that may block, with the places of their arguments; msgrcv has two forms
# and stays as it is.
_IPC_CALLS = {
    1: ("semop", (1, 4, 2)),
    4: ("semtimedop", (1, 4, 2, 5)),
    11: ("msgsnd", (1, 4, 2, 3)),
}

State = Literal["system call", "user code", "running", "no user context"]


class Argument(Record, frozen=True):
    """One argument that this call has."""

    name: Annotated[str, doc("Name, as the kernel's own source has it")]
    type: Annotated[
        str, doc("Type in the kernel's source; empty for a call that this version does not know")
    ]
    value: Annotated[str, doc("The register, in hexadecimal")]
    text: Annotated[
        str, doc("The value for people, with what it points or refers to where that can be read")
    ]


class SystemCall(Record, frozen=True):
    """What a task does at the border between its program and the kernel."""

    state: Annotated[
        State,
        doc(
            "`system call`: blocked in the one named here; `user code`: not in one, stopped or "
            "interrupted in its own code; "
            "`running`: on a CPU or about to be; `no user context`: a kernel thread, or a task "
            "that has ended"
        ),
    ]
    abi: Annotated[
        str | None,
        doc("Whose system call it is: `x86_64`, `i386`, `x32`, `arm64`, `arm`, `riscv64`, …"),
    ]
    number: Annotated[int | None, doc("Its number; bit 30 marks x32")]
    name: Annotated[str | None, doc("Its name; null for a number without one")]
    arguments: Annotated[
        list[Argument], doc("Its arguments, without those that this use of the call does not have")
    ]
    notes: Annotated[
        list[str],
        doc(
            "What else is known of it: the set it polls, who looks like the owner of its lock, "
            "children"
        ),
    ]
    sp: Annotated[str | None, doc("Stack pointer of the program")]
    pc: Annotated[str | None, doc("Program counter of the program")]


_ABSENT = SystemCall("running", None, None, None, [], [], None, None)


def decode(caller: Caller, line: bytes, stack: bytes | None, machine: Machine) -> SystemCall:
    """What the line says, with what the memory and the descriptors of `caller` add.

    Raises ValueError for a line that is none of the three forms.
    """
    at = where(line.removesuffix(b"\n"))
    if at is None:
        return _ABSENT
    number, registers = at.number, at.arguments
    pointers = {"sp": hex(at.sp), "pc": hex(at.pc)}
    if not at.pc:
        return SystemCall("no user context", None, None, None, [], [], None, None)
    if number < 0 or not registers:
        return SystemCall("user code", None, None, None, [], [], **pointers)
    caller.begin()
    abi = calls.abi(machine.architecture, number, (at.sp, at.pc), stack)
    call, arguments, remarks = _explained(caller, number, abi, registers, machine)
    return SystemCall("system call", abi, number, call, arguments, remarks, **pointers)


def _explained(
    caller: Caller, number: int, abi: str, registers: Sequence[int], machine: Machine
) -> tuple[str | None, list[Argument], list[str]]:
    name = calls.named(number, abi)
    if calls.word(abi) == 4:
        registers = [value & 0xFFFFFFFF for value in registers]
    if name in {"socketcall", "ipc"}:
        name, registers = _inner(caller, name, registers)
    function = calls.function(name, abi) if name else None
    if name is None or function is None:
        return (
            name,
            [Argument(f"a{at}", "", hex(value), hex(value)) for at, value in enumerate(registers)],
            [],
        )
    call = calls.Call(
        name, function, calls.word(abi), calls.assigned(function, abi, registers), caller
    )
    left_out = unused(call, machine.architecture)
    arguments = [
        Argument(
            parameter.name,
            parameter.type,
            hex(value),
            shown(call, parameter, value, machine.architecture),
        )
        for parameter, value in call.arguments
        if parameter.name not in left_out
    ]
    return name, arguments, list(notes(call))


def _inner(caller: Caller, name: str, registers: Sequence[int]) -> tuple[str, Sequence[int]]:
    """The call that socketcall(2) or ipc(2) of a 32-bit task stands for, with its own arguments."""
    if name == "socketcall":
        inner = dict(enumerate(_SOCKETCALLS.split(), 1)).get(registers[0])
        values = caller.numbers(registers[1], 4, 6) if inner else []
        return (
            (inner, [value & 0xFFFFFFFF for value in values])
            if inner and values
            else (name, registers)
        )
    if registers[0] in _IPC_CALLS:
        inner, places = _IPC_CALLS[registers[0]]
        return inner, [registers[place] for place in places]
    return name, registers


_WORDS = {
    "user code": "in user code, not in a system call (stopped, interrupted or faulting)",
    "running": "running (on a CPU or about to be)",
    "no user context": "no user context (a kernel thread, or it has ended)",
}


def lines(call: SystemCall, architecture: str = "x86_64") -> list[str]:
    """The call on one line, and an indented line for each note."""
    if call.state != "system call":
        return [_WORDS[call.state]]
    foreign = "" if calls.is_native(call.abi or "", architecture) else f" [{call.abi}]"
    arguments = ", ".join(f"{one.name}={one.text}" for one in call.arguments)
    return [
        f"{call.name or f'syscall_{call.number}'}({arguments}){foreign}",
        *(f"    {note}" for note in call.notes),
    ]
