"""/proc/PID/syscall: the system call in which the task is blocked.

Source: proc_pid_syscall in fs/proc/base.c.

`stack` tells the ABI; memory, descriptors and the tables of PID/net tell what the arguments mean.
Each is asked for as the requester, and what it may not read stays a number.
"""

from __future__ import annotations

from contextlib import suppress

from msgspec import structs

from procmirror.decoding.view import Machine, Reading
from procmirror.stack.caller import Caller
from procmirror.stack.syscalls import SystemCall, lines
from procmirror.stack.syscalls import decode as decoded_call

_TRIES = 3
_CHANGED = (
    "the task went on while this was read: what was read from its memory may belong to another call"
)


def join(reading: Reading, machine: Machine) -> SystemCall:
    """The call with its arguments.

    What they point to is only right if the task is still in the same call afterwards.
    """
    line = reading.read("syscall")
    for _ in range(_TRIES):
        stack = None
        with suppress(OSError):
            stack = reading.read("stack")
        call = decoded_call(Caller(reading, machine), line, stack, machine)
        before, line = line, reading.read("syscall")
        if line == before or call.state != "system call":
            return call
    return structs.replace(call, notes=[*call.notes, _CHANGED])


def text(call: SystemCall, machine: Machine) -> str:
    """The call on one line, and a line for each thing it waits for."""
    return "".join(f"{line}\n" for line in lines(call, machine.architecture))
