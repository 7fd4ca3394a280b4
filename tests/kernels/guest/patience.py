"""A mirror whose limits of time suit the pace of this machine.

An emulated processor, on a machine that others load, is ten to a hundred times slower than the one
for which the daemon's limits are meant. What it then gives up is no answer of the mirror's that
could be compared with the kernel's.
"""

from __future__ import annotations

import time

# How long the measured work takes on a processor that is not emulated, in seconds.
_WORK, _USUAL_SECONDS = 200_000, 0.01
# The load may become greater than it is when the pace is measured, and not all is as fast as that.
_RESERVE, _LEAST = 3, 60
# The limits beside --timeout, by module of the package.
_LIMITS = {
    "workers.calls": ("SHORT_TIMEOUT_SECONDS",),
    "workers.lock_queue": ("SHORT_TIMEOUT_SECONDS",),
    "workers.conversation": ("OVERDUE_SECONDS", "STUCK_SECONDS", "VIEW_SECONDS"),
    "workers.process": ("_LONGEST_SECONDS",),
    "workers.zygote": ("_ANSWER_SECONDS", "_PARENT_SECONDS"),
    "workers.parser_connection": ("_START_SECONDS",),
    "workers.parser_client": ("_GRACE_SECONDS",),
    "workers.parser_process": ("_CPU_SECONDS",),
    "identity.events": ("_SECONDS",),
    "procfs.bounded_walk": ("_STEP_SECONDS", "_SHORT_STEP_SECONDS"),
    "procfs.unix_peers": ("_SECONDS",),
}
_PROGRAM = """
from importlib import import_module
from procmirror.cli import main
for module, names in {limits}.items():
    loaded = import_module("procmirror." + module)
    for name in names:
        value = getattr(loaded, name)
        setattr(loaded, name, type(value)(value * {times}))
raise SystemExit(main.main())
"""


def times_slower() -> int:
    """How many times longer this machine may take than a usual one."""
    start = time.monotonic()
    for _ in range(_WORK):
        pass
    return max(_LEAST, round(_RESERVE * (time.monotonic() - start) / _USUAL_SECONDS))


TIMES = times_slower()
OPTIONS = ("--timeout", str(5 * TIMES))
PROGRAM = ("-c", _PROGRAM.format(limits=_LIMITS, times=TIMES))
