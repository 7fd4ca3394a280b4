"""Root that gives up rights between two requests is refused by the second, as by /proc.

Who takes them back is answered again.
"""

from __future__ import annotations

import errno
import json
import os
import sys

import pytest

from tests.mounting import Mount
from tests.programs import ran, running

TARGET = 61051
# What a thread does to itself, which may be seen no other way than by its status, or a part of it.
_GIVES_UP = {
    "its user": "os.setgroups([]); os.setresgid(7, 7, 7); os.setresuid(7, 7, 7)",
    "its user for files": "libc.setfsuid(7)",
    "its capabilities": "cap(0)",
    # Those to trace, to administer and to measure: each of them reads the memory of others.
    "some capabilities": "cap(ALL & ~(1 << 19 | 1 << 21 | 1 << 38))",
    "its user namespace": "libc.unshare(0x10000000)",
}
_ASKS = """
import ctypes, json, os, struct, sys
libc = ctypes.CDLL(None)
ALL = next(int(line.split()[1], 16) for line in open("/proc/self/status") if line.startswith("CapEff"))
def cap(mask):
    low, high = mask & 0xffffffff, mask >> 32
    assert libc.syscall({capset}, struct.pack("Ii", 0x20080522, 0), struct.pack("6I", low, low, 0, high, high, 0)) == 0
def asked(place):
    said = []
    for ask in (lambda: os.readlink(place + "/fd/0"), lambda: os.lstat(place + "/fd/0").st_mode,
                lambda: open(place + "/fdinfo/0").read(), lambda: open(place + "/environ").read(1)):
        try:
            said.append(ask())
        except OSError as refused:
            said.append(refused.errno)
    return said
native, mirrored = ("/proc/" + sys.argv[2], sys.argv[1] + "/" + sys.argv[2])
before = [asked(mirrored) for _ in range(4)]
{gives_up}
print(json.dumps([before[-1], asked(mirrored), asked(native)]))
"""


@pytest.mark.root
@pytest.mark.parametrize("what", _GIVES_UP)
def test_what_was_given_up_does_not_answer(mirror: Mount, what: str) -> None:
    capset = {"x86_64": 126}.get(os.uname().machine, 91)
    program = _ASKS.replace("{capset}", str(capset)).replace("{gives_up}", _GIVES_UP[what])
    with running("sleep", "600", user=TARGET) as pid:
        asked = ran(sys.executable, "-S", "-c", program, mirror.path, pid)
        assert asked.code == 0, asked.err
    before, mirrored, native = json.loads(asked.out)
    assert not any(isinstance(one, int) and one < 200 for one in before)
    assert mirrored == native
    assert isinstance(native[3], int)


_CHANGES = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None)
def asked(place):
    try:
        return len(os.readlink(place + "/fd/0"))
    except OSError as refused:
        return -refused.errno
found = []
for _ in range(40):
    for user in (0, 0, 7):
        libc.setfsuid(user)
        found.append([asked(place) for place in sys.argv[1:]])
print(json.dumps(found))
"""


@pytest.mark.root
def test_a_thread_that_is_now_root_and_now_another_is_always_the_present_one(mirror: Mount) -> None:
    """As servers of files are: by setfsuid(2), many times in a second."""
    with running("sleep", "600") as pid:
        asked = ran(sys.executable, "-S", "-c", _CHANGES, mirror.path / str(pid), f"/proc/{pid}")
        assert asked.code == 0, asked.err
    found = json.loads(asked.out)
    assert {tuple(one) for one in found[2::3]} == {(-errno.EACCES, -errno.EACCES)}
    assert [mirrored for mirrored, _ in found] == [native for _, native in found]
