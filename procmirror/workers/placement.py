"""The namespaces in which an operation has to run, and the account that it is charged to."""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable

from procmirror.identity.errors import Unanswered
from procmirror.identity.files import READ
from procmirror.identity.identity import Identity


class Placement:
    """Where the operation of one requester runs.

    `differing` are those of the requester's namespaces that are not the daemon's and decide the
    answer, as link texts by kind. `label` is what a security module calls the requester if it calls
    the daemon otherwise, else empty. `identity` is the requester's, in the numbers of that user
    namespace. `opened` are descriptors of the namespaces by kind while they are held: at the time
    of a READ the opener may have ended, and its number may be another thread's.
    """

    __slots__ = ("account", "differing", "identity", "label", "opened", "tid")

    def __init__(
        self,
        tid: int,
        identity: Identity,
        account: int,
        differing: dict[str, str],
        label: bytes = b"",
    ) -> None:
        self.tid = tid
        self.identity = identity
        self.account = account
        self.differing = differing
        self.label = label
        self.opened: dict[str, int] = {}

    @property
    def apart(self) -> bool:
        """Whether it takes a worker that serves nobody else, and is in the requester's hands."""
        return bool(self.differing or self.label)

    def key(self) -> Hashable:
        """What a worker must have joined and whom it must be; () for a worker like the daemon."""
        if not self.apart:
            return ()
        return (
            self.identity if self.label or "user" in self.differing else None,
            self.label,
            *sorted(self.differing.items()),
        )

    def unlabelled(self) -> Placement:
        """A placement without the label, with the same descriptors."""
        made = Placement(self.tid, self.identity, self.account, self.differing)
        made.opened = self.opened
        return made

    def hold(self, own: int) -> None:
        """Open the namespaces below the procfs `own`.

        Unanswered(EACCES) if they are not the ones that were found before.
        """
        try:
            for kind, link in self.differing.items():
                path = b"%d/ns/%s" % (self.tid, kind.encode())
                self.opened[kind] = os.open(path, READ, dir_fd=own)
                if f"{kind}:[{os.fstat(self.opened[kind]).st_ino}]" != link:
                    raise PermissionError(errno.EACCES, "the requester has changed its namespaces")
        except OSError as refused:
            self.release()
            raise Unanswered(
                errno.EACCES, f"cannot enter the namespaces of requester {self.tid}"
            ) from refused

    def release(self) -> None:
        """Close the namespaces."""
        for descriptor in self.opened.values():
            os.close(descriptor)
        self.opened.clear()


IN_DAEMON = Placement(0, Identity(0, 0, (), 0), 0, {})
