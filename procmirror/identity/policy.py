"""What AppArmor's policy says of files: the query of security/apparmor/apparmorfs.c.

It is asked only about a process that looks at itself. The kernel asks such a process for no right
to trace, and a worker under the same label needs one; the policy's rules of files apply to both.
"""

from __future__ import annotations

import os

from procmirror.identity import thread_calls
from procmirror.identity.confinement import name_of

_QUERY = "/sys/kernel/security/apparmor/.access"
# The class of rules of files, and the permission to read (security/apparmor/include).
_CLASS_FILE, _MAY_READ = b"\x02", 4
# A user id for file systems that owns nothing the query is about.
_ANOTHER = 65534


def may_read(label: bytes, path: bytes, *, owned: bool) -> bool:
    """Whether a label may read the file at an absolute path, by the profile's rules of files.

    `owned` is whether the file belongs to the requester (rules with `owner`). False where the
    policy cannot be asked, or not about this label: the query leaves other policy namespaces out.
    """
    name = name_of(label)
    if os.geteuid() or not path.startswith(b"/") or _is_of_namespace(name):
        return False
    try:
        return bool(_allowed(b"label\0" + name + b"\0" + _CLASS_FILE + path, owned) & _MAY_READ)
    except (OSError, ValueError):
        return False


def _is_of_namespace(name: bytes) -> bool:
    return any(part.startswith(b":") for part in name.split(b"//&"))


def _allowed(question: bytes, owned: bool) -> int:
    """The mask of what is allowed: the first line of the answer, as `allow 0x00000004`.

    The kernel takes the files for root's, and this thread for their owner by its id for file
    systems.
    """
    query = os.open(_QUERY, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not owned:
            thread_calls.setfsuid(_ANOTHER)
        try:
            os.write(query, question)
        finally:
            thread_calls.setfsuid(0)
        word, mask = os.pread(query, 4096, 0).split(b"\n", 1)[0].split()
    finally:
        os.close(query)
    if word != b"allow":
        raise ValueError("not an answer of AppArmor")
    return int(mask, 16)
