"""Processes in mount namespaces of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import running
from tests.stack.targets import asleep

APART = ("unshare", "-m", "--propagation", "private")


@contextmanager
def waiting_for_a_fifo(folder: Path) -> Iterator[int]:
    """A process of a mount namespace of its own that reads a FIFO, open for both as its fd 0.

    The FIFO is the first file of a tmpfs, which is mounted at `folder` for the process alone.
    """
    script = 'mount -t tmpfs tmpfs "$0" && mkfifo "$0/fifo" && exec cat <>"$0/fifo"'
    with running(*APART, "sh", "-c", script, folder, name="cat") as pid:
        asleep(pid)
        yield pid
