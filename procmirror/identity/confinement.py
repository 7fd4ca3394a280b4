"""How a security module (AppArmor, SELinux, Smack) confines requesters: proc_pid_attr(5).

A worker takes on the label of a requester for good, and the kernel judges it as the requester.
"""

from __future__ import annotations

import errno
import os
import re

from procmirror.identity import own_process
from procmirror.identity.errors import Unlabelled
from procmirror.identity.files import read_file

_APPARMOR, _ANY_MODULE = b"/attr/apparmor/current", b"/attr/current"
# AppArmor tells the mode of a profile behind its name (aa_label_snxprint, security/apparmor).
_MODE = re.compile(rb" \((?:enforce|complain|kill|unconfined|user|prompt|mixed)\)$")


class Confinement:
    """The label of this process, with which the labels of requesters are compared.

    `proc` is a descriptor of a procfs of the pid namespace of the mount. With `ignored` no module
    counts, as if the kernel had none.
    """

    def __init__(self, proc: int, *, ignored: bool = False) -> None:
        self._proc = proc
        self._own = None if ignored else label_of(proc, b"self")
        self.exists = self._own is not None
        # AppArmor's rules are about paths and hide no attributes.
        self._hides = self.exists and not _says(proc, b"self" + _APPARMOR)

    def hides_attributes(self, tid: int) -> bool:
        """Whether the mode and owner of an entry depend on the label of a thread."""
        return self._hides and self.differs(tid)

    def differs(self, tid: int) -> bool:
        """Whether a thread is confined otherwise than this process."""
        return self.exists and self.label_of(tid) != self._own

    def label_of(self, tid: int) -> bytes | None:
        """The label of a thread; None if no module gives one."""
        return label_of(self._proc, b"%d" % tid)

    def other_label_of(self, tid: int) -> bytes:
        """The label of a thread that is confined otherwise than this process, else nothing.

        Raises Unlabelled if it cannot be read.
        """
        label = self.label_of(tid) if self.exists else self._own
        if label == self._own:
            return b""
        if not label:
            raise Unlabelled(errno.EACCES, "the confinement of the requester cannot be read")
        return label


def label_of(proc: int, task: bytes) -> bytes | None:
    """The label of the task with this path below `proc`; None if no module gives one."""
    for path in (_APPARMOR, _ANY_MODULE):
        try:
            return read_file(proc, task + path).rstrip(b"\0\n")
        except OSError:
            continue
    return None


def name_of(label: bytes) -> bytes:
    """The label of AppArmor as its policy names it, without the mode."""
    return _MODE.sub(b"", label)


def is_of_apparmor(label: bytes) -> bool:
    """Whether a label has the form of AppArmor's, which tell the mode of the profile."""
    return name_of(label) != label


def take_on(own: int, label: bytes) -> None:
    """Take on a label for good, and have no execve(2) change it; OSError if the kernel refuses.

    `own` is a procfs in which this process is `self`. AppArmor lets an unconfined process change
    its profile; of SELinux the policy has to allow it (setcurrent, dyntransition). The file is
    opened after the last change of credentials, because the kernel takes no write of an earlier
    opener (proc_pid_attr_write, fs/proc/base.c). The name of a stack or of another policy namespace
    is written as it is read.
    """
    path, text, name = b"self" + _ANY_MODULE, label, name_of(label)
    apparmor = _says(own, b"self" + _APPARMOR)
    if apparmor:
        path = b"self" + _APPARMOR
    if apparmor or name != label or label == b"unconfined":
        text = b"changeprofile " + name
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=own)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
    own_process.forbid_new_privileges()


def _says(own: int, path: bytes) -> bool:
    """Whether a module tells a label; the file of one that is not at work cannot be read."""
    try:
        read_file(own, path)
    except OSError:
        return False
    return True
