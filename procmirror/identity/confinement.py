"""How a security module (AppArmor, SELinux, Smack) confines requesters: proc_pid_attr(5)."""

from __future__ import annotations

from procmirror.identity.files import read_file


class Confinement:
    """The label of this process, with which the labels of requesters are compared.

    `proc` is a descriptor of a procfs of the pid namespace of the mount. With `ignored` no module
    counts, as if the kernel had none.
    """

    def __init__(self, proc: int, *, ignored: bool = False) -> None:
        self._proc = proc
        self._own = None if ignored else label_of(proc, b"self")
        self.exists = self._own is not None

    def differs(self, tid: int) -> bool:
        """Whether a thread is confined otherwise than this process."""
        return self.exists and self.label_of(tid) != self._own

    def label_of(self, tid: int) -> bytes | None:
        """The label of a thread; None if no module gives one."""
        return label_of(self._proc, b"%d" % tid)


def label_of(proc: int, task: bytes) -> bytes | None:
    """The label of the task with this path below `proc`; None if no module gives one."""
    for path in (b"/attr/apparmor/current", b"/attr/current"):
        try:
            return read_file(proc, task + path).rstrip(b"\0\n")
        except OSError:
            continue
    return None
