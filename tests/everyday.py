"""A machine as users know it, without changing this one.

A mount namespace whose files of FUSE are what a test wants.

On most machines everybody may open /dev/fuse; on a build machine often only root may. What is
changed here, nobody else sees.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import DEADLINE, ROOT, ended, until
from tests.mounting import Mount
from tests.programs import Ran, descendants, killed, ran, running, started

_PREPARED = """
    mount -t tmpfs -o dev,mode=755 none /mnt && cd /mnt
    mknod -m 666 fuse c 10 229 && mount --bind fuse /dev/fuse
    cp -a /etc etc && mount --bind etc /etc
    echo "visitor:x:$1:$1::/:/bin/sh" >> /etc/passwd && echo > /etc/fuse.conf
"""
# Others may be served, too.
OPEN = "user_allow_other\n"


@dataclass(frozen=True)
class Everyday:
    """The namespace; its /mnt is gone with it, its /etc is a copy. `user` has a name there."""

    pid: int
    user: int

    @property
    def within(self) -> tuple[str, ...]:
        """What stands before a command that is to run there."""
        return ("nsenter", "-t", str(self.pid), "-m", "env", f"PYTHONPATH={ROOT}")

    def as_user(self, *groups: int) -> tuple[str, ...]:
        """The same for a command of the user's, who is in these groups too."""
        more = (f"--groups={','.join(map(str, groups))}",) if groups else ("--clear-groups",)
        return (*self.within, "setpriv", f"--reuid={self.user}", f"--regid={self.user}", *more)

    def root(self, command: str, *arguments: object) -> Ran:
        """A line of sh(1), by root."""
        return ran(*self.within, "sh", "-c", command, "sh", *arguments)

    def ran(self, *command: object) -> Ran:
        """A command of the user's that has ended."""
        return ran(*self.as_user(), *command)

    def configure(self, content: str) -> None:
        """The content of /etc/fuse.conf."""
        Path(f"/proc/{self.pid}/root/etc/fuse.conf").write_text(content)

    def folder(self, name: str) -> Path:
        """An empty directory of the user's, by its path there."""
        outside = Path(f"/proc/{self.pid}/root/mnt", name)
        outside.mkdir()
        os.chown(outside, self.user, self.user)
        return Path("/mnt", name)

    def mounted_at(self, place: Path) -> list[list[str]]:
        """The mountinfo lines of a place there."""
        lines = map(str.split, Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines())
        return [fields for fields in lines if fields[4] == str(place)]

    def unmount(self, place: Path) -> None:
        """Unmount a mirror as the user, when nobody looks at it any more."""
        answers: list[Ran] = []

        def is_free() -> bool:
            answers.append(self.ran("fusermount3", "-u", place))
            return "busy" not in answers[-1].err

        until(is_free, "it is in use")
        assert answers[-1] == (0, "", ""), answers[-1]

    @contextlib.contextmanager
    def mounted(
        self,
        name: str,
        *options: str,
        program: Sequence[str] = ("-m", "procmirror"),
        groups: Sequence[int] = (),
    ) -> Iterator[Mount]:
        """A mirror that the user has mounted, until he unmounts it at the end.

        Its daemon must end well and leave nothing.
        """
        place = self.folder(name)
        log = Path(f"/proc/{self.pid}/root/mnt", f"{name}.log")
        command = (*self.as_user(*groups), sys.executable, *program, place, "-f", *options)
        with log.open("wb") as output:
            daemon = started(*command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        processes = [daemon.pid]
        try:
            until(lambda: self.mounted_at(place) or daemon.poll() is not None, "it is not mounted")
            assert daemon.poll() is None, log.read_text()
            yield Mount(place, daemon.pid, log)
            processes = descendants(daemon.pid)
            self.unmount(place)
            assert daemon.wait(DEADLINE) == 0
        finally:
            killed(*processes, by=signal.SIGKILL)
            daemon.wait(DEADLINE)
        until(lambda: all(map(ended, processes)), "processes are left")
        assert "Traceback" not in log.read_text(errors="replace")


@contextlib.contextmanager
def everyday(user: int) -> Iterator[Everyday]:
    """Such a machine for the time of a block."""
    with running(
        "unshare", "-m", "--propagation", "private", "sleep", "infinity", name="sleep"
    ) as pid:
        machine = Everyday(pid, user)
        assert machine.root(_PREPARED, user) == (0, "", "")
        yield machine
