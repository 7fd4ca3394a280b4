"""What each kind of file tells of itself, one declaration a kind: fields of FdInfo and Descriptor.

A structure cannot take its last fields from one that stands before its first ones, so each of the
two names them in its own order.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.view import doc
from procmirror.views.pid import fdinfo_kinds as kinds
from procmirror.views.pid import fdinfo_objects as objects

Epoll = Annotated[list[kinds.Watch] | None, doc("What an epoll instance watches")]
Eventfd = Annotated[kinds.Eventfd | None, doc("An eventfd")]
Timerfd = Annotated[kinds.Timerfd | None, doc("A timer")]
Signalfd = Annotated[list[str] | None, doc("The signals that a signalfd takes")]
Inotify = Annotated[list[kinds.Mark] | None, doc("What an inotify instance watches")]
Fanotify = Annotated[kinds.Fanotify | None, doc("A fanotify group")]
Pidfd = Annotated[kinds.Pidfd | None, doc("The process of a pidfd")]
Userfaultfd = Annotated[kinds.Userfaultfd | None, doc("A userfaultfd")]
TtyIndex = Annotated[
    int | None, doc("Of the master of a pseudoterminal: the number N of its /dev/pts/N")
]
ScmFds = Annotated[
    int | None,
    doc(
        "Of a UNIX socket: descriptors that were sent to it and not received; newer kernels "
        "count for one that listens those of connections that wait for accept(2)"
    ),
]
Dmabuf = Annotated[kinds.Dmabuf | None, doc("A buffer that devices share")]
Iff = Annotated[str | None, doc("Of /dev/net/tun: the network interface that the program drives")]
Bpf = Annotated[objects.Bpf | None, doc("A BPF map, program or link")]
IoUring = Annotated[objects.IoUring | None, doc("An io_uring")]
