"""What the daemon and every worker share: two procfs descriptors, and the facts of the machine."""

from __future__ import annotations

import os

from procmirror.identity.namespaces import outermost_user_namespace
from procmirror.procfs.machine import Facts


class ProcRoots:
    """`root` is the mirrored procfs; `own` is one in which the process that reads it is `self`."""

    def __init__(self, root: int, own: int) -> None:
        self.root = root
        self.own = own
        self.facts = Facts(root)
        self._user_namespace = os.stat("self/ns/user", dir_fd=own).st_ino
        self._user_link = b"user:[%d]" % self._user_namespace

    def is_owned(self, target: bytes, uid: int) -> bool:
        """Whether a user owns the user namespace that a process is in.

        The kernel gives the owner all rights there, judged by the effective user id (cap_capable).
        `target` is the number of the process in the mirrored procfs.
        """
        try:
            if os.readlink(b"%s/ns/user" % target, dir_fd=self.root) == self._user_link:
                return False
            outermost = outermost_user_namespace(self.root, int(target), self._user_namespace)
        except (OSError, ValueError):
            return False
        return outermost[1] == uid

    def owns_any(self, uid: int) -> bool:
        """Whether a user owns the user namespace that any process is in, by `is_owned`.

        Links are read, which takes a hundredth of what a view of all processes reads of each.
        """
        seen = {self._user_link.decode()}
        for name in os.listdir(self.root):
            if not name.isdigit():
                continue
            try:
                link = os.readlink(f"{name}/ns/user", dir_fd=self.root)
            except OSError:
                continue
            if link not in seen:
                seen.add(link)
                if self.is_owned(name.encode(), uid):
                    return True
        return False
