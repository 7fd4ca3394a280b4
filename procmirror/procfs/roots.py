"""What the daemon and every worker share: two procfs descriptors, and the facts of the machine."""

from __future__ import annotations

import os

from procmirror.identity.files import READ, read_file
from procmirror.identity.namespaces import outermost_user_namespace
from procmirror.procfs.machine import Facts


class ProcRoots:
    """`root` is the mirrored procfs; `own` is one in which the process that reads it is `self`.

    `user_namespace` is the inode of the user namespace of this process.
    """

    def __init__(self, root: int, own: int) -> None:
        self.root = root
        self.own = own
        self.facts = Facts(root)
        self.user_namespace = os.stat("self/ns/user", dir_fd=own).st_ino
        self._user_link = b"user:[%d]" % self.user_namespace
        self._uid_map = read_file(own, b"self/uid_map")

    def may_be_owned(self, target: bytes) -> bool:
        """Whether a process is in a user namespace with other ids than that of this process.

        The link of the namespace may wait for the exec lock of the process, for ever
        (proc_ns_readlink, fs/proc/namespaces.c); the map of its ids waits for nothing. A namespace
        that maps all ids as they are takes CAP_SETUID and CAP_SETGID to make.
        """
        try:
            descriptor = os.open(b"%s/uid_map" % target, READ, dir_fd=self.root)
        except OSError:
            return False
        try:
            return os.read(descriptor, len(self._uid_map) + 1) != self._uid_map
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def is_owned(self, target: bytes, uid: int) -> bool:
        """Whether a user owns the user namespace that a process is in.

        The kernel gives the owner all rights there, judged by the effective user id (cap_capable).
        `target` is the number of the process in the mirrored procfs. It may wait for its exec lock.
        """
        try:
            if os.readlink(b"%s/ns/user" % target, dir_fd=self.root) == self._user_link:
                return False
            outermost = outermost_user_namespace(self.root, int(target), self.user_namespace)
        except (OSError, ValueError):
            return False
        return outermost[1] == uid

    def any_may_be_owned(self) -> bool:
        """Whether any process is in a user namespace with other ids; see `may_be_owned`.

        Who owns it is told by links, for one of which a user may have this process wait for ever.
        """
        names = filter(str.isdigit, os.listdir(self.root))
        return any(self.may_be_owned(name.encode()) for name in names)
