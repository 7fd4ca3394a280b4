"""How long a call still waits that has an absolute time, by the clock of its process."""

from __future__ import annotations

import re
from functools import cached_property

from procmirror.stack.caller import Caller
from procmirror.stack.syscalls import SystemCall
from procmirror.stack.target import Target

# An argument as `arguments` shows it: `until 1795960051.25 s`.
_UNTIL = re.compile(r"until (\d{1,12}(?:\.\d{1,9})?) s")
_OFFSET = re.compile(rb"^monotonic +(-?\d{1,12}) +(-?\d{1,10})$", re.MULTILINE)
_REALTIME, _MONOTONIC = "CLOCK_REALTIME", "CLOCK_MONOTONIC"


class Clocks:
    """The clocks of a process, for one request."""

    def __init__(self, target: Target, caller: Caller) -> None:
        self._target, self._caller = target, caller

    def left(self, call: SystemCall) -> float | None:
        """Seconds to the time that a call waits for.

        None without one, or with an unknown clock.
        """
        arguments = {one.name: one.text for one in call.arguments}
        found = (match for text in arguments.values() if (match := _UNTIL.fullmatch(text)))
        until = next(found, None)
        if until is None or not self._target.clock():
            return None
        now = self._now(_clock(call.name or "", arguments))
        return None if now is None else max(float(until[1]) - now, 0.0)

    def _now(self, clock: str) -> float | None:
        if clock == _REALTIME:
            return self._target.real_time()
        if clock != _MONOTONIC or self._ahead is None:
            return None
        return self._target.clock() + self._ahead

    @cached_property
    def _ahead(self) -> float | None:
        """By how many seconds the monotonic clock of the process is ahead (time_namespaces(7)).

        The kernel tells the offsets of the namespace of its children, which may be another.
        """
        target, process = self._target, self._caller.processes.removesuffix("../")
        try:
            if target.link(f"{process}ns/time") != target.link(f"{process}ns/time_for_children"):
                return None
            shift = _offset(target.system("self/timens_offsets"))
            return _offset(target.read(f"{process}timens_offsets")) - shift
        except OSError:
            return None


def _clock(name: str, arguments: dict[str, str]) -> str:
    """The clock of the time of a call (futex(2), clock_nanosleep(2), mq_receive(3))."""
    if name.startswith("mq_"):
        return _REALTIME
    if name.startswith("futex") and "op" in arguments:
        command, *flags = arguments["op"].split("|")
        real = command == "FUTEX_LOCK_PI" or "FUTEX_CLOCK_REALTIME" in flags
        return _REALTIME if real else _MONOTONIC
    return arguments.get("which_clock") or arguments.get("clockid") or ""


def _offset(raw: bytes) -> float:
    """The seconds by which the monotonic clock of a namespace is ahead."""
    match = _OFFSET.search(raw)
    return int(match[1]) + int(match[2]) / 1e9 if match else 0.0
