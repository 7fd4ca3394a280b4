"""What is seen of processes whose names the kernel may still keep from a moment ago.

Run as the first process of a new pid namespace with its own /proc: `python -m tests.clients.kept
PLACE`, which mounts a mirror there. Prints as JSON what a number said while its process lived, and
at once after it had passed to another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.clients.reused import outcome


def named(name: str, number: int = 0) -> int:
    """A process that is called so, and waits; with `number` one of that number."""
    while True:
        if number:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            Path("/proc/self/comm").write_text(name)
            os.write(told, b"!")
            time.sleep(600)
        os.read(ready, 1)
        os.close(ready)
        os.close(told)
        if number in {0, child}:
            return child
        ended(child)


def ended(child: int) -> None:
    """End it, and take note of it."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main() -> None:
    """Twenty times, as fast as it goes."""
    place = Path(sys.argv[1])
    daemon = subprocess.Popen(
        [sys.executable, "-m", "procmirror", "-f", place], stdin=subprocess.DEVNULL
    )
    while not os.path.ismount(place):
        assert daemon.poll() is None
        time.sleep(0.05)
    said = []
    for _ in range(20):
        first = named("first")
        process = place / str(first)
        before = outcome((process / "comm").read_text), outcome((process / "comm.json").read_text)
        ended(first)
        between = outcome((process / "comm").read_text)
        second = named("second", first)
        after = outcome((process / "comm").read_text), outcome((process / "comm.json").read_text)
        links = (
            outcome(partial(os.readlink, process / "cwd")),
            outcome(partial(os.listdir, process / "fd")),
        )
        said.append({"before": before, "between": between, "after": after, "links": links})
        ended(second)
    json.dump(said, sys.stdout)
    subprocess.run(["umount", "-l", place], check=True, timeout=20)
    daemon.wait(20)


if __name__ == "__main__":
    main()
