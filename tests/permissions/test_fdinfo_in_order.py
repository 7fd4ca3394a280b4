"""Files of `fdinfo` that are opened one after the other are told by the right of each moment.

The oracle is /proc: what it says, and when it begins to refuse.
"""

from __future__ import annotations

import json
import sys

from tests.mounting import Mount
from tests.permissions.requesters import OWNER
from tests.programs import ran

_ASKS = """
import ctypes, json, os, sys, time
told, tell = os.pipe(), os.pipe()
child = os.fork()
if not child:
    for at in range(40):
        os.lseek(os.open("/etc/passwd", os.O_RDONLY), at, os.SEEK_SET)
    os.write(told[1], b"x")
    os.read(tell[0], 1)
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    os.write(told[1], b"x")
    time.sleep(600)
os.read(told[0], 1)

def content(place, number):
    try:
        with open(f"{place}/{child}/fdinfo/{number}") as file:
            return file.read()
    except OSError as refused:
        return refused.errno

numbers = range(8, 30)
first = [[content(place, number) for number in numbers] for place in ("/proc", sys.argv[1])]
os.write(tell[1], b"x")
os.read(told[0], 1)
then = [[content(place, number) for number in range(30, 33)] for place in (sys.argv[1], "/proc")]
os.kill(child, 9)
print(json.dumps([first, then]))
"""


def test_what_is_read_ahead_is_told_only_while_the_file_may_be_opened(mirror: Mount) -> None:
    user = ("setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups")
    asked = ran(*user, sys.executable, "-S", "-c", _ASKS, mirror.path)
    (native, mirrored), (then, of_proc) = json.loads(asked.out)
    assert mirrored == native
    assert all(content.startswith("pos:") for content in mirrored)
    assert then == of_proc
    assert all(isinstance(errno, int) for errno in then)
