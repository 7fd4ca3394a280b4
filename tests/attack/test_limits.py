"""What the kernel counts for a user, and the user has used up, is missing to nobody else.

The mirror's processes are root's, but for the workers in a user namespace of that user's.
"""

from __future__ import annotations

import errno
import json

import pytest

from tests.attack.scene import measured, undisturbed
from tests.programs import ran
from tests.reliability.mirrors import mirrored

# A user of this test alone, whose processes are counted.
LIMITED = 61028
NAMES = ("self/environ.txt", "self/status.json", "self/stack.txt", "self/fd", "processes.txt")
_PROCESSES = "resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))\n"
_SIGNALS = "resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0))\n"
# As many descriptors under way in messages of UNIX sockets as the user may have (unix(7)).
_IN_FLIGHT = """
most = min(2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
kept = []
try:
    while True:
        kept.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        for _ in range(8):
            socket.send_fds(kept[-1][0], [b"x"], [0] * 250)
except OSError as full:
    assert full.errno == errno.ETOOMANYREFS, full
"""
_ENTER = """
users = ctypes.CDLL(None, use_errno=True).unshare(0x10000000)
assert not users, ctypes.get_errno()
"""
_ASK = """
said = {}
for name in sys.argv[2:]:
    path = f"{sys.argv[1]}/{name}"
    try:
        said[name] = len(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read())
    except OSError as refused:
        said[name] = -refused.errno
print(json.dumps(said))
"""
_IMPORT = "import ctypes, errno, json, os, resource, socket, sys\n"


@pytest.mark.parametrize("inside", ["", _ENTER], ids=["", "in a user namespace"])
@pytest.mark.parametrize(
    "limit", [_PROCESSES, _SIGNALS, _IN_FLIGHT], ids=["processes", "signals", "descriptors"]
)
def test_who_has_used_up_what_he_may_is_alone_in_that(limit: str, inside: str) -> None:
    program = _IMPORT + limit + inside + _ASK
    with mirrored() as mirror, undisturbed(mirror):
        asked = ran("/usr/bin/python3", "-c", program, mirror.path, *NAMES, user=LIMITED)
        assert not asked.err
        said: dict[str, int] = json.loads(asked.out)
        # A walk over all processes needs a thread, which in that namespace counts as the user's.
        may_fail = {"processes.txt"} if inside and limit is _PROCESSES else set()
        refused = {name: -size for name, size in said.items() if size <= 0}
        assert set(refused) == may_fail
        assert set(refused.values()) <= {errno.EAGAIN}
        measured(mirror, 1).check()
