"""What a right was good for ends with it.

With the OPEN it was added for, and with the work a worker did in its name.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import until
from tests.mounting import Mount
from tests.programs import running
from tests.reliability.mirrors import living, mirrored, threads_of
from tests.reliability.stuck import stuck

USER = 61003
# So many descriptors that looking at each takes much longer than it takes to run another program.
HELD = 12_000
# A user's process that opens a view of its own, hands it on, and becomes a program of root's.
_BECOMES_ROOT = """
import os, resource, socket, sys
view, held, program, channel = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
first = os.open(sys.argv[5], os.O_RDONLY)
for _ in range(held):
    os.set_inheritable(os.dup(first), True)
opened = os.open(view.format(os.getpid()), os.O_RDONLY)
socket.send_fds(socket.socket(fileno=channel), [b"opened"], [opened])
os.execv(program, [program, "600"])
"""


@pytest.fixture
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


def rest(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, 1 << 17):
        pieces.append(piece)
    return b"".join(pieces)


def test_who_has_looked_at_himself_and_become_another_is_not_looked_into(
    own_mirror: Mount, tmp_path: Path
) -> None:
    """What is told of descriptors after the reader has become root is what root may learn.

    A name that is only given then tells.
    """
    program, named, renamed = tmp_path / "sleep", tmp_path / "before", tmp_path / "after"
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o755)
    shutil.copy("/bin/sleep", program)
    program.chmod(0o4755)
    named.touch(0o644)
    ours, theirs = socket.socketpair()
    command = [
        sys.executable,
        "-c",
        _BECOMES_ROOT,
        own_mirror.path / "{}" / "fd.json",
        HELD,
        program,
        theirs.fileno(),
        named,
    ]
    with running(
        "prlimit",
        f"--nofile={HELD + 100}",
        *command,
        user=USER,
        name="sleep",
        pass_fds=[theirs.fileno()],
    ) as pid:
        _, (opened, *_), _, _ = socket.recv_fds(ours, 10, 1)
        until(lambda: Path(f"/proc/{pid}/status").stat().st_uid == 0, "it does not become root")
        named.rename(renamed)
        content = rest(opened)
        os.close(opened)
    ours.close()
    theirs.close()
    assert len(json.loads(content)) >= HELD, "all that was held when it was opened"
    assert str(renamed).encode() not in content


# USER's: holds snapshots until there is a little less room than processes.ndjson takes, for as long
# as its stdin is open.
_ALMOST_FULL = """
import os, sys
mirror, room, short = sys.argv[1], 64 << 20, 110_000
def size(path):
    with open(f"{mirror}/{path}", "rb") as view:
        return len(view.read())
left = size("processes.ndjson") - short
for path in (f"{sys.argv[2]}/environ.json", "self/maps.json", "self/status.json"):
    taken = size(path)
    while room - taken >= left:
        os.open(f"{mirror}/{path}", os.O_RDONLY)
        room -= taken
print("full", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def almost_full(own_mirror: Mount, large: int) -> Iterator[None]:
    """The account of USER has no room for another snapshot of all processes.

    `large` is one with a large environment.
    """
    program = subprocess.Popen(
        [sys.executable, "-c", _ALMOST_FULL, own_mirror.path, str(large)],
        user=USER, group=USER, extra_groups=[], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert program.stdin and program.stdout
    try:
        assert program.stdout.readline() == b"full\n"
        yield
    finally:
        program.stdin.close()
        program.wait(20)
        program.stdout.close()


def read_by_user(path: Path) -> int:
    """The errno that USER gets who reads all of it, 0 if none."""
    script = (
        "import os, sys\ntry:\n    with open(sys.argv[1], 'rb', buffering=0) as view:\n        while view.read(1 << 17):\n"
        "            pass\nexcept OSError as refused:\n    sys.exit(refused.errno)"
    )
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(
        command, user=USER, group=USER, extra_groups=[], check=False, timeout=60
    ).returncode


# It counts the processes of the machine.
@pytest.mark.alone
def test_a_worker_in_which_somebody_still_waits_is_not_used_again(own_mirror: Mount) -> None:
    """It would be asked about itself by the number of the thread that waits, and of itself the kernel tells it everything."""
    with contextlib.ExitStack() as until_done:
        environment = {f"A{number}": "x" * 100_000 for number in range(19)}
        large = until_done.enter_context(running("sleep", "600", user=USER, env=environment))
        # Records are handed over 64 at a time: it has to hang with enough of them made that are
        # not.
        while sum(name.isdigit() for name in os.listdir("/proc")) % 64 != 50:
            until_done.enter_context(running("sleep", "600", env={}))
        until_done.enter_context(almost_full(own_mirror, large))
        until_done.enter_context(stuck(1, USER))
        assert read_by_user(own_mirror.path / "processes.ndjson") in {errno.ENFILE, errno.EIO}
        until(
            lambda: all(threads_of(pid) <= 1 for pid in living(own_mirror)[1:]),
            "a worker has a thread too many",
        )
