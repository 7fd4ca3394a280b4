"""A user whose request about itself waits while the mirror gives the directories of processes back.

As a program: `python -m tests.attack.borrowed MIRROR USER VICTIM…`. It reads its own `smaps` while
reads that take the kernel long keep the lock of that file, and looks at each VICTIM meanwhile. Once
for each line of its stdin it writes what it was told: how many times, by the mapping that the file
begins with whether it is its own, and how often it waited until all VICTIMs were looked at.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.attack import users

# So many mappings take the kernel milliseconds.
_MAPPINGS = 50_000
_READERS, _TRIES = 30, 12
_QUEUED_SECONDS = 0.02


def _mapped() -> list[mmap.mmap]:
    """Many mappings that the kernel cannot join."""
    rights = (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE)
    return [mmap.mmap(-1, 4096, prot=rights[one % 2]) for one in range(_MAPPINGS)]


def _first_of(content: bytes) -> bytes:
    """Where the first mapping begins and ends."""
    return content.partition(b" ")[0]


class Try:
    """One request that waits behind others for the lock of its own process."""

    def __init__(self, own: str) -> None:
        self.own = own
        self.told = b""
        self.slow = [os.open(f"{own}/smaps_rollup", os.O_RDONLY) for _ in range(_READERS)]

    def _read(self) -> None:
        with suppress(OSError), open(f"{self.own}/smaps", "rb", buffering=0) as file:
            self.told = file.read(4096)

    def _read_slow(self, descriptor: int) -> None:
        with suppress(OSError):
            os.read(descriptor, 1 << 16)
        os.close(descriptor)

    def run(self, meanwhile: Callable[[], None]) -> bool:
        """Ask, and do something `meanwhile`; whether it was done before the answer."""
        readers = [
            threading.Thread(target=self._read_slow, args=(descriptor,)) for descriptor in self.slow
        ]
        for reader in readers:
            reader.start()
        time.sleep(_QUEUED_SECONDS)
        asker = threading.Thread(target=self._read)
        asker.start()
        time.sleep(_QUEUED_SECONDS)
        meanwhile()
        waited = asker.is_alive()
        for thread in (asker, *readers):
            thread.join()
        return waited


def _say(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def _main() -> None:
    mirror, user, *victims = sys.argv[1:]
    users.become(int(user))
    kept = _mapped()
    own = f"{mirror}/{os.getpid()}"
    with open("/proc/self/smaps", "rb", buffering=0) as file:
        first = _first_of(file.read(4096))

    def look() -> None:
        for victim in victims:
            with suppress(OSError):
                os.lstat(f"{mirror}/{victim}/status")

    _say(len(kept))
    for _ in sys.stdin:
        result = {"own": 0, "others": 0, "refused": 0, "waited": 0}
        for _ in range(_TRIES):
            one = Try(own)
            result["waited"] += one.run(look)
            kind = "own" if _first_of(one.told) == first else "others"
            result[kind if one.told else "refused"] += 1
        _say(result)


if __name__ == "__main__":
    _main()
