"""/proc/timer_list: every high-resolution timer, and the hardware behind them.

Source: proc_timer_list(5), kernel/time/timer_list.c.

A part for each CPU: its clocks with their timers, then its own state; after these a part for each
tick device. Times without a unit are nanoseconds where the kernel's variable is; the largest one
that there is means never. Addresses are hashed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Annotated, TypeAlias, TypeVar

from msgspec import UNSET

from procmirror.decoding.reasons import SURPRISES, expected
from procmirror.decoding.shapes import cpu_mask, flags, hexadecimal, number
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

Made = TypeVar("Made")

Fact: TypeAlias = int | float | str | list[int] | None

# So many digits may be a number of more than 64 bits.
_DIGITS = 19
# The head of a clock, a timer or its times, as far as it has not its form.
_ODD_HEAD = re.compile(r" \S")
CLOCK = re.compile(r" clock (\d{1,19}):")
TIMER = re.compile(r" #(\d{1,19}): <([0-9a-f]+)>, ([^,]+), S:([0-9a-f]+)(?:, (.*))?")
EXPIRES = re.compile(
    r" # expires at (\d{1,20})-(\d{1,20}) nsecs \[in (-?\d{1,20}) to (-?\d{1,20}) nsecs\]"
)
FACT = re.compile(r" *\.?(\w[\w ]*?) *: *(.*)")
BROADCAST = "Broadcast device"
# The other lines of a tick device that are not indented.
OF_DEVICE = {
    *("Per CPU device", "Clock Event Device", "Wakeup Device"),
    *("tick_broadcast_mask", "tick_broadcast_oneshot_mask"),
}
OF_CLOCK = {"base", "index", "resolution", "get_time", "offset"}
NANOSECONDS = {"max_hang_time", "next_timer", "max_delta_ns", "min_delta_ns"}
NUMBER = re.compile(r"-?\d{1,20}")
NEVER = 2**63 - 1
STATES = {1: "enqueued", 2: "callback", 4: "migrate"}
# enum tick_device_mode and enum clock_event_state.
TICK_MODES = ("periodic", "oneshot")
EVENT_STATES = ("detached", "shutdown", "periodic", "oneshot", "oneshot stopped")


class Timer(Record, frozen=True):
    """One timer."""

    number: Annotated[int, doc("Its place, the next to expire first")]
    address: Annotated[str, doc("Its address, or a hash of it")]
    function: Annotated[str, doc("What the kernel calls when it expires")]
    state: Annotated[list[str], doc("enqueued; callback and migrate before Linux 4.2")]
    soft: Annotated[float, doc("When it may expire, on its clock", "seconds")]
    hard: Annotated[float, doc("When it must expire, on its clock", "seconds")]
    soft_in: Annotated[float, doc("When it may expire, from now", "seconds")]
    hard_in: Annotated[float, doc("When it must expire, from now", "seconds")]
    started: Annotated[
        str | None, doc("Who started it: function, command and pid (before Linux 4.11)")
    ]


class Clock(Record, frozen=True):
    """One clock of a CPU."""

    clock: Annotated[int, doc("Its number (enum hrtimer_base_type)")]
    facts: Annotated[dict[str, Fact], doc("base, index, then resolution and offset in seconds")]
    timers: Annotated[list[Timer], doc("Its timers")]


class Cpu(Record, frozen=True):
    """One CPU."""

    cpu: Annotated[int, doc("Its number")]
    clocks: Annotated[list[Clock], doc("Its clocks")]
    facts: Annotated[
        dict[str, Fact],
        doc("Its state, times in seconds, null for never; idle_jiffies and the like are jiffies"),
    ]


class TickDevice(Record, frozen=True):
    """One tick device."""

    mode: Annotated[str, doc("periodic or oneshot")]
    cpu: Annotated[int | None, doc("Whose it is; null: it wakes the others by broadcast")]
    name: Annotated[str | None, doc("The clock event device; null without one")]
    state: Annotated[str | None, doc("What the device does: shutdown, periodic, oneshot, …")]
    max_delta: Annotated[float | None, doc("The longest time that it can be set to", "seconds")]
    min_delta: Annotated[float | None, doc("The shortest time that it can be set to", "seconds")]
    next_event: Annotated[float | None, doc("When it will interrupt; null: never", "seconds")]
    facts: Annotated[dict[str, Fact], doc("All other lines")]


class TimerList(Record, frozen=True):
    """The clocks and timers of all CPUs: the whole file."""

    version: Annotated[str | None, doc("Version of the format")]
    HRTIMER_MAX_CLOCK_BASES: Annotated[int | None, doc("Clocks that each CPU has")]
    now: Annotated[float | None, doc("Time of the reading, on the monotonic clock", "seconds")]
    cpus: Annotated[list[Cpu], doc("The CPUs")]
    devices: Annotated[list[TickDevice], doc("The tick devices")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> TimerList:
    """The top, then part after part."""
    top, *parts = re.split(r"^(?=cpu: |Tick Device: )", decoded(raw), flags=re.MULTILINE)
    now = re.search(r"^now at (\d{1,20}) nsecs$", top, re.MULTILINE)
    head, odd = _head(top.replace(now[0], "") if now else top)
    if not now and not parts:
        raise expected("a line `now at … nsecs`", top)
    cpus, devices = _parts(parts, "cpu: ", _cpu, odd), _parts(parts, "Tick Device: ", _device, odd)
    return TimerList(
        version=head.pop("Timer List Version", None),
        HRTIMER_MAX_CLOCK_BASES=_count(head, "HRTIMER_MAX_CLOCK_BASES"),
        now=int(now[1]) / 1e9 if now else None,
        cpus=cpus,
        devices=devices,
        extra=head | dict.fromkeys(odd, "") or UNSET,
    )


def _head(top: str) -> tuple[dict[str, str], list[str]]:
    """What the first lines say, and those of another form or of a part without a head."""
    head: dict[str, str] = {}
    odd: list[str] = []
    for line in filter(str.strip, top.split("\n")):
        match = None if line[0].isspace() else FACT.fullmatch(line)
        if match and match[1] not in head:
            head[match[1]] = match[2]
        else:
            odd.append(line.strip())
    return head, odd


def _count(head: dict[str, str], key: str) -> int | None:
    """A number of the first lines, taken from them; what is none, or too large, stays there."""
    word = head.get(key, "")
    return int(head.pop(key)) if NUMBER.fullmatch(word) and len(word) < _DIGITS else None


def _parts(
    parts: Sequence[str], begins: str, make: Callable[[list[str]], Made], odd: list[str]
) -> list[Made]:
    """The records of the parts that begin so; the lines of one of another form go into `odd`."""
    found = []
    for lines in (part.split("\n") for part in parts if part.startswith(begins)):
        try:
            found.append(make(lines))
        except SURPRISES:
            odd += [line.strip() for line in lines if line.strip()]
    return found


def _fact(key: str, value: str) -> Fact:
    """A value: seconds, null for never, CPUs of a mask, a number or the text."""
    if key == "base":
        return f"0x{value}"
    if key.endswith("_mask"):
        return cpu_mask(value)
    word, _, unit = value.partition(" ")
    try:
        count = number(word if unit in {"", "nsecs"} and NUMBER.fullmatch(word) else value)
    except ValueError:
        return None if value == "<NULL>" else value
    if unit or key in NANOSECONDS:
        return None if count >= NEVER else count / 1e9
    return count


def _cpu(lines: list[str]) -> Cpu:
    clocks: list[Clock] = []
    facts: dict[str, Fact] = {}
    timer: re.Match[str] | None = None
    above: Clock | None = None  # nobody's are the lines below an odd one
    own = list(takewhile(_is_of_cpu, lines[1:]))
    odd = list(filter(str.strip, lines[1 + len(own) :]))
    for line in own:
        if match := CLOCK.fullmatch(line):
            above = Clock(int(match[1]), {}, [])
            clocks.append(above)
        elif above and (match := TIMER.fullmatch(line)):
            timer = match
        elif above and timer and (match := EXPIRES.fullmatch(line)):
            above.timers.append(_timer(timer, match))
            timer = None
        elif _ODD_HEAD.match(line) or not (match := FACT.fullmatch(line)):
            odd += [timer[0], line] if timer else [line]
            timer = None
            above = None if _ODD_HEAD.match(line) and not line.startswith(" #") else above
        elif match[2] and match[1] not in OF_CLOCK:
            facts[match[1]] = _fact(match[1], match[2])
        elif match[2] and above:
            above.facts[match[1]] = _fact(match[1], match[2])
        elif match[2]:
            odd.append(line)
    facts |= {line.strip(): "" for line in odd if line.strip()}
    return Cpu(number(lines[0].removeprefix("cpu: ")), clocks, facts)


def _is_of_cpu(line: str) -> bool:
    """Whether a line is of the CPU above it: indented, a title of its timers, or a fact."""
    return line[:1] in {"", " "} or line.endswith(":") or bool(FACT.fullmatch(line))


def _is_of_device(line: str) -> bool:
    """Whether a line is of the tick device above it: indented, or one of the known others."""
    return line[:1] in {"", " "} or line == BROADCAST or line.partition(":")[0] in OF_DEVICE


def _odd(lines: list[str]) -> dict[str, Fact]:
    """The lines of another form, each with an empty text."""
    found = (line.strip() for line in lines if not FACT.fullmatch(line))
    return {line: "" for line in found if line not in {"", BROADCAST}}


def _timer(timer: re.Match[str], expires: re.Match[str]) -> Timer:
    soft, hard, soft_in, hard_in = (int(nanoseconds) / 1e9 for nanoseconds in expires.groups())
    state = flags(hexadecimal(timer[4]), STATES)
    return Timer(
        int(timer[1]), f"0x{timer[2]}", timer[3], state, soft, hard, soft_in, hard_in, timer[5]
    )


def _device(lines: list[str]) -> TickDevice:
    """A tick device; from a line on that is none of its own, the lines stand as text."""
    own = [lines[0], *takewhile(_is_of_device, lines[1:])]
    found = {match[1]: match[2] for match in map(FACT.fullmatch, own) if match and match[2]}
    mode, state = int(found.pop("Tick Device").removeprefix("mode:")), found.pop("mode", None)
    facts = {key: _fact(key, value) for key, value in found.items()} | _odd(own)
    facts |= {line.strip(): "" for line in lines[len(own) :] if line.strip()}
    return TickDevice(
        mode=TICK_MODES[mode],
        cpu=number(found["Per CPU device"])
        if facts.pop("Per CPU device", None) is not None
        else None,
        name=_text(facts.pop("Clock Event Device")),
        state=EVENT_STATES[int(state)] if state else None,
        max_delta=_seconds(facts.pop("max_delta_ns", None)),
        min_delta=_seconds(facts.pop("min_delta_ns", None)),
        next_event=_seconds(facts.pop("next_event", None)),
        facts=facts,
    )


def _text(fact: Fact) -> str | None:
    return None if fact is None else str(fact)


def _seconds(fact: Fact) -> float | None:
    if fact is None or isinstance(fact, float):
        return fact
    raise expected("a time", str(fact))
